"""How far a score could move by chance: percentile bootstrap over items (Efron, 1979)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import DataError
from isogloss.core.seeds import generator

_AT_ONCE = 4_000_000  # resampled items held in memory together: 32 MB of indices


class Difference(NamedTuple):
    """A mean difference and its interval."""

    mean: float
    low: float
    high: float


def bootstrap(
    values: Sequence[float],
    *,
    seed: int,
    draws: int = 1000,
    level: float = 0.95,
    weights: Sequence[float] | None = None,
) -> tuple[float, float]:
    """A confidence interval for the mean of per-item scores.

    The interval says how the mean would vary over test sets of the same size; it knows nothing of training
    seeds. One item gives an interval of width 0, which is honest only about the method.

    Args:
        values: a score per independent item: 0 or 1 per question, a LAS per sentence.
        seed: the same seed, values and draws give the same interval.
        draws: resampled test sets.
        level: the interval's coverage, between 0 and 1.
        weights: per item its size, when the score is a ratio of sums: for LAS over words, `values` are the
            sentences' LAS and `weights` their numbers of words. None: all items count alike.

    Returns:
        (low, high).

    Raises:
        DataError: no values, or not one weight for each.
    """
    scores = np.asarray(values, dtype=np.float64)
    sizes = np.ones_like(scores) if weights is None else np.asarray(weights, dtype=np.float64)
    if not scores.size or scores.shape != sizes.shape:
        raise DataError(
            f"{scores.size} values and {sizes.size} weights", wanted="one weight for each, and some"
        )
    means = _resampled_means(scores, sizes, seed=seed, draws=draws)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(
    before: Sequence[float],
    after: Sequence[float],
    *,
    seed: int,
    draws: int = 1000,
    level: float = 0.95,
) -> Difference:
    """The mean of `after - before` over the same items, with its interval.

    Items are resampled in pairs, so what is hard for both cancels; the interval excludes 0 long before the
    two scores' own intervals part.

    Args:
        before: a score per item.
        after: a score per item, in the same order; the rest as in `bootstrap`.

    Raises:
        DataError: no items, or different numbers of them.
    """
    if len(before) != len(after):
        raise DataError(
            f"{len(before)} items before and {len(after)} after", wanted="the same items, in order"
        )
    change = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    low, high = bootstrap(change.tolist(), seed=seed, draws=draws, level=level)
    return Difference(float(change.mean()), low, high)


def _resampled_means(
    scores: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], *, seed: int, draws: int
) -> npt.NDArray[np.float64]:
    """The weighted mean of each resampled test set, in blocks that fit in memory."""
    random = generator(seed, "bootstrap")
    rows = max(1, _AT_ONCE // scores.size)
    means = []
    for start in range(0, draws, rows):
        chosen = random.integers(scores.size, size=(min(rows, draws - start), scores.size))
        chosen_sizes = sizes[chosen]
        means.append((scores[chosen] * chosen_sizes).sum(axis=1) / chosen_sizes.sum(axis=1))
    return np.concatenate(means)
