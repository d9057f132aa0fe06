"""How far a number could move by chance: test sets drawn again from the items of one (Efron, 1979).

A resampled set is kept as how often each item is in it, so a statistic over many sets is a matrix product.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isogloss.core.seeds import generator

Array = npt.NDArray[np.float64]


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
    return generator(seed, name).multinomial(items, np.full(items, 1 / items), size=draws)


def interval(value: float, drawn: npt.ArrayLike, *, level: float = 0.95) -> Estimate:
    """The percentile interval of a number from its values on resampled sets; NaN among these is left out.

    Args:
        drawn: (draws,).
        level: the interval's coverage, between 0 and 1.

    Returns:
        NaN for both ends when no resampled set has a value.
    """
    found = np.asarray(drawn, dtype=np.float64)
    found = found[np.isfinite(found)]
    if not found.size:
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))
