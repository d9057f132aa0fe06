"""What an audit found, from `audit.json` alone: where the model is weak, by how much, and what to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from isogloss.core.run import RunRecord, read_facts
from isogloss.report import numbers
from isogloss.report.headline import listed, number_word
from isogloss.report.measurements import language_name
from isogloss.report.tables import Score

FILE = "audit.json"

_Facts: TypeAlias = Mapping[str, Any]

COLUMNS = (
    "unknown_rate",
    "tokens_per_word",
    "premium",
    "bits_per_byte",
    "parity",
    "retrieval",
    "gradient",
    "score",
    "behind",
    "cosine",
    "cka",
    "rows_used",
)
"""The measures of the table, in its order; those that were not taken are left out."""

_FOLDED = ("cosine", "cka", "rows_used")
"""Those that no limit is for: on the page in a table of their own, folded away."""

_NOTES = {
    "premium": "tokens for the same sentences, of the source's",
    "bits_per_byte": "not to be compared between scripts",
    "parity": "bits of the source over bits of the language, for the same sentences; 1 is as in the source",
    "retrieval": "how often a sentence's nearest in the other language is its translation, both ways",
    "cosine": "of the states of a sentence's tokens and those of its translation, matched one to one, each "
    "language's mean taken away first",
    "cka": "how alike the same sentences lie to each other (linear, debiased)",
    "gradient": "cosine with the source's gradient on the same sentences",
    "rows_used": "of the vocabulary, in the text that was counted",
}
"""By measure: what its numbers are."""

_SKIPPED = {
    "tokens": "what the vocabulary costs",
    "vocabulary": "which rows of the vocabulary are used",
    "bits": "bits per byte and information parity",
    "alignment": "alignment, retrieval and gradient agreement",
    "task": "task scores",
}


@dataclass(frozen=True)
class Cell:
    """One number of the table; `score` is None where there is none."""

    score: Score | None
    weak: bool


@dataclass(frozen=True)
class Column:
    """A measure: its key, what it is called, and what its numbers are; `limit` says when one is weak."""

    key: str
    label: str
    note: str
    limit: str
    metric: str


@dataclass(frozen=True)
class Row:
    """One language's numbers, one for each column."""

    language: str
    name: str
    is_source: bool
    cells: tuple[Cell, ...]

    @property
    def weak(self) -> int:
        """How many of its numbers are weak."""
        return sum(cell.weak for cell in self.cells)


@dataclass(frozen=True)
class Suggestion:
    """One piece of advice.

    Attributes:
        recipe: YAML to save as `try.yaml` first; "" where the command needs none.
        command: "" where there is none.
    """

    title: str
    means: str
    evidence: tuple[str, ...]
    remedy: str
    command: str
    recipe: str


@dataclass(frozen=True)
class Layers:
    """How often sentences find their translation, by language and state.

    Attributes:
        names: the languages, the best one first.
        shares: (languages, states), in [0, 1].
        best: the state that is best on average.
        candidates: sentences to find it among.
    """

    names: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    best: int
    candidates: int


@dataclass(frozen=True)
class Audit:
    """All that the page shows of an audit.

    Attributes:
        headline: where the model is weak, in a sentence.
        read: what was read, in words.
        suggestions: in the order to try them; empty where nothing is to be done.
        columns, rows: the table; the source first, then the weakest.
        layers: None without aligned sentences.
        spread: the task's spread over languages: label, metric and estimate; empty without a task.
        vocabulary: what languages use of the vocabulary, in words.
        skipped: what could not be measured, and why.
    """

    source: str
    headline: str
    read: tuple[str, ...]
    suggestions: tuple[Suggestion, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    layers: Layers | None
    vocabulary: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    @property
    def nothing_to_try(self) -> str:
        """Why there is no suggestion; "" where there is one."""
        if self.suggestions:
            return ""
        if any(row.weak for row in self.rows):
            return "What is weak here calls for nothing by itself."
        return "Nothing is weak by these limits, so there is nothing to advise."

    def shown(self, *, folded: bool) -> tuple[int, ...]:
        """Positions of the columns that stand open on the page, or folded away."""
        return tuple(i for i, column in enumerate(self.columns) if (column.key in _FOLDED) == folded)

    def values(self, key: str) -> dict[str, Cell]:
        """A measure by language name, where it was taken."""
        places = [place for place, column in enumerate(self.columns) if column.key == key]
        found = {row.name: row.cells[places[0]] for row in self.rows} if places else {}
        return {name: cell for name, cell in found.items() if cell.score is not None}


def audited(run: RunRecord) -> Audit | None:
    """What a run's `audit.json` says; None for a run that has none (another method, or unfinished).

    Raises:
        CheckpointError: the file is damaged.
    """
    facts = read_facts(run.folder / FILE)
    if not facts:
        return None
    columns = tuple(_column(key, facts) for key in COLUMNS if facts["measures"].get(key))
    return Audit(
        source=language_name(facts["source"]),
        headline=_headline(facts),
        read=tuple(_read(facts)),
        suggestions=tuple(map(_suggestion, facts["advice"])),
        columns=columns,
        rows=_rows(facts, columns),
        layers=_layers(facts),
        vocabulary=tuple(_vocabulary(facts)),
        skipped=tuple((_SKIPPED.get(name, name), why) for name, why in facts["skipped"].items()),
    )


def _column(key: str, facts: _Facts) -> Column:
    name = facts["task"]["metric"] if key == "score" else key
    label = numbers.metric(name).label
    if key == "score":
        label = f"{numbers.task_label(facts['task']['task'])} {label}"
    limit = facts["limits"].get(key)
    told = (
        "" if limit is None else f"weak {limit['side']} {numbers.shown(name, limit['bound'])}, {limit['why']}"
    )
    return Column(key, label, _NOTES.get(key, ""), told, name)


def _rows(facts: _Facts, columns: Sequence[Column]) -> tuple[Row, ...]:
    source = facts["source"]
    rows = [
        Row(
            tag,
            language_name(tag),
            tag == source,
            tuple(_cell(facts, column.key, tag) for column in columns),
        )
        for tag in _tags(facts)
    ]
    return tuple(sorted(rows, key=lambda row: (not row.is_source, -row.weak)))


def _tags(facts: _Facts) -> list[str]:
    """Those that were read, and those that only the task was tested in."""
    return list(dict.fromkeys([*facts["languages"], *facts["measures"].get("score", {})]))


def _cell(facts: _Facts, key: str, tag: str) -> Cell:
    triple = None if _says_nothing(facts, key, tag) else facts["measures"][key].get(tag)
    return Cell(Score(*triple) if triple else None, tag in facts["weak"].get(key, ()))


def _says_nothing(facts: _Facts, key: str, tag: str) -> bool:
    """Bits of a text of which too much is unknown: to say so takes few."""
    spoilt = {"bits_per_byte": {tag}, "parity": {tag, facts["source"]}}.get(key, set())
    return not spoilt.isdisjoint(facts["weak"].get("unknown_rate", ()))


def _headline(facts: _Facts) -> str:
    """Which languages are weak by what, those with the most first, together where they are weak alike."""
    languages, weak = _tags(facts), facts["weak"]
    if not any(facts["measures"].get(key) for key in weak):
        return "Nothing was measured that has a limit, so nothing is called weak."
    alike: dict[tuple[str, ...], list[str]] = {}
    for tag in languages:
        if keys := tuple(key for key, tags in weak.items() if tag in tags):
            alike.setdefault(keys, []).append(language_name(tag))
    if not alike:
        return f"Weak in none of {number_word(len(languages))} languages."
    groups = sorted(alike.items(), key=lambda group: -len(group[0]))
    told = [f"{_few(names)} ({', '.join(_CALLED[key] for key in keys)})" for keys, names in groups[:_GROUPS]]
    if left := sum(len(names) for _, names in groups[_GROUPS:]):
        told.append(f"{number_word(left)} more, less so")
    bad = sum(map(len, alike.values()))
    return f"Weak in {number_word(bad)} of {number_word(len(languages))} languages: {'; '.join(told)}."


_CALLED = {
    "unknown_rate": "unknown tokens",
    "premium": "cost in tokens",
    "parity": "prediction",
    "retrieval": "distance from the source",
    "gradient": "gradients against the source's",
    "behind": "task scores",
}
_NAMED, _GROUPS = 6, 3


def _few(names: Sequence[str]) -> str:
    """Names, or how many where a sentence could not hold them."""
    return f"{number_word(len(names))} languages" if len(names) > _NAMED else listed(names)


def _read(facts: _Facts) -> list[str]:
    read, model = facts["read"], facts["model"]
    if read["embedded"]:
        told = [
            "What was read is the embedded world: simple sentences, made here. What that says of real text "
            "is little: give text of yours."
        ]
    else:
        told = []
    if read["aligned"]:
        languages = number_word(len(read["aligned_languages"]))
        told.append(
            f"{read['aligned']:,} sentences that say the same in {languages} languages were compared with"
            f" {language_name(facts['source'])}."
        )
    if read["stand_ins"] and not read["embedded"]:
        names = [language_name(tag) for tag in read["stand_ins"]]
        told.append(f"For want of other text, {listed(names)} stood in with these sentences alone.")
    if facts["measures"].get("bits_per_byte"):
        masked = (
            " A word in many pieces is told from its own other pieces, so such a model looks better than it"
            " is where words are cut small."
            if model["objective"] != "causal"
            else ""
        )
        told.append(f"How bits are counted: {model['scored']}.{masked}")
        if unknown := facts["weak"].get("unknown_rate"):
            whose = listed([language_name(tag) for tag in unknown])
            told.append(f"Bits of {whose} are left out: to say that a token is unknown takes few.")
    return told


def _suggestion(advice: _Facts) -> Suggestion:
    recipe = advice["recipe"]
    return Suggestion(
        title=advice["title"],
        means=advice["means"],
        evidence=tuple(advice["evidence"]),
        remedy=advice["remedy"],
        command=advice["command"] or "",
        recipe=yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, default_flow_style=None, width=96)
        if recipe
        else "",
    )


def _layers(facts: _Facts) -> Layers | None:
    found = facts.get("layers")
    if not found:
        return None
    shares = {tag: tuple(one[0] for one in states) for tag, states in found["retrieval"].items()}
    order = sorted(shares, key=lambda tag: -shares[tag][found["best"]])
    return Layers(
        tuple(language_name(tag) for tag in order),
        tuple(shares[tag] for tag in order),
        found["best"],
        found["candidates"],
    )


def _vocabulary(facts: _Facts) -> list[str]:
    found = facts.get("vocabulary")
    if not found:
        return []
    counted = sum(found["tokens"].values())
    told = [f"{counted:,} tokens were counted; the vocabulary has {found['rows']:,} rows."]
    if found["kept"] is not None:
        size = {name: numbers.megabytes(n_bytes) for name, n_bytes in found["bytes"].items()}
        told.append(
            f"Trimmed to what was seen, {found['kept']:,} rows would stay and the model would take "
            f"{size['kept']} in float32, where it takes {size['now']}. With rows that more text would show, "
            f"at least {found['expected']:,} ({size['expected']})."
        )
    return told
