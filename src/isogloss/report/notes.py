"""What a reader must know before trusting a run's numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from isogloss.core.run import RunRecord
from isogloss.report.headline import listed
from isogloss.report.levelling import levelling
from isogloss.report.measurements import WATCHED, in_order, measurements
from isogloss.report.numbers import metric, percent, signed, task_label
from isogloss.report.tables import MixtureTable, mixture_tables, score_tables

_SHARE_OFF = 0.02  # a realised share this far from the requested one is worth a note
_ERRORS = 3  # if it is so many standard errors of the draw away besides
_ROW = 128  # tokens of a sequence, where the recipe does not say


@dataclass(frozen=True)
class Note:
    """Something the reader must know before trusting the numbers."""

    level: Literal["failed", "note"]
    title: str
    detail: str = ""


def notes(run: RunRecord, *, stages: Sequence[RunRecord] = ()) -> tuple[Note, ...]:
    """What stands before the numbers: a failure with its reason, an unfinished state, odd measurements.

    Args:
        stages: of a pipeline; its own results lie in them.
    """
    found = [_state(run), _no_results(run, stages), *_levelled(run), _not_finite(run)]
    row = int(run.recipe.get("length") or _ROW)
    off = (_shares_off(table, row) for table in mixture_tables(run))
    return tuple(note for note in (*found, *off) if note)


def _levelled(run: RunRecord) -> list[Note]:
    """What levelling did that was not wanted."""
    found = levelling(run)
    if found is None:
        return []
    told = [
        f"{effect.name} ({signed(found.metric, effect.change.value)}, {effect.role})"
        for effect in found.harmed
    ]
    label = f"{task_label(found.task)} {metric(found.metric).label}".strip()
    harm = Note("note", "Levelling did harm.", f"{listed(told)}: loss of {label} beyond chance.")
    back = Note("note", "The model from before was put back.", "Levelling gained nothing that could be kept.")
    return [*([back] if found.put_back else []), *([harm] if told else [])]


def _state(run: RunRecord) -> Note | None:
    state, updated = run.status.get("state"), run.status.get("updated", "an unknown time")
    if state == "failed":
        return Note("failed", "This run failed.", str(run.status.get("why", "It left no reason.")))
    if state == "finished":
        return None
    return Note("note", "This run has not finished.", f"Its status was last written at {updated}.")


def _no_results(run: RunRecord, stages: Sequence[RunRecord]) -> Note | None:
    tables = score_tables(run)
    if stages or any(table.split == "test" for table in tables):
        return None
    if tables:
        return Note("note", "No test results.", "The scores below are on development data.")
    if run.recipe.get("method") in ("pretrain", "audit") or any(
        line.metric in WATCHED for line in measurements(run)
    ):
        return None
    return Note("note", "No scores per language.", "The run left no measurement of any language.")


def _not_finite(run: RunRecord) -> Note | None:
    odd = [m for m in measurements(run) if not math.isfinite(m.value)]
    if not odd:
        return None
    names = in_order(f"{m.metric} ({m.phase})" for m in odd)
    return Note("note", "Some measurements are not finite.", f"{listed(names)}; first at step {odd[0].step}.")


def _shares_off(table: MixtureTable, length: int) -> Note | None:
    """Shares that were not kept beyond what drawing each sequence by lot does."""
    known = [(row, row.requested, row.realised) for row in table.rows]
    draws = sum(row.tokens or 0.0 for row in table.rows) / length or math.inf
    off = [
        f"{row.name} ({percent(asked)} asked, {percent(got)} given)"
        for row, asked, got in known
        if asked is not None
        and got is not None
        and abs(asked - got) > max(_SHARE_OFF, _ERRORS * math.sqrt(asked * (1 - asked) / draws))
    ]
    return (
        Note("note", f"The mixture of {table.phase} is not the one asked for.", f"{listed(off)}.")
        if off
        else None
    )
