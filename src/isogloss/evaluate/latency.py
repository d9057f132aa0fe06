"""How long calls take, timed in turns so that a machine that slows down slows all of them."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from isogloss.core.seeds import generator

Call = Callable[[], object]
_WINDOW, _STEADY, _MOST_WARM_UPS = 3, 0.95, 30
_DRAWS = 2000


@dataclass(frozen=True)
class Timing:
    """The times of one call.

    Attributes:
        seconds: of each repeat, in the order they were made.
    """

    seconds: tuple[float, ...]

    @cached_property
    def p50(self) -> float:
        """The median."""
        return self.quantile(0.5)

    @cached_property
    def p95(self) -> float:
        """With fewer than twenty repeats close to the longest."""
        return self.quantile(0.95)

    def quantile(self, share: float) -> float:
        """The time that this share of the repeats stays below, between neighbours in proportion."""
        return float(np.quantile(self.seconds, share))

    def to_json(self) -> dict[str, float | list[float]]:
        """Quantiles, then every repeat, in seconds."""
        quantiles = {"p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
        found = {name: self.quantile(share) for name, share in quantiles.items()}
        return {**found, "repeats": list(self.seconds)}


def time_in_turns(
    calls: Mapping[str, Call], *, repeats: int, tick: Callable[[], None] = lambda: None
) -> dict[str, Timing]:
    """Time each call so many times, all of them once in every round, each round in another order.

    Every call is made beforehand until it no longer gets faster: three times or more, thirty at most.

    Args:
        calls: by name; what they return is thrown away.
        repeats: rounds, 1 or more; repeat i of every call is of the same round.
        tick: called after each round.
    """
    for call in calls.values():
        _warm_up(call)
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with _without_collector():
        for turn in range(repeats):
            first = turn % len(names)
            order = names[first:] + names[:first]
            for name in order if turn // len(names) % 2 == 0 else reversed(order):
                seconds[name].append(_timed(calls[name]))
            tick()
    return {name: Timing(tuple(times)) for name, times in seconds.items()}


def _timed(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _warm_up(call: Call) -> None:
    taken: list[float] = []
    while len(taken) < _MOST_WARM_UPS:
        taken.append(_timed(call))
        if len(taken) < 2 * _WINDOW:
            continue
        before, now = taken[-2 * _WINDOW : -_WINDOW], taken[-_WINDOW:]
        if statistics.median(now) >= _STEADY * statistics.median(before):
            return


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True)
class Ratio:
    """How many times as fast, with its 95 % interval."""

    value: float
    low: float
    high: float


def speed_up(before: Sequence[float], after: Sequence[float], *, seed: int = 0) -> Ratio:
    """The median of `before` over that of `after`; above 1, what comes after is faster.

    Rounds are resampled in pairs (percentile bootstrap), so what slowed both in one round cancels. The
    interval knows of the noise of this run alone, not of other days and machines.

    Args:
        before: seconds of each round.
        after: seconds of the same rounds.
    """
    first, second = np.asarray(before), np.asarray(after)
    assert first.shape == second.shape, "one time each for every round"
    chosen = generator(seed, "speed-up").integers(len(first), size=(_DRAWS, len(first)))
    ratios = np.median(first[chosen], axis=1) / np.median(second[chosen], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Ratio(float(np.median(first) / np.median(second)), float(low), float(high))
