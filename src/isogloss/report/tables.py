"""Tables of a report as plain records, made from run folders alone; page, card and terminal print them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isogloss.core.languages import original_of
from isogloss.core.run import RunRecord
from isogloss.evaluate.disparity import disparity
from isogloss.report.measurements import (
    WATCHED,
    Measurement,
    in_order,
    language_name,
    measurements,
    source_language,
)
from isogloss.report.numbers import metric, rank


@dataclass(frozen=True)
class Score:
    """A value as measured (fractions stay fractions) and its interval, None when there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ScoreRow:
    """One language: a score per column of its table, None where it was not measured.

    `change` is the last column minus the first, None with one column or a gap in either.
    """

    language: str
    name: str
    scores: tuple[Score | None, ...]
    change: float | None

    @property
    def values(self) -> tuple[float | None, ...]:
        """The scores without their intervals."""
        return tuple(score.value if score else None for score in self.scores)

    @property
    def within_chance(self) -> bool:
        """Whether the first and last column's intervals overlap; False without intervals."""
        first, last = self.scores[0], self.scores[-1]
        if not (first and last) or None in (first.low, first.high, last.low, last.high):
            return False
        return max(first.low or 0, last.low or 0) <= min(first.high or 0, last.high or 0)


@dataclass(frozen=True)
class DisparityRow:
    """One number over all languages, per column: a mean, or how unequal they are.

    Attributes:
        label: what it is.
        key: mean, worst, gap, spread or transfer.
        values: per column.
        languages: per column the language that the value belongs to; None where it belongs to all.
        change: the last column minus the first.
        lower_is_better: None when the metric says which way is better, True for the measures of inequality.
    """

    label: str
    key: str
    values: tuple[float | None, ...]
    languages: tuple[str | None, ...]
    change: float | None
    lower_is_better: bool | None


@dataclass(frozen=True)
class ScoreTable:
    """Scores of one metric on one task: languages down, models (or steps, or runs) across.

    Attributes:
        task: None when the measurements name none.
        split: the data measured on, test or dev.
        columns: what was measured, in order; the last one is the result.
        rows: the source language first, then from the best score in the last column to the worst.
        disparity: over the `compared` languages; empty with fewer than two.
        compared: languages that every column has, so that columns compare.
        source: the language supervision came from, None when there is no such one.
    """

    task: str | None
    metric: str
    split: str
    columns: tuple[str, ...]
    rows: tuple[ScoreRow, ...]
    disparity: tuple[DisparityRow, ...]
    compared: tuple[str, ...]
    source: str | None

    @property
    def within_chance(self) -> bool:
        """Whether no compared language changed beyond its intervals; False without intervals."""
        rows = [row for row in self.rows if row.language in self.compared]
        return bool(rows) and all(row.within_chance for row in rows)

    def figure(self, key: str) -> DisparityRow | None:
        """The disparity row of a key, None when the table has none."""
        return next((row for row in self.disparity if row.key == key), None)


@dataclass(frozen=True)
class SizeRow:
    """One model of a run; a fact that was not noted is None. `share` is of the reference's parameters."""

    name: str
    parameters: int | None
    bytes: int | None
    layers: int | None
    hidden: int | None
    vocabulary: int | None
    share: float | None


@dataclass(frozen=True)
class SizeTable:
    """Models of a run; `reference` is the one the others are measured against, None with a single one."""

    rows: tuple[SizeRow, ...]
    reference: str | None


@dataclass(frozen=True)
class MixtureRow:
    """One language's share of the training tokens, asked for and got; None where it was not noted."""

    language: str
    name: str
    requested: float | None
    realised: float | None
    tokens: float | None


@dataclass(frozen=True)
class MixtureTable:
    """The mixture ledger of one phase, the largest share first."""

    phase: str
    rows: tuple[MixtureRow, ...]


def score_tables(run: RunRecord) -> tuple[ScoreTable, ...]:
    """A table for each task and metric; of a task's several metrics the one to read first comes first.

    A run without test results so far is shown by its first and last development scores.
    """
    lines = measurements(run, per_language=True)
    tested = [m for m in lines if m.split == "test"]
    developed = [m for m in lines if m.split == "dev" and m.metric not in WATCHED]
    split, chosen, column = (
        ("test", tested, _model_or_phase(tested)) if tested else ("dev", _first_and_last(developed), _step)
    )
    tasks = in_order(m.task for m in chosen)
    kinds = sorted(
        in_order((m.task, m.metric) for m in chosen), key=lambda kind: (tasks.index(kind[0]), rank(kind[1]))
    )
    source = source_language(run.recipe)
    return tuple(
        _table(task, name, split, _by_column(chosen, task, name, column), source=source)
        for task, name in kinds
    )


def compare(runs: Mapping[str, RunRecord]) -> tuple[ScoreTable, ...]:
    """A table for each task and metric that two or more runs were tested on; a column for each run's result.

    Args:
        runs: the column's name for each run, in order.
    """
    tables = {name: [t for t in score_tables(run) if t.split == "test"] for name, run in runs.items()}
    every = [table for found in tables.values() for table in found]
    result = []
    for task, name in in_order((t.task, t.metric) for t in every):
        columns = {
            column: {row.language: row.scores[-1] for row in table.rows if row.scores[-1]}
            for column, found in tables.items()
            for table in found
            if (table.task, table.metric) == (task, name)
        }
        if len(columns) > 1:
            sources = in_order(t.source for t in every if t.source and t.task == task)
            result.append(
                _table(task, name, "test", columns, source=sources[0] if len(sources) == 1 else None)
            )
    return tuple(result)


_OF_PIECES = ("perplexity", "masked_perplexity")
_BASELINES = ("before", "base", "teacher")  # what a result is compared with stands first, whenever measured
_Columns = Mapping[str, Mapping[str, Score | None]]


def _model_or_phase(lines: Sequence[Measurement]) -> Callable[[Measurement], str]:
    """What tells the columns apart: the model where lines name one, and the phase where there are several."""
    several = len({m.phase for m in lines if m.model is None}) > 1
    return lambda m: m.model or (m.phase if several else "score")


def _step(line: Measurement) -> str:
    return f"{line.phase} step {line.step}".strip()


def _first_and_last(lines: Sequence[Measurement]) -> list[Measurement]:
    """Of each task and metric, the lines of the first and the last (phase, step) measured."""
    ends: dict[tuple[str | None, str], list[tuple[str, int]]] = {}
    for line in lines:
        ends.setdefault((line.task, line.metric), []).append((line.phase, line.step))
    return [m for m in lines if (m.phase, m.step) in (ends[m.task, m.metric][0], ends[m.task, m.metric][-1])]


def _by_column(
    lines: Sequence[Measurement], task: str | None, name: str, column: Callable[[Measurement], str]
) -> _Columns:
    """Scores by column and language; measured again, the later line holds."""
    columns: dict[str, dict[str, Score | None]] = {name: {} for name in _BASELINES}
    for line in lines:
        if (line.task, line.metric) == (task, name) and line.language:
            columns.setdefault(column(line), {})[line.language] = Score(line.value, line.low, line.high)
    return {name: scores for name, scores in columns.items() if scores}


def _table(task: str | None, name: str, split: str, columns: _Columns, *, source: str | None) -> ScoreTable:
    languages = in_order(language for scores in columns.values() for language in scores)
    rows = [_row(language, [scores.get(language) for scores in columns.values()]) for language in languages]
    lower = metric(name).better == "lower"

    def place(row: ScoreRow) -> tuple[bool, bool, float]:
        last = row.scores[-1].value if row.scores[-1] else math.nan
        return row.language != source, math.isnan(last), last if lower else -last

    compared = [row for row in rows if all(score and math.isfinite(score.value) for score in row.scores)]
    return ScoreTable(
        task=task,
        metric=name,
        split=split,
        columns=tuple(columns),
        rows=tuple(sorted(rows, key=place)),
        disparity=_disparity(compared, source=source, lower=lower) if _may_compare(name, compared) else (),
        compared=tuple(row.language for row in compared),
        source=source if source in languages else None,
    )


def _may_compare(name: str, rows: Sequence[ScoreRow]) -> bool:
    """Perplexity is one of pieces, which two languages do not have in common unless they are clones."""
    originals = {original_of(row.language) for row in rows}
    return len(rows) > 1 and (name not in _OF_PIECES or len(originals) == 1)


def _row(language: str, scores: Sequence[Score | None]) -> ScoreRow:
    first, last = scores[0], scores[-1]
    change = last.value - first.value if len(scores) > 1 and first and last else None
    return ScoreRow(language, language_name(language), tuple(scores), change)


def _disparity(rows: Sequence[ScoreRow], *, source: str | None, lower: bool) -> tuple[DisparityRow, ...]:
    """The disparity rows over languages that every column has."""
    columns = [
        {row.language: score.value for row in rows if (score := row.scores[index])}
        for index in range(len(rows[0].scores))
    ]
    source = source if source in columns[0] else None
    found = [disparity(scores, source=source, higher_is_better=not lower) for scores in columns]
    nobody = [None] * len(columns)
    result = [
        _over_all("mean over languages", "mean", [f.macro_average for f in found], nobody, None),
        _over_all("worst language", "worst", [f.worst_score for f in found], [f.worst for f in found], None),
        _over_all("best − worst", "gap", [f.gap for f in found], nobody, True),
        _over_all("standard deviation", "spread", [f.deviation for f in found], nobody, True),
    ]
    if source is not None:
        label = "mean of others − source" if lower else "source − mean of others"
        leads = [(-1 if lower else 1) * (f.source_lead or 0.0) for f in found]
        result.append(_over_all(label, "transfer", leads, nobody, True))
    return tuple(result)


def _over_all(
    label: str,
    key: str,
    values: Sequence[float],
    languages: Sequence[str | None],
    lower_is_better: bool | None,
) -> DisparityRow:
    change = values[-1] - values[0] if len(values) > 1 else None
    return DisparityRow(label, key, tuple(values), tuple(languages), change, lower_is_better)


def size_table(run: RunRecord) -> SizeTable:
    """The models of sizes.json in the order noted; the teacher, base or else first is the reference."""
    sizes = {name: facts for name, facts in run.sizes.items() if isinstance(facts, dict)}
    names = [name for name in ("teacher", "base", *sizes) if name in sizes]
    reference = names[0] if len(sizes) > 1 else None
    whole = _number(sizes[reference], "parameters") if reference else None
    return SizeTable(tuple(_size_row(name, facts, whole) for name, facts in sizes.items()), reference)


def _size_row(name: str, facts: Mapping[str, Any], whole: int | None) -> SizeRow:
    parameters = _number(facts, "parameters")
    return SizeRow(
        name=name,
        parameters=parameters,
        bytes=_number(facts, "bytes"),
        layers=_number(facts, "layers"),
        hidden=_number(facts, "hidden"),
        vocabulary=_number(facts, "vocabulary"),
        share=parameters / whole if parameters is not None and whole else None,
    )


def _number(facts: Mapping[str, Any], key: str) -> int | None:
    value = facts.get(key)
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None


_LEDGER = {
    "requested_share": "requested",
    "share": "realised",
    "tokens": "tokens",
}


def mixture_tables(run: RunRecord) -> tuple[MixtureTable, ...]:
    """The mixture ledger of each phase that has one, as it stood at the phase's end."""
    phases: dict[str, dict[str, dict[str, float]]] = {}
    for line in measurements(run, per_language=True):
        if line.metric in _LEDGER and line.language and math.isfinite(line.value):
            languages = phases.setdefault(line.phase, {})
            languages.setdefault(line.language, {})[_LEDGER[line.metric]] = line.value
    return tuple(
        MixtureTable(phase, _mixture_rows(languages))
        for phase, languages in phases.items()
        if any(facts.keys() - {"tokens"} for facts in languages.values())
    )


def _mixture_rows(languages: Mapping[str, Mapping[str, float]]) -> tuple[MixtureRow, ...]:
    rows = [
        MixtureRow(
            tag, language_name(tag), facts.get("requested"), facts.get("realised"), facts.get("tokens")
        )
        for tag, facts in languages.items()
    ]
    return tuple(sorted(rows, key=lambda row: -(row.realised or row.requested or 0)))
