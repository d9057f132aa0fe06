"""The results of a sweep as one table, from `sweep.json` and the run folders alone."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from isogloss.core.errors import CheckpointError, did_you_mean
from isogloss.core.repeats import Repeats, repeats
from isogloss.core.run import RunRecord, read_facts, read_run
from isogloss.report.measurements import in_order, language_name, measurements
from isogloss.report.numbers import metric, task_label
from isogloss.report.page import stage_folders
from isogloss.report.tables import score_tables

FACTS = "sweep.json"
_SPLITS = ("test", "dev", "train")


@dataclass(frozen=True)
class Column:
    """One number that runs are compared by.

    Attributes:
        stage: of a pipeline; None of other runs.
        task: None where the measurement names none.
    """

    stage: str | None
    task: str | None
    metric: str
    language: str

    @property
    def key(self) -> str:
        """Its name in CSV, unlike any other's."""
        return " ".join(filter(None, [self.stage, self.task, self.metric, self.language]))

    @property
    def label(self) -> str:
        """Its name for readers."""
        task = "" if self.task == "lm" else task_label(self.task)  # perplexity tells enough
        parts = [self.stage and f"{self.stage}:", task, metric(self.metric).label]
        return f"{' '.join(filter(None, parts))}, {language_name(self.language)}"


@dataclass(frozen=True)
class RunRow:
    """One run: `values` by column, None where it did not measure it; `varied` by the sweep's keys."""

    name: str
    setting: str
    seed: int | None
    varied: tuple[str, ...]
    state: str
    why: str
    folder: str | None
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class SettingRow:
    """The runs of one setting together: `values` over the seeds that have one, None where none has."""

    name: str
    varied: tuple[str, ...]
    values: tuple[Repeats | None, ...]


@dataclass(frozen=True)
class SweepTable:
    """All runs of a sweep and its settings.

    Attributes:
        keys: dotted, that vary, seeds apart.
        missing: sentences on metrics that were asked for and that no run has measured.
    """

    name: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    runs: tuple[RunRow, ...]
    settings: tuple[SettingRow, ...]
    missing: tuple[str, ...]


_Found: TypeAlias = Mapping[Column, float]


def sweep_table(folder: Path) -> SweepTable:
    """Read a sweep's folder.

    Raises:
        CheckpointError: it is not a sweep's, or a file of it is damaged.
    """
    facts = read_facts(folder / FACTS)
    if not facts:
        raise CheckpointError(
            f"{folder} is not a sweep's folder: it has no {FACTS}",
            wanted="a folder that `isogloss sweep` made",
        )
    metrics, runs = facts["metrics"], facts["runs"]
    found = [_found(folder / run["folder"], metrics) if run["folder"] else {} for run in runs]
    columns = _ordered({column for one in found for column in one}, metrics)
    rows = tuple(_row(run, facts["keys"], columns, values) for run, values in zip(runs, found, strict=True))
    return SweepTable(
        facts["name"],
        tuple(facts["keys"]),
        tuple(columns),
        rows,
        tuple(_settings(rows)),
        tuple(_unmeasured(folder, rows, set(metrics) - {column.metric for column in columns})),
    )


def _unmeasured(folder: Path, rows: Sequence[RunRow], names: Iterable[str]) -> Iterator[str]:
    """Nothing while no run has finished: a metric may still come."""
    done = next((row.folder for row in rows if row.state == "finished" and row.folder), None)
    if done is None:
        return
    places = [folder / done, *stage_folders(folder / done)]
    known = {str(line["metric"]) for place in places for line in read_run(place).metrics}
    for name in sorted(names):
        yield f"No run measured {name!r}: {did_you_mean(name, known)}"


def short_keys(keys: Sequence[str]) -> tuple[str, ...]:
    """Dotted keys by their last part, whole where two would be called the same."""
    last = [key.rpartition(".")[2] for key in keys]
    return tuple(name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True))


def runs_csv(table: SweepTable) -> str:
    """A row for each run: its name, setting, seed, what varies, how it ended, and every column."""
    head = ["run", "setting", "seed", *table.keys, "state", "folder", *(c.key for c in table.columns)]
    rows = (
        [run.name, run.setting, run.seed, *run.varied, run.state, run.folder, *run.values]
        for run in table.runs
    )
    return _csv(head, rows)


def settings_csv(table: SweepTable) -> str:
    """A row for each setting: of every column the seeds that have it, mean, deviation and interval."""
    parts = ("seeds", "mean", "sd", "low", "high")
    head = ["setting", *table.keys, *(f"{c.key} {part}" for c in table.columns for part in parts)]
    nothing = (0, None, None, None, None)
    rows = (
        [row.name, *row.varied, *(item for value in row.values for item in value or nothing)]
        for row in table.settings
    )
    return _csv(head, rows)


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return stream.getvalue()


def _found(folder: Path, metrics: Sequence[str]) -> dict[Column, float]:
    """The last value of each column that a run has, stage by stage."""
    stages = stage_folders(folder)
    parts: list[tuple[str | None, Path]] = [(stage.name, stage) for stage in stages] or [(None, folder)]
    found: dict[Column, float] = {}
    for stage, place in parts:
        run = read_run(place)
        found |= _tested(run, metrics, stage)
        for name in metrics:
            if not any((column.stage, column.metric) == (stage, name) for column in found):
                found |= _measured(run, name, stage)
    return found


def _tested(run: RunRecord, metrics: Sequence[str], stage: str | None) -> dict[Column, float]:
    """Results on test sets: the metrics asked for, or each task's first one."""
    tables = [table for table in score_tables(run) if table.split == "test"]
    if not metrics:
        firsts = {table.task: table for table in reversed(tables)}
        tables = list(reversed(firsts.values()))
    return {
        Column(stage, table.task, table.metric, row.language): score.value
        for table in tables
        if not metrics or table.metric in metrics
        for row in table.rows
        if (score := row.scores[-1]) is not None
    }


def _measured(run: RunRecord, name: str, stage: str | None) -> dict[Column, float]:
    """What was measured elsewhere, such as the ledger's `tokens`: each language's last value."""
    lines = measurements(run, metric=name, per_language=True)
    split = next((split for split in _SPLITS if any(line.split == split for line in lines)), None)
    return {
        Column(stage, line.task, name, str(line.language)): line.value
        for line in lines
        if line.split == split
    }


def _ordered(columns: set[Column], metrics: Sequence[str]) -> list[Column]:
    """By stage, metric as asked for, task and language."""
    places = {name: place for place, name in enumerate(metrics)}
    return sorted(
        columns,
        key=lambda c: (c.stage or "", places.get(c.metric, len(places)), c.metric, c.task or "", c.language),
    )


def _row(run: Mapping[str, Any], keys: Sequence[str], columns: Sequence[Column], found: _Found) -> RunRow:
    return RunRow(
        name=run["name"],
        setting=run["setting"],
        seed=run["seed"],
        varied=tuple(run["varied"].get(key, "") for key in keys),
        state=run["state"],
        why=run["why"],
        folder=run["folder"],
        values=tuple(found.get(column) for column in columns),
    )


def _settings(rows: Sequence[RunRow]) -> Iterator[SettingRow]:
    for name in in_order(row.setting for row in rows):
        same = [row for row in rows if row.setting == name and row.state == "finished"]
        every = next(row for row in rows if row.setting == name)
        values = [[row.values[place] for row in same] for place in range(len(every.values))]
        yield SettingRow(name, every.varied, tuple(_over_seeds(found) for found in values))


def _over_seeds(values: Sequence[float | None]) -> Repeats | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return repeats(known) if known else None
