"""How far a number could move by chance: test sets drawn again from the items of one (Efron, 1979).

A resampled set is kept as how often each item is in it, so a statistic over many sets is a matrix product.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isogloss.core.seeds import generator

_AT_ONCE = 4_000_000  # resampled items drawn together: 32 MB of indices


class Estimate(NamedTuple):
    """A number and the interval that it would lie in with other items."""

    value: float
    low: float
    high: float


def draw_counts(items: int, *, draws: int, seed: int, name: str) -> npt.NDArray[np.int64]:
    """How often each item is in each resampled set of the same size.

    Args:
        items: at least 1.
        draws: resampled sets.
        name: the use, so that two uses of one seed draw apart.

    Returns:
        (draws, items); each row sums to `items`.
    """
    random = generator(seed, name)
    rows = max(1, _AT_ONCE // items)
    counts = np.empty((draws, items), dtype=np.int64)
    for start in range(0, draws, rows):
        block = counts[start : start + rows]
        chosen = random.integers(items, size=block.shape) + items * np.arange(len(block))[:, None]
        block[:] = np.bincount(chosen.ravel(), minlength=block.size).reshape(block.shape)
    return counts


def interval(value: float, drawn: npt.ArrayLike, *, level: float = 0.95, reflected: bool = False) -> Estimate:
    """A number's interval from its values on resampled sets; NaN among these is left out.

    Args:
        drawn: (draws,).
        level: the interval's coverage, between 0 and 1.
        reflected: turn the percentile interval round about the value (the basic bootstrap, Davison and
            Hinkley 1997, section 5.2), for numbers that noise makes larger. Resampling adds as much noise
            again, so percentiles lie too far on that side, and the truth on the other. The interval may
            then not hold the value itself: what was measured is noise for the most part.

    Returns:
        NaN for both ends when no resampled set has a value.
    """
    found = np.asarray(drawn, dtype=np.float64)
    found = found[np.isfinite(found)]
    if not found.size:
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    if reflected:
        low, high = 2 * value - high, 2 * value - low
    return Estimate(float(value), float(low), float(high))
