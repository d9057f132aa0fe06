"""The tables of docs/results/imbalance.md, from what the runs of benchmarks/imbalance.py measured.

python benchmarks/imbalance_report.py     # takes up the runs that are here, then writes the page

What each run measured is kept in benchmarks/results/imbalance.jsonl: the page can be written without them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from harness import machine, record, recorded
from imbalance import (
    AGAINST,
    BEYOND,
    FRENCH,
    FRENCH_AGAINST,
    LENGTH,
    LONG,
    OUT,
    PIECES,
    ROWS,
    SETTINGS,
    SIZES,
    STEPS,
)

from isogloss.analysis.efficiency import CurveFit, off_by
from isogloss.analysis.interpolation import Interpolation, interpolate
from isogloss.analysis.scaling import ScalingLaw, fit
from isogloss.core.by_language import tokenizer_of
from isogloss.core.errors import DataError
from isogloss.core.files import write_text
from isogloss.core.repeats import repeats
from isogloss.core.run import read_run, read_status
from isogloss.evaluate.windows import Windows, scored_windows
from isogloss.models.backbone import load_model, load_tokenizer
from isogloss.models.tasks import TaskModel

RESULT = Path(__file__).resolve().parent.parent / "docs" / "results" / "imbalance.md"
FIRST, SECOND, FRENCH_TAG = "en-Latn", "en-Latn-x-2", "fr-Latn"
Facts = Mapping[str, Any]
Curves: TypeAlias = CurveFit[ScalingLaw] | CurveFit[Interpolation]
Records = Mapping[str, Facts]


# What a run measured

WINDOWS = Windows(length=LENGTH, scored=LENGTH // 4)
"""As published, in proportion to the model's length."""
MOST = 40_000
"""Tokens of the held-out text that count."""


def measured(known: Records) -> dict[str, dict[str, Any]]:
    """Of each run that is finished here and not yet known, by the name of its folder without the date."""
    found = {}
    for folder in sorted(OUT.glob("*-*-*-*")):
        name = folder.name.split("-", 3)[-1]
        if read_status(folder).get("state") == "finished" and name not in known:
            facts = _topics(folder) if name.startswith("topic-") else _pretrained(folder)
            found[name] = {"git": read_run(folder).environment.get("git")} | facts
    return found


def _topics(folder: Path) -> dict[str, Any]:
    lines = [x for x in read_run(folder).metrics if x.get("split") == "test" and x["metric"] == "accuracy"]
    return {"accuracy": {line["language"]: line["value"] for line in lines}}


def _pretrained(folder: Path) -> dict[str, Any]:
    metrics = read_run(folder).metrics
    tokens = {str(line["language"]): line["value"] for line in metrics if line["metric"] == "tokens"}
    tags = [tag for tag in (FIRST, SECOND, FRENCH_TAG) if tag in tokens]
    facts = {"tokens": {tag: tokens[tag] for tag in tags}, "perplexity": _perplexity(folder, tags)}
    return facts | _alignment(metrics)


def _perplexity(folder: Path, tags: Sequence[str]) -> dict[str, float]:
    """On held-out text by sliding windows."""
    tokenizer = load_tokenizer(folder / "model")
    model = TaskModel(load_model(folder / "model", "causal"), None, kind="text")
    streams = {tag: _stream(tokenizer_of(tokenizer, tag), tag) for tag in tags}
    found = scored_windows(model, streams, WINDOWS, most=MOST)
    return {tag: one.perplexity for tag, one in found.items()}


def _stream(tokenizer: Any, tag: str) -> npt.NDArray[np.int64]:
    """The held-out text, each line followed by the end of text."""
    name = "dev-fr" if tag == FRENCH_TAG else "dev"
    text = (OUT / f"data/{name}.txt").read_text(encoding="utf-8").splitlines()
    rows = tokenizer([line for line in text if line.strip()], add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id
    return np.array([end, *(number for row in rows for number in (*row, end))])


_BY_LAYER = {
    "hidden": "hidden_cosine_centred",
    "chance": "hidden_cosine_chance_centred",
    "found": "retrieval_accuracy_centred",
}


def _alignment(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the first language with the second, where it was measured: by layer, and the gradients' cosine."""
    facts = {
        (x["metric"], x.get("layer"), x.get("part") or ""): x["value"]
        for x in metrics
        if x.get("split") == "aligned" and x.get("language") == FIRST and not x.get("frequency")
    }
    if not facts:
        return {}
    layers = {name: [facts[metric, layer, ""] for layer in range(4)] for name, metric in _BY_LAYER.items()}
    gradient = fmean(facts["gradient_cosine", None, part] for part in ("attention", "feedforward"))
    return {"aligned": layers | {"gradient": gradient}}


# The page

TOKENS = STEPS * ROWS * LENGTH
MILLIONS = round(TOKENS / 1e6, 2)
PREFACE = f"""# Language imbalance on real English

Cloned languages: the same English text with pieces of its own for each clone. A GPT-2 of 3 layers, 128
wide, {PIECES} byte-level pieces, {LENGTH} tokens a row; {STEPS} steps of {ROWS} rows, {MILLIONS} million
tokens in all clones together (a run of the paper has 1,197 million); what is `long` had {LONG} times as many.
Perplexity by sliding windows of {LENGTH} tokens of which the last {LENGTH // 4} count, on {MOST:,} tokens of
books that nothing was trained on. TEff is the monolingual tokens of the same perplexity over the tokens that
the clone had, by the law of {{monolingual}} monolingual runs; for what is `long`, where no law fits, read off
between these and longer ones. Its interval (95 %) is over these runs and over seeds. Where it would take more
than twice the tokens of the longest of them, nothing is said. The second clone of `90-10` had a tenth of the
tokens.

    python benchmarks/imbalance.py monolingual 0,1,2
    python benchmarks/imbalance.py clones all 0,1,2
    python benchmarks/imbalance.py transfer all 0,1,2
    python benchmarks/imbalance.py french all 0,1,2
    python benchmarks/imbalance_report.py
"""


_ALIGNMENT = """
At the end of the run, on 200 texts of up to 128 tokens that nothing was trained on; gradients on 40. `hidden`
is the cosine of the states of the same token in both clones, `chance` with the text before, both with each
clone's mean state taken away; `found` how often a text's state (mean-centred) finds its own clone among 200.
Layers are 0 (what enters the first) to 3. Gradients: mean over the tensors of attention and feed-forward.
"""


_TRANSFER = """
SIB-200, English: fine-tuned on 701 items read by the first clone's tokenizer, tested on 204 items in both;
accuracy in per cent. Chance is 14, the largest class 25.
"""


_DIFFERENCES = """
Each setting less the one beside it, seed by seed: mean and 95 % interval over seeds (Student's t; none for
one seed). `PPL` is 100 times the difference of logarithms, per cent where small; `hidden` the mean of layers
1 to 3 as above, `zero-shot` the accuracy in the second clone, in points. `tokens` says whether both languages
had as many (`same`): a schedule that lowers both perplexities with the same tokens beats the fixed shares.
"""


_FRENCH_TEXT = """
The same model and steps; a vocabulary of 512 pieces for each language, side by side (`disjoint`) or with
equal pieces under one id (`anchored`); the number is the share of French, or its course. French has a law of
its own.
"""


def page(records: Records) -> str:
    """All tables for which there are runs."""
    english = law(records, "mono", FIRST)
    alone = sum(len(_seeds(records, f"mono-{size}")) for size in SIZES)
    clones = {setting: found for setting in SETTINGS if (found := _seeds(records, setting))}
    french = {setting: found for setting in FRENCH if (found := _seeds(records, f"fr-{setting}"))}
    parts = [PREFACE.format(monolingual=alone).strip()]
    between = interpolate(*_alone(records, "mono", FIRST, SIZES | BEYOND))
    parts += ["## Perplexity and token efficiency", "\n".join(_efficiencies(clones, english, between))]
    parts += ["## The law", "\n".join(_law(records, english, between))]
    parts += ["## Alignment of two clones", _ALIGNMENT.strip(), "\n".join(_alignments(clones))]
    if len(lines := list(_transfers(records))) > 2:
        parts += ["## Topics learnt in the first clone", _TRANSFER.strip(), "\n".join(lines)]
    lines = _differences(records, AGAINST, (FIRST, SECOND))
    parts += ["## What each setting changes", _DIFFERENCES.strip(), "\n".join(lines)]
    if french:
        laws = {FIRST: english, FRENCH_TAG: law(records, "mono-fr", FRENCH_TAG)}
        parts += ["## English and French", _FRENCH_TEXT.strip(), "\n".join(_both(french, laws))]
        parts += ["### Alignment of English and French", "\n".join(_alignments(french))]
        against = {f"fr-{name}": f"fr-{other}" for name, other in FRENCH_AGAINST.items()}
        lines = _differences(records, against, (FIRST, FRENCH_TAG))
        parts += ["### What each setting changes between English and French", "\n".join(lines)]
    facts = machine()
    parts.append(f"Measured on {facts['cores']} cores of {facts['processor']}, torch {facts['torch']}.")
    return "\n\n".join(parts) + "\n"


def law(records: Records, name: str, language: str) -> CurveFit[ScalingLaw]:
    """Fitted to the runs of one language alone that are no longer than those with clones."""
    return fit(*_alone(records, name, language, SIZES), unit=TOKENS)


def _alone(
    records: Records, name: str, language: str, sizes: Iterable[str]
) -> tuple[list[float], list[float]]:
    """Tokens and perplexities of runs of one language."""
    runs = [facts for size in sizes for facts in _seeds(records, f"{name}-{size}")]
    return [facts["tokens"][language] for facts in runs], [facts["perplexity"][language] for facts in runs]


def _seeds(records: Records, name: str) -> list[Facts]:
    return [records[f"{name}-{seed}"] for seed in range(20) if f"{name}-{seed}" in records]


def _efficiencies(
    clones: Mapping[str, Sequence[Facts]], law: CurveFit[ScalingLaw], between: CurveFit[Interpolation]
) -> Iterator[str]:
    yield "| setting | seeds | PPL clone 1 | PPL clone 2 | TEff clone 1 | TEff clone 2 |"
    yield "|---|---:|---:|---:|---:|---:|"
    long = {setting: runs for setting, runs in clones.items() if setting.endswith("-long")}
    short = {setting: runs for setting, runs in clones.items() if setting not in long}
    yield from _scored(short, {FIRST: law, SECOND: law})
    yield from _scored(long, {FIRST: between, SECOND: between})


def _both(french: Mapping[str, Sequence[Facts]], laws: Mapping[str, Curves]) -> Iterator[str]:
    yield "| setting | seeds | PPL English | PPL French | TEff English | TEff French |"
    yield "|---|---:|---:|---:|---:|---:|"
    yield from _scored(french, laws)


def _scored(settings: Mapping[str, Sequence[Facts]], laws: Mapping[str, Curves]) -> Iterator[str]:
    for setting, runs in settings.items():
        perplexities = {tag: [facts["perplexity"][tag] for facts in runs] for tag in laws}
        had = {tag: fmean(facts["tokens"][tag] for facts in runs) for tag in laws}
        efficiencies = [_teff(laws[tag], perplexities[tag], had[tag]) for tag in laws]
        yield _line([setting, str(len(runs)), *map(_spread, perplexities.values()), *efficiencies])


def _teff(monolingual: Curves, perplexities: Sequence[float], had: float) -> str:
    try:
        found = monolingual.efficiency(perplexities, had)
    except DataError:
        return "beyond the runs"
    if found.mlte.value > 2 * monolingual.sizes[-1]:
        return "beyond the runs"
    beyond = " (extrapolated)" if "mlte" in found.extrapolated else ""
    return f"{found.teff.value:.2f} [{found.teff.low:.2f}, {found.teff.high:.2f}]{beyond}"


def _law(records: Records, fitted: CurveFit[ScalingLaw], between: CurveFit[Interpolation]) -> Iterator[str]:
    found = fitted.curve
    yield f"1/PPL = {found.c:.4f} - {found.a:.4f} x^-{found.b:.4f}, x in units of {TOKENS:,} tokens."
    yield ""
    yield "| share of a run | seeds | PPL | a law without it is off by | its neighbours alone by |"
    yield "|---:|---:|---:|---:|---:|"
    runs = {size: _seeds(records, f"mono-{size}") for size in SIZES | BEYOND}
    seen = [size for size in runs if runs[size]]
    for size, by_neighbours in zip(seen, between.left_out, strict=True):
        values = [facts["perplexity"][FIRST] for facts in runs[size]]
        by_law = fitted.left_out[seen.index(size)] if size in SIZES else _off(found, size, values)
        name = size if size in SIZES else f"{size}, in no law"
        yield _line([name, str(len(values)), _spread(values), _per_cent(by_law), _per_cent(by_neighbours)])


def _off(found: ScalingLaw, size: str, values: Sequence[float]) -> float:
    tokens = np.full(len(values), BEYOND[size] * TOKENS)
    return off_by(found, tokens, np.array(values))


def _per_cent(off: float) -> str:
    return "" if math.isnan(off) else f"{100 * off:+.1f} %"


def _alignments(settings: Mapping[str, Sequence[Facts]]) -> Iterator[str]:
    yield "| setting | seeds | hidden, layers 0 to 3 | chance | found | gradient |"
    yield "|---|---:|---|---|---|---:|"
    for setting, runs in settings.items():
        if found := [facts["aligned"] for facts in runs if "aligned" in facts]:
            cells = [_by_layer(found, name) for name in _BY_LAYER]
            yield _line([setting, str(len(found)), *cells, _spread([each["gradient"] for each in found])])


def _by_layer(found: Sequence[Facts], name: str) -> str:
    return " ".join(f"{fmean(values):.2f}" for values in zip(*(each[name] for each in found), strict=True))


def _transfers(records: Records) -> Iterator[str]:
    yield "| setting | seeds | clone 1 | clone 2, zero-shot |"
    yield "|---|---:|---:|---:|"
    for setting in SETTINGS:
        if runs := _seeds(records, f"topic-{setting}"):
            cells = [_spread([100 * facts["accuracy"][tag] for facts in runs]) for tag in (FIRST, SECOND)]
            yield _line([setting, str(len(runs)), *cells])


def _differences(records: Records, against: Mapping[str, str], tags: Sequence[str]) -> Iterator[str]:
    yield f"| setting | against | seeds | tokens | {' | '.join(_DIFFERS)} |"
    yield "|---|---|---:|---|" + "---:|" * len(_DIFFERS)
    for name, other in against.items():
        seeds = [seed for seed in range(20) if {f"{name}-{seed}", f"{other}-{seed}"} <= set(records)]
        if name != other and seeds:
            both = [[_compared(records, f"{each}-{seed}", tags) for seed in seeds] for each in (name, other)]
            had, theirs = (list(records[f"{each}-{seeds[0]}"]["tokens"].values()) for each in (name, other))
            tokens = "same" if np.allclose(had, theirs, rtol=0.05) else "other"
            cells = [_differ(key, digits, *both) for key, digits in _DIFFERS.items()]
            yield _line([name, other, str(len(seeds)), tokens, *cells])


_DIFFERS = {"PPL 1, %": 1, "PPL 2, %": 1, "hidden": 2, "gradient": 2, "zero-shot": 1}
"""What settings are compared by, and the digits that are shown."""


def _compared(records: Records, name: str, tags: Sequence[str]) -> dict[str, float]:
    """Of one run; perplexities by their logarithms, so that a difference is a ratio."""
    facts = records[name]
    found = {f"PPL {place}, %": 100 * math.log(facts["perplexity"][tag]) for place, tag in enumerate(tags, 1)}
    if "aligned" in facts:
        found["hidden"] = fmean(facts["aligned"]["hidden"][1:])
        found["gradient"] = facts["aligned"]["gradient"]
    if topics := records.get(f"topic-{name}"):
        found["zero-shot"] = 100 * topics["accuracy"][SECOND]
    return found


def _differ(key: str, digits: int, ours: Sequence[Facts], theirs: Sequence[Facts]) -> str:
    """The mean difference and its interval; empty where no seed has both."""
    both = zip(ours, theirs, strict=True)
    pairs = [one[key] - other[key] for one, other in both if key in one and key in other]
    if not pairs:
        return ""
    over = repeats(pairs)
    mean, *ends = (f"{x:+.{digits}f}" for x in (over.mean, over.low, over.high) if x is not None)
    return mean + (f" [{', '.join(ends)}]" if ends else "")


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    write_text(RESULT, page(record("imbalance", measured(recorded("imbalance")))))
