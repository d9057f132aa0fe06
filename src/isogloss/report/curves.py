"""What a run measured along its steps, as series ready to draw."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from isogloss.core.run import RunRecord
from isogloss.report.measurements import Measurement, in_order, language_name, measurements

_MOST_POINTS = 200
_NOT_LOSSES = {
    "learning_rate",
    "tokens_per_second",
    "gradient_norm",
    "tokens",
}


@dataclass(frozen=True)
class Series:
    """One line of a figure: a value at each step."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Curves:
    """The lines of one figure: several series of one phase.

    `metric` is None for losses, whose components share one axis.
    """

    phase: str
    task: str | None
    metric: str | None
    series: tuple[Series, ...]


def loss_curves(run: RunRecord) -> tuple[Curves, ...]:
    """Per phase, the training loss and its components, the total first."""
    losses = [m for m in measurements(run, split="train") if _is_loss(m)]
    return tuple(
        Curves(phase, None, None, series)
        for phase in in_order(m.phase for m in losses)
        if (series := _series(here := [m for m in losses if m.phase == phase], [m.metric for m in here]))
    )


def score_curves(run: RunRecord, *, once: bool = False) -> tuple[Curves, ...]:
    """Per phase, task and metric, the development scores by language.

    Args:
        once: also what was measured once only, for a caller that knows another point.
    """
    scores = measurements(run, split="dev", per_language=True)
    kinds = in_order((m.phase, m.task, m.metric) for m in scores)
    result = []
    for kind in kinds:
        lines = [m for m in scores if (m.phase, m.task, m.metric) == kind]
        series = _series(lines, [language_name(str(m.language)) for m in lines], least=1 if once else 2)
        if series:
            result.append(Curves(*kind, series))
    return tuple(result)


def throughput(run: RunRecord) -> Mapping[str, float]:
    """The median of training tokens per second for each phase that measured it."""
    lines = [m for m in measurements(run, metric="tokens_per_second") if math.isfinite(m.value)]
    return {
        phase: statistics.median(m.value for m in lines if m.phase == phase)
        for phase in in_order(m.phase for m in lines)
    }


def _is_loss(line: Measurement) -> bool:
    """A loss or a part of one; `hidden/3`, one layer's part of a part, would only crowd the figure."""
    return line.metric not in _NOT_LOSSES and "/" not in line.metric and line.language is None


def _name(line: Measurement) -> str:
    return language_name(line.language) if line.language else line.metric


def _series(lines: Sequence[Measurement], names: Iterable[str], *, least: int = 2) -> tuple[Series, ...]:
    """Lines grouped by name, in order of step; what was measured once only is no curve and left out.

    Args:
        least: points that a series needs.
    """
    ordered = sorted(in_order(names), key=lambda name: name != "loss")
    result = []
    for name in ordered:
        points = {m.step: m.value for m in lines if _name(m) == name and math.isfinite(m.value)}
        if len(points) >= least:
            result.append(_thinned(name, sorted(points.items())))
    return tuple(result)


def _thinned(name: str, points: Sequence[tuple[int, float]]) -> Series:
    """Means of equal stretches when there are more points than a figure can show."""
    width = math.ceil(len(points) / _MOST_POINTS)
    stretches = [points[start : start + width] for start in range(0, len(points), width)]
    steps = tuple(stretch[-1][0] for stretch in stretches)
    return Series(name, steps, tuple(statistics.fmean(value for _, value in s) for s in stretches))
