"""How evenly a score is spread over languages."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from isogloss.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Disparity:
    """The spread of one metric over languages, in the metric's own unit.

    Attributes:
        macro_average: every language counts the same.
        best: the language with the best score.
        worst: the language with the worst score.
        worst_score: its score.
        gap: how far apart best and worst are, 0 or more.
        source_lead: the source's score minus the mean of the others; None without a source or without others.
        deviation: standard deviation over the languages as they are (not an estimate from a sample).
    """

    macro_average: float
    best: str
    worst: str
    worst_score: float
    gap: float
    source_lead: float | None
    deviation: float


def disparity(
    scores: Mapping[str, float], *, source: str | None = None, higher_is_better: bool = True
) -> Disparity:
    """Sum up one metric's score per language.

    Args:
        source: the language trained on; None when there is none, or when all were.
        higher_is_better: False for perplexity and bits per byte.

    Raises:
        DataError: no language, or a source that is not among them.
    """
    if not scores:
        raise DataError("no language was scored, so there is no disparity")
    if source is not None and source not in scores:
        raise DataError(f"the source {source!r} was not scored", wanted=f"one of: {', '.join(scores)}")
    ranked = sorted(scores, key=lambda language: scores[language], reverse=higher_is_better)
    best, worst = ranked[0], ranked[-1]
    return Disparity(
        macro_average=statistics.fmean(scores.values()),
        best=best,
        worst=worst,
        worst_score=scores[worst],
        gap=abs(scores[best] - scores[worst]),
        source_lead=_lead(scores, source),
        deviation=statistics.pstdev(scores.values()),
    )


def _lead(scores: Mapping[str, float], source: str | None) -> float | None:
    others = [score for language, score in scores.items() if language != source]
    return scores[source] - statistics.fmean(others) if source is not None and others else None
