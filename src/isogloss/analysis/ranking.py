"""Whether scores that need no labels rank languages as their accuracies do (Spearman, 1904)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from isogloss.analysis.panel import Array, Panel
from isogloss.analysis.selection import scores_on
from isogloss.core.errors import DataError
from isogloss.core.resampling import Estimate, draw_counts, interval
from isogloss.core.seeds import generator


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """How well a selector's scores rank the languages.

    Attributes:
        over_items: Spearman's correlation and its 95 % interval, had the items been others.
        over_languages: the same correlation, with its interval had the languages been others.
    """

    over_items: Estimate
    over_languages: Estimate


def rank_correlation(
    panel: Panel,
    selector: str,
    correct: npt.ArrayLike,
    *,
    same_items: bool = False,
    source: str | None = None,
    seed: int = 0,
    draws: int = 1000,
) -> RankCorrelation:
    """Correlate a selector's scores on unlabelled items with accuracies on labelled ones.

    Args:
        selector: one of `analysis.selection.SELECTORS`. With "all" every correlation is NaN.
        correct: (languages, labelled items) in the panel's order of languages, 1 where the model is right.
        same_items: the labelled items are the panel's, in its order, and are resampled with it; otherwise
            the two sets are resampled apart.
        source: the language that the task was learnt in, for the selector "source".
        seed: of the resampling, and of the selector "random".
        draws: resampled sets, of items and of languages.

    Returns:
        Values in [-1, 1]; NaN where scores or accuracies are all equal.

    Raises:
        DataError: `correct` of another shape.
        RecipeError: an unknown selector.
    """
    hits = _hits(panel, correct, same_items=same_items)
    once = np.ones((1, len(panel.ids)), dtype=np.int64)
    scores, accuracies = scores_on(panel, selector, once, seed=seed, source=source)[0], hits.mean(axis=1)
    value = float(spearman(scores, accuracies))
    counts = draw_counts(len(panel.ids), draws=draws, seed=seed, name="ranking")
    again = (
        counts if same_items else draw_counts(hits.shape[1], draws=draws, seed=seed, name="labelled ranking")
    )
    resampled = scores_on(panel, selector, counts, seed=seed, source=source)
    by_items = spearman(resampled, again @ hits.T / hits.shape[1])
    languages = len(panel.languages)
    drawn = generator(seed, "languages").integers(languages, size=(draws, languages))
    by_languages = spearman(scores[drawn], accuracies[drawn])
    return RankCorrelation(interval(value, by_items), interval(value, by_languages))


def spearman(first: Array, second: Array) -> Array:
    """Spearman's rank correlation over the last axis, equal values sharing their mean rank.

    Args:
        first: (..., languages).
        second: the same shape.

    Returns:
        (...), in [-1, 1]; NaN where one side is all equal.
    """
    # Sums in another order must not part equal scores into ranks.
    left, right = (rankdata(np.round(side, 12), axis=-1) for side in (first, second))
    left, right = left - left.mean(axis=-1, keepdims=True), right - right.mean(axis=-1, keepdims=True)
    size = np.sqrt((left**2).sum(axis=-1) * (right**2).sum(axis=-1))
    together = (left * right).sum(axis=-1)
    return np.divide(together, size, out=np.full_like(together, np.nan), where=size > 0)


def _hits(panel: Panel, correct: npt.ArrayLike, *, same_items: bool) -> Array:
    hits = np.asarray(correct, dtype=np.float64)
    items = hits.shape[1] if hits.ndim == 2 else 0
    if hits.ndim != 2 or hits.shape[0] != len(panel.languages) or not items:
        raise DataError(f"correct of shape {hits.shape}", wanted=f"({len(panel.languages)}, labelled items)")
    if same_items and items != len(panel.ids):
        raise DataError(f"{items} labelled items", wanted=f"the panel's {len(panel.ids)}")
    return hits
