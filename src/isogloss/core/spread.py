"""How evenly scores are spread over languages: arithmetic alone, for whoever scores, selects or reports.

Scores are (..., languages) and higher is better; negate perplexities before. NaN makes the result NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def gap(scores: Array) -> Array:
    """The best language's score minus the worst one's."""
    return np.asarray(scores.max(axis=-1) - scores.min(axis=-1))


def deviation(scores: Array) -> Array:
    """Standard deviation over the languages as they are (not an estimate from a sample)."""
    return np.asarray(scores.std(axis=-1))


def worst_mean(scores: Array, count: int) -> Array:
    """Mean of the `count` lowest scores; of all where there are fewer."""
    return _unless_nan(scores, np.sort(scores, axis=-1)[..., :count].mean(axis=-1))


def below(scores: Array, floor: float) -> Array:
    """Share of languages with a score below the floor."""
    return _unless_nan(scores, (scores < floor).mean(axis=-1))


def _unless_nan(scores: Array, result: Array) -> Array:
    """NaN stands last where scores are sorted, and is below nothing."""
    return np.where(np.isnan(scores).any(axis=-1), np.nan, result)


def lead(scores: Array, source: int) -> Array:
    """The score at `source` minus the mean of the others, of which there is at least one."""
    return np.asarray(scores[..., source] - np.delete(scores, source, axis=-1).mean(axis=-1))


def fair(scores: Array) -> Array:
    """The mean, over all pairs of languages, of the worse of the two; a language pairs with itself too.

    Equals the mean minus half of Gini's mean difference (Sen's welfare function, 1976), so it lies between
    the worst score and the mean. Unlike the mean minus the standard deviation it never falls when a language
    improves, however good that one is already.
    """
    count = scores.shape[-1]
    # Sorted from the lowest, the i-th of n is the worse one in 2 (n - i) + 1 of n^2 ordered pairs.
    shares = (2 * np.arange(count, 0, -1) - 1) / count**2
    return np.asarray(np.sort(scores, axis=-1) @ shares)
