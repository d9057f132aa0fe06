"""How evenly a score is spread over languages, and how far that could be by chance."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from isogloss.core import spread
from isogloss.core.errors import DataError
from isogloss.core.resampling import Estimate, draw_counts, interval
from isogloss.evaluate.items import Item

Array: TypeAlias = npt.NDArray[np.float64]
ItemScores: TypeAlias = Mapping[str, Mapping[str, Item]]
"""Per language, each item's score by its id, as `evaluate.items.items_by_id` gives them."""


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
        worst_mean: mean of the worst languages, as many as were asked for.
        beyond_floor: share of languages worse than the floor; None without a floor.
    """

    macro_average: float
    best: str
    worst: str
    worst_score: float
    gap: float
    source_lead: float | None
    deviation: float
    worst_mean: float
    beyond_floor: float | None


@dataclass(frozen=True, slots=True)
class Measures:
    """What is measured over languages.

    Attributes:
        source: the language trained on, for the transfer gap; None when there is no such one.
        worst: how many languages `worst_mean` looks at; all where there are fewer.
        floor: the score that a language should have, for `beyond_floor`; None for no such measure.
        higher_is_better: False for perplexity and bits per byte.
    """

    source: str | None = None
    worst: int = 3
    floor: float | None = None
    higher_is_better: bool = True


def disparity(
    scores: Mapping[str, float],
    *,
    source: str | None = None,
    higher_is_better: bool = True,
    worst: int = 3,
    floor: float | None = None,
) -> Disparity:
    """Sum up one metric's score per language.

    Args:
        source, higher_is_better, worst, floor: as in `Measures`.

    Raises:
        DataError: no language, or a source that is not among them.
    """
    if not scores:
        raise DataError("no language was scored, so there is no disparity")
    _check_source(source, scores)
    ranked = sorted(scores, key=lambda language: scores[language], reverse=higher_is_better)
    lowest = [scores[language] for language in ranked[-worst:]]
    return Disparity(
        macro_average=statistics.fmean(scores.values()),
        best=ranked[0],
        worst=ranked[-1],
        worst_score=scores[ranked[-1]],
        gap=abs(scores[ranked[0]] - scores[ranked[-1]]),
        source_lead=_lead(scores, source),
        deviation=statistics.pstdev(scores.values()),
        worst_mean=statistics.fmean(lowest),
        beyond_floor=None if floor is None else _beyond(scores, floor, higher_is_better),
    )


def disparity_estimates(
    scored: ItemScores, measures: Measures, *, seed: int = 0, draws: int = 1000, level: float = 0.95
) -> dict[str, Estimate]:
    """Each measure of one model with its interval over items.

    Languages with the same ids are resampled together, so what is hard in every language cancels; otherwise
    each language's items are resampled apart.

    Noise makes the gap and the deviation larger and the worst languages worse than they are, so these have
    reflected intervals (`core.resampling.interval`), those of gap and deviation on squares, where noise adds
    up. They may not hold the measured value: it is then noise for the most part.

    Returns:
        `mean`, `gap`, `deviation`, `worst_mean`; `transfer_gap` with a source, positive where it is ahead;
        `beyond_floor` with a floor.

    Raises:
        DataError: no language, a language without items, or a source that is not among them.
    """
    _check_scored(scored, measures)
    resampled = _resampled([scored], seed=seed, draws=draws)[0]
    values, drawn = _measured(_scores(scored), scored, measures), _measured(resampled, scored, measures)
    return {
        name: _INTERVALS.get(name, interval)(float(value), drawn[name], level=level)
        for name, value in values.items()
    }


def disparity_changes(
    before: ItemScores,
    after: ItemScores,
    measures: Measures,
    *,
    seed: int = 0,
    draws: int = 1000,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Each measure of one model minus that of another on the same items, with a paired interval.

    Both are scored on the same resampled sets, so most of the noise, and of what it adds to a spread,
    cancels; the intervals are percentiles. Below 0 the spread has fallen.

    Returns:
        As `disparity_estimates`, after minus before.

    Raises:
        DataError: other languages or items before than after; the rest as in `disparity_estimates`.
    """
    _check_scored(before, measures)
    _check_same(before, after)
    first, second = (
        _measured(scores, before, measures) for scores in _resampled([before, after], seed=seed, draws=draws)
    )
    old, new = (_measured(_scores(scored), scored, measures) for scored in (before, _like(before, after)))
    return {
        name: interval(float(new[name] - old[name]), second[name] - first[name], level=level) for name in old
    }


def aligned(scored: ItemScores) -> bool:
    """Whether all languages have the same ids."""
    ids = [set(items) for items in scored.values()]
    return all(one == ids[0] for one in ids)


def _measured(scores: Array, scored: ItemScores, measures: Measures) -> dict[str, Array]:
    """Every measure of (..., languages) scores, in the metric's own unit."""
    sign = 1.0 if measures.higher_is_better else -1.0
    oriented = sign * scores
    found = {
        "mean": np.asarray(scores.mean(axis=-1)),
        "gap": spread.gap(oriented),
        "deviation": spread.deviation(oriented),
        "worst_mean": sign * spread.worst_mean(oriented, measures.worst),
    }
    if measures.source is not None and len(scored) > 1:
        found["transfer_gap"] = spread.lead(oriented, list(scored).index(measures.source))
    if measures.floor is not None:
        found["beyond_floor"] = spread.below(oriented, sign * measures.floor)
    return found


def _resampled(models: list[ItemScores], *, seed: int, draws: int) -> list[Array]:
    """(draws, languages) scores of each model, on the same resampled sets."""
    first = models[0]
    together = aligned(first)
    columns: list[list[Array]] = [[] for _ in models]
    counts: Array | None = None
    for language, items in first.items():
        if counts is None or not together:
            name = "disparity" if together else f"disparity {language}"
            counts = draw_counts(len(items), draws=draws, seed=seed, name=name).astype(np.float64)
        ids = list(next(iter(first.values()))) if together else list(items)
        for column, model in zip(columns, models, strict=True):
            column.append(_means(model[language], ids, counts))
    return [np.stack(column, axis=1) for column in columns]


def _means(items: Mapping[str, Item], ids: list[str], counts: Array) -> Array:
    """The weighted mean on each resampled set, NaN for one in which nothing weighs anything."""
    weights = np.array([items[name].weight for name in ids])
    total = counts @ weights
    summed = counts @ (weights * np.array([items[name].score for name in ids]))
    return np.divide(summed, total, out=np.full_like(summed, np.nan), where=total > 0)


def _scores(scored: ItemScores) -> Array:
    """(languages,): the metric of each."""
    return np.array([_means(items, list(items), np.ones((1, len(items))))[0] for items in scored.values()])


def _like(first: ItemScores, second: ItemScores) -> ItemScores:
    """The second with its languages in the first's order."""
    return {language: second[language] for language in first}


def _of_a_spread(value: float, drawn: Array, *, level: float) -> Estimate:
    """Reflected as a variance, which noise adds to, and never below 0."""
    squares = interval(value**2, drawn**2, level=level, reflected=True)
    return Estimate(value, math.sqrt(max(squares.low, 0.0)), math.sqrt(max(squares.high, 0.0)))


_INTERVALS: dict[str, Callable[..., Estimate]] = {
    "gap": _of_a_spread,
    "deviation": _of_a_spread,
    "worst_mean": functools.partial(interval, reflected=True),
}
"""For measures that noise moves to one side; percentiles for the others."""


def _check_source(source: str | None, scores: Mapping[str, object]) -> None:
    if source is not None and source not in scores:
        raise DataError(f"the source {source!r} was not scored", wanted=f"one of: {', '.join(scores)}")


def _check_scored(scored: ItemScores, measures: Measures) -> None:
    if not scored:
        raise DataError("no language was scored, so there is no disparity")
    for language, items in scored.items():
        if not any(item.weight > 0 for item in items.values()):
            raise DataError(
                f"{language} has no item scores",
                wanted="some in every language",
                fix="choose a metric that is a mean over items, such as accuracy",
            )
    _check_source(measures.source, scored)


def _check_same(before: ItemScores, after: ItemScores) -> None:
    odd = sorted(set(before) ^ set(after))
    if odd:
        raise DataError(f"{odd[0]} was scored in one of the two models", wanted="the same languages in both")
    for language, items in before.items():
        if items.keys() != after[language].keys():
            name = min(items.keys() ^ after[language].keys())
            raise DataError(
                f"item {name!r} in {language} was scored in one of the two models",
                wanted="the same items in both",
            )


def _lead(scores: Mapping[str, float], source: str | None) -> float | None:
    others = [score for language, score in scores.items() if language != source]
    return scores[source] - statistics.fmean(others) if source is not None and others else None


def _beyond(scores: Mapping[str, float], floor: float, higher_is_better: bool) -> float:
    return statistics.fmean(score < floor if higher_is_better else score > floor for score in scores.values())
