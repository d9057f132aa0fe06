"""How long many runs may still take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from isogloss.core.config import Record
from isogloss.methods.runners.job import Event
from isogloss.training.plan import TrainingPlan


def cost(recipe: Any) -> float:
    """What a run costs beside others of a sweep: rows that its trainings read, where steps are given."""
    return max(1.0, _rows(recipe))


def _rows(value: Any) -> float:
    if isinstance(value, TrainingPlan):
        return float((value.steps or 0) * value.batch_size * value.accumulate)
    if isinstance(value, Record):
        return sum(_rows(getattr(value, name)) for name in type(value).model_fields)
    return sum(map(_rows, value.values())) if isinstance(value, dict) else 0.0


class Pace:
    """How long a sweep may still take, from the runs that it has carried out so far.

    Runs differ in size, so each counts by its cost, and one that is under way by the time it has had.
    """

    def __init__(self, costs: Mapping[str, float]) -> None:
        """Args:
        costs: of each run still to be carried out, by name, in any unit.
        """
        self._left = dict(costs)
        self._at_once = 1  # so many were under way together
        self._since: dict[str, float] = {}
        self._seconds = self._done = 0.0

    def event(self, event: Event, *, now: float | None = None) -> None:
        """Take note that a run began, or ended well."""
        now = time.monotonic() if now is None else now
        name = event.job.name
        if event.kind == "started":
            self._since[name] = now
            self._at_once = max(self._at_once, len(self._since))
        elif (since := self._since.pop(name, None)) is not None and event.why is None:
            self._seconds += now - since
            self._done += self._left.pop(name, 0.0)

    def remaining(self, *, now: float | None = None) -> float | None:
        """Seconds until all are done; None until a first run has ended."""
        if not self._done:
            return None
        now = time.monotonic() if now is None else now
        rate = self._seconds / self._done
        left = sum(
            max(0.0, rate * cost - (now - self._since.get(name, now))) for name, cost in self._left.items()
        )
        return left / min(self._at_once, max(1, len(self._left)))
