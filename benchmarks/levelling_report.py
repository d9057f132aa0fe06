"""The tables of docs/results/levelling.md, from what the runs of benchmarks/levelling.py measured.

python benchmarks/levelling_report.py     # takes up the runs that are here, then writes the page

What each run measured is kept in benchmarks/results/levelling.jsonl: the page can be written without them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from harness import machine, record
from levelling import BASES, OUT, SELECTORS, VARIANTS

from isogloss.core.files import write_text
from isogloss.core.repeats import repeats
from isogloss.core.run import read_run, read_status

RESULT = Path(__file__).resolve().parent.parent / "docs" / "results" / "levelling.md"
Facts = Mapping[str, Any]


# What a run measured


def measured() -> dict[str, dict[str, Any]]:
    """Of each run that is finished here, by the name of its folder without the date."""
    found = {}
    for folder in sorted(OUT.glob("*-*")):
        name = folder.name.split("-", 3)[-1]
        if name.startswith(tuple(_KINDS)) and read_status(folder).get("state") == "finished":
            facts = _KINDS[name.split("-")[0]](folder)
            found[name] = {"git": read_run(folder).environment.get("git")} | facts
    for file in sorted(OUT.glob("data/selection-*.json")):
        found[file.stem] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _levelled(folder: Path) -> dict[str, Any]:
    facts = json.loads((folder / "levelling.json").read_text(encoding="utf-8"))
    guards = {key: facts["guards"][key] for key in ("kept_step", "refused", "put_back")}
    kept = ("teachers", "harmed", "changes", "disparity", "items")
    return {key: facts[key] for key in kept} | guards


def _student(folder: Path) -> dict[str, Any]:
    lines = [line for line in read_run(folder).metrics if line.get("split") == "test"]
    scores: dict[str, dict[str, float]] = {}
    for line in lines:
        if line["metric"] == "accuracy":
            scores.setdefault(line["model"], {})[line["language"]] = line["value"]
    return {"scores": scores}


_KINDS = {"level": _levelled, "student": _student}


# The page

PREFACE = """# Levelling on real data

SIB-200 topics (seven classes; 701 training, 99 development, 204 test items in each of twenty languages,
aligned). The weak base is `mini`, a ModernBERT of 10.2M parameters that saw 27 million tokens; the better one
is `mini` after 500 steps of drawing translations together (mean-pooled states, 48 pairs a step). Both learnt
the task in English alone (701 items, 6 epochs, mean of all states; `half`: the weak one from 350 items, and
levelled on the others, of which it has seen nothing); levelling reads 240 of the training
items, without labels, in all its languages, for 60 steps of 8 items at a learning rate of 2e-4 (`whole`: all
596 that are not held out, for 240 steps at 5e-4; `whole-light`: with a fifth of the anchor). 15 % of the
items are held out for the guards. `main` draws every language to the consensus of the teachers that agree
with English, with cross-entropy on the English training labels beside it (the anchor); the other variants of
ten languages differ from it in one thing each, and those after `reliability` learn without labels, as
published.

A cell is the mean over seeds with the standard deviation; accuracies in per cent on the test sets. `worst 3`
is the mean of the three lowest languages, `gap` English minus the mean of the others, `sd` the standard
deviation over languages; changes are relative to the start, with a 95 % interval over seeds (Student's t)
where there are three or more. `harmed`: how many languages fell with an interval over items that excludes 0
(95 %), of all seeds together, and in brackets how many of these are teachers; `back`: how many runs the
guards ended with the model from before.

    python benchmarks/levelling.py base
    python benchmarks/levelling.py level weak whole 0,1,2,3,4 20
    python benchmarks/levelling.py level weak main,pairs,… 0,1,2 10
    python benchmarks/levelling.py selection weak,better 0,1,2
    python benchmarks/levelling.py distilled swa plain,levelled 0,1
    python benchmarks/levelling.py others xnli,pawsx,xcopa,geomlama 0
    python benchmarks/levelling_report.py
"""

SELECTION = """
Spearman's correlation of each selector's scores on the unlabelled training items with the accuracy on 99
labelled development items, over twenty languages; 95 % intervals over items. A column is a base and a seed.
"""

OTHERS = """
XNLI and PAWS-X: the weak base learnt 1,600 English items (lines 1 to 1,600 of the labelled dev file; its
test are lines 1,601 to 1,800, its dev 1,801 to 2,000) and was levelled on 240 of them without labels. XCOPA
and GeoMLAMA: no label anywhere, `mini` asked by a prompt or by the gap itself. `spread`: from the worst to
the best language. One seed.
"""

STUDENTS = """
Students of half the layers for English and one language (phase 1 as in bistil.md, from the weak base), after
phase 2 beside the teacher of the weak base or beside that teacher levelled (`whole-light`); accuracy in that
language.
"""


def page(records: Mapping[str, Facts]) -> str:
    """All tables for which there are runs."""
    parts = [PREFACE.strip()]
    for count in (20, 10):
        for base in BASES:
            if lines := list(_effects(records, base, count)):
                parts += [f"## {base} base, {count} languages", "\n".join([*_HEAD, *lines])]
    for title, text, lines in (
        ("Selectors", SELECTION, list(_selections(records))),
        ("Other tasks", OTHERS, list(_others(records))),
        ("Level, then distil", STUDENTS, list(_students(records))),
    ):
        if len(lines) > 2:
            parts += [f"## {title}", text.strip(), "\n".join(lines)]
    facts = machine()
    parts.append(f"Measured on {facts['cores']} cores of {facts['processor']}, torch {facts['torch']}.")
    return "\n\n".join(parts) + "\n"


def _seeds(records: Mapping[str, Facts], name: str) -> list[Facts]:
    return [records[f"{name}-{seed}"] for seed in range(20) if f"{name}-{seed}" in records]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


_COLUMNS = ("seeds", "English", "others", "worst 3", "gap", "sd", "gap change", "sd change", "harmed", "back")
_HEAD = (_line(["variant", *_COLUMNS]), _line(["---", *["---:"] * len(_COLUMNS)]))


def _effects(records: Mapping[str, Facts], base: str, count: int) -> Iterator[str]:
    runs = {variant: _seeds(records, f"level-{base}-{variant}-{count}") for variant in VARIANTS}
    runs = {variant: found for variant, found in runs.items() if found}
    if runs:
        yield _row("before", max(runs.values(), key=len), "before")
    for variant, found in runs.items():
        yield _row(variant, found, "after")


_SPREADS = ("transfer_gap", "deviation", "worst_mean")


def _row(variant: str, found: Sequence[Facts], when: str) -> str:
    spreads = [facts["disparity"][when] for facts in found]
    gaps, deviations, worst = ([each[key]["value"] for each in spreads] for key in _SPREADS)
    english = [facts["changes"]["en-Latn"][when] for facts in found]
    others = [one - gap for one, gap in zip(english, gaps, strict=True)]
    cells = [variant, str(len(found)), *map(_percent, (english, others, worst, gaps, deviations))]
    if when == "before":
        return _line([*cells, "", "", "", ""])
    changes = [_relative(found, key) for key in ("transfer_gap", "deviation")]
    harmed = [tag for facts in found for tag in facts["harmed"]]
    teaching = [tag for facts in found for tag in facts["harmed"] if tag in facts["teachers"]]
    back = sum(facts["put_back"] is not None for facts in found)
    return _line([*cells, *changes, f"{len(harmed)} ({len(teaching)})", str(back)])


def _relative(found: Sequence[Facts], key: str) -> str:
    """The change as a share of the start, in per cent, with its interval over seeds."""
    shares = [
        100 * facts["disparity"]["change"][key]["value"] / facts["disparity"]["before"][key]["value"]
        for facts in found
    ]
    if len(shares) < 3:
        return f"{fmean(shares):+.0f} %"
    over = repeats(shares)
    return f"{over.mean:+.0f} [{over.low:+.0f}, {over.high:+.0f}] %"


def _percent(values: Sequence[float]) -> str:
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{spread}"


def _selections(records: Mapping[str, Facts]) -> Iterator[str]:
    found = {name: facts["correlations"] for name, facts in records.items() if name.startswith("selection-")}
    titles = [" ".join(name.split("-")[1:]) for name in found]
    yield _line(["selector", *titles])
    yield "|---|" + "---:|" * len(found)
    for selector in SELECTORS if found else ():
        cells = [each[selector]["items"] for each in found.values()]
        yield _line([selector, *(f"{c['value']:.2f} [{c['low']:.2f}, {c['high']:.2f}]" for c in cells)])


def _others(records: Mapping[str, Facts]) -> Iterator[str]:
    yield "| task | languages | mean before | after | spread before | after | harmed | back | teachers |"
    yield "|---|---:|---:|---:|---:|---:|---:|---|---|"
    for task in ("xnli", "pawsx", "xcopa", "geomlama"):
        for facts in _seeds(records, f"level-{task}"):
            changes = facts["changes"].values()
            scores = [[change[when] for change in changes] for when in ("before", "after")]
            spreads = [max(each) - min(each) for each in scores]
            cells = [f"{100 * value:.1f}" for value in (*map(fmean, scores), *spreads)]
            back = "yes" if facts["put_back"] else "no"
            teachers = ", ".join(tag[:2] for tag in facts["teachers"])
            yield _line([task, str(len(changes)), *cells, str(len(facts["harmed"])), back, teachers])


def _students(records: Mapping[str, Facts]) -> Iterator[str]:
    """Accuracy of teachers and students, levelled or not, by language."""
    yield "| language | seeds | teacher | levelled teacher | student | student of the levelled teacher |"
    yield "|---|---:|---:|---:|---:|---:|"
    for language in ("deu", "tur", "swa", "yor", "wol"):
        runs = {kind: _seeds(records, f"student-{language}-{kind}") for kind in ("plain", "levelled")}
        if all(runs.values()):
            cells = [
                _percent([_elsewhere(facts["scores"][model]) for facts in runs[kind]])
                for model in ("teacher", "student")
                for kind in ("plain", "levelled")
            ]
            yield _line([language, str(min(map(len, runs.values()))), *cells])


def _elsewhere(scores: Mapping[str, float]) -> float:
    """The score in the language that is not English."""
    (value,) = (value for tag, value in scores.items() if not tag.startswith("en"))
    return value


if __name__ == "__main__":
    write_text(RESULT, page(record("levelling", measured())))
