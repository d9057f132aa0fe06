"""Which languages teach, and which learn (ALSACE, Dou et al. 2024, section 3.1; other judges beside it)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from isogloss.analysis.panel import Array, Mask, Panel
from isogloss.analysis.reliability import dawid_skene
from isogloss.analysis.vote import majority_vote, others_vote
from isogloss.core.errors import RecipeError, did_you_mean
from isogloss.core.resampling import Estimate, draw_counts, interval
from isogloss.core.seeds import generator

Normalisation: TypeAlias = Literal["sum", "softmax"]
Counts: TypeAlias = npt.NDArray[np.int64]

_EQUAL = 1e-12  # the mean of equal numbers may lie this far above them


@dataclass(frozen=True, slots=True)
class Known:
    """What a judge may know besides what the model believes.

    Attributes:
        seed: of the selector "random".
        source: the language that the task was learnt in; None without one.
    """

    seed: int = 0
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Who teaches whom, and by which numbers.

    Attributes:
        teachers: from the highest score down.
        students: from the highest score down; empty with the selector "all" alone.
        scores: per language, in the panel's order, in [0, 1].
        normalised: the same, made to sum to 1.
        threshold: teachers have at least this normalised score; None when their number was given.
        selector: one of `SELECTORS`, or "list" where the teachers were named.
        normalisation: "sum" or "softmax".
    """

    teachers: tuple[str, ...]
    students: tuple[str, ...]
    scores: dict[str, float]
    normalised: dict[str, float]
    threshold: float | None
    selector: str
    normalisation: Normalisation


@dataclass(frozen=True, slots=True)
class Stability:
    """How far the choice hangs on the items it was made on.

    Attributes:
        shares: per language, the share of resampled sets of items on which it would teach, in [0, 1].
        scores: per language, its score with a 95 % interval over items.
        unchanged: the share of resampled sets that give exactly the same teachers.
        draws: resampled sets.
    """

    shares: dict[str, float]
    scores: dict[str, Estimate]
    unchanged: float
    draws: int


def choose(
    panel: Panel,
    selector: str | Sequence[str] = "confidence",
    *,
    normalisation: Normalisation = "sum",
    threshold: float | None = None,
    count: int | None = None,
    seed: int = 0,
    source: str | None = None,
) -> Selection:
    """Divide a panel's languages into teachers and students.

    Args:
        selector: one of `SELECTORS`, or the teachers themselves.
        normalisation: "sum" divides scores by their sum, "softmax" their exponentials. The paper only says
            that they are normalised.
        threshold: on normalised scores; None for their mean, which is 1 / languages.
        count: the number of teachers, instead of a threshold; equal scores go by the language's name.
        seed: of the selector "random", which draws a number for each language by its name.
        source: the language that the task was learnt in, for the selector "source".

    Raises:
        RecipeError: an unknown selector or language; a threshold or count beside "all", beside named
            teachers or beside each other; no teachers or no students, with everybody's scores.
    """
    judge = _judge(panel, selector, Known(seed, source))
    _check_rule(panel, selector, threshold, count)
    scores = judge(np.ones((1, len(panel.ids)), dtype=np.int64))[0]
    normalised = normalise(scores, normalisation)
    teaches = _teaches(panel, normalised[None], threshold, count)[0]
    order = _ranked(panel, normalised)
    limit = None if count is not None else threshold if threshold is not None else 1 / len(panel.languages)
    found = Selection(
        teachers=tuple(panel.languages[place] for place in order if teaches[place]),
        students=tuple(panel.languages[place] for place in order if not teaches[place]),
        scores=dict(zip(panel.languages, scores.tolist(), strict=True)),
        normalised=dict(zip(panel.languages, normalised.tolist(), strict=True)),
        threshold=limit,
        selector=selector if isinstance(selector, str) else "list",
        normalisation=normalisation,
    )
    if not found.teachers or (not found.students and selector != "all"):
        raise _nobody(found)
    return found


def stability(
    panel: Panel,
    selector: str | Sequence[str] = "confidence",
    *,
    normalisation: Normalisation = "sum",
    threshold: float | None = None,
    count: int | None = None,
    seed: int = 0,
    source: str | None = None,
    draws: int = 1000,
) -> Stability:
    """Choose again on resampled sets of items, as many as the panel has; nobody to teach is no error here.

    The interval says what other items of the same kind would have done; it knows nothing of training seeds.

    Args:
        draws: resampled sets; the rest as in `choose`.

    Raises:
        RecipeError: as in `choose`, except for empty sets.
    """
    judge = _judge(panel, selector, Known(seed, source))
    _check_rule(panel, selector, threshold, count)
    whole = judge(np.ones((1, len(panel.ids)), dtype=np.int64))
    drawn = judge(draw_counts(len(panel.ids), draws=draws, seed=seed, name="stability"))
    first = _teaches(panel, normalise(whole, normalisation), threshold, count)
    teaches = _teaches(panel, normalise(drawn, normalisation), threshold, count)
    return Stability(
        shares=dict(zip(panel.languages, teaches.mean(axis=0).tolist(), strict=True)),
        scores={
            language: interval(whole[0, place], drawn[:, place])
            for place, language in enumerate(panel.languages)
        },
        unchanged=float((teaches == first).all(axis=1).mean()),
        draws=draws,
    )


def scores_on(
    panel: Panel, selector: str, counts: Counts, *, seed: int = 0, source: str | None = None
) -> Array:
    """Each language's score by a selector on sets in which items occur as often as `counts` says.

    Args:
        counts: (sets, items).

    Returns:
        (sets, languages), in [0, 1].

    Raises:
        RecipeError: a selector that is not in `SELECTORS`.
    """
    return _judge(panel, selector, Known(seed, source))(counts)


def normalise(scores: Array, normalisation: Normalisation) -> Array:
    """Scores that sum to 1 over the last axis; all alike where every score is 0."""
    values = np.exp(scores) if normalisation == "softmax" else scores
    total = values.sum(axis=-1, keepdims=True)
    even = np.full_like(values, 1 / values.shape[-1])
    return np.divide(values, total, out=even, where=total > 0)


def _confidence(panel: Panel, counts: Counts, known: Known) -> Array:
    """Mean probability of the voted class: s_t of the paper, in which a language votes for itself too."""
    voted = np.broadcast_to(majority_vote(panel).classes, panel.choices.shape)
    return _mean(_probability(panel, voted), counts)


def _confidence_in_others(panel: Panel, counts: Counts, known: Known) -> Array:
    return _mean(_probability(panel, others_vote(panel)), counts)


def _agreement(panel: Panel, counts: Counts, known: Known) -> Array:
    """Share of items on which a language chooses what the others vote for.

    Its own vote is left out: with few languages it is often the deciding one, and of two languages the surer
    would agree with the vote always.
    """
    return _mean((panel.choices == others_vote(panel)).astype(np.float64), counts)


def _agreement_with_own(panel: Panel, counts: Counts, known: Known) -> Array:
    return _mean((panel.choices == majority_vote(panel).classes).astype(np.float64), counts)


def _reliability(panel: Panel, counts: Counts, known: Known) -> Array:
    """Expected accuracy by Dawid and Skene; resampled sets go on from the solution on all items."""
    whole = dawid_skene(panel)
    found = []
    for row in counts:
        there = whole if (row == 1).all() else dawid_skene(panel, counts=row, start=whole.posteriors)
        found.append([there.reliabilities[language] for language in panel.languages])
    return np.array(found)


def _agreement_with_source(panel: Panel, counts: Counts, known: Known) -> Array:
    """Share of items on which a language chooses what the source does, which alone was learnt from labels."""
    if known.source not in panel.languages:
        raise RecipeError(
            f"the selector 'source' with the source {known.source or '(none)'}",
            wanted=f"one of: {', '.join(panel.languages)}",
            fix="say in which language the task was learnt: source: eng",
        )
    source = panel.choices[panel.languages.index(known.source)]
    return _mean((panel.choices == source).astype(np.float64), counts)


def _random(panel: Panel, counts: Counts, known: Known) -> Array:
    drawn = [generator(known.seed, "random teachers", language).random() for language in panel.languages]
    return np.tile(drawn, (len(counts), 1))


def _all(panel: Panel, counts: Counts, known: Known) -> Array:
    return np.ones((len(counts), len(panel.languages)))


SELECTORS: dict[str, Callable[[Panel, Counts, Known], Array]] = {
    "confidence": _confidence,
    "confidence-others": _confidence_in_others,
    "agreement": _agreement,
    "agreement-own": _agreement_with_own,
    "reliability": _reliability,
    "source": _agreement_with_source,
    "random": _random,
    "all": _all,
}
"""How languages are judged: panel and (sets, items) counts to (sets, languages) scores in [0, 1].

`confidence` is the paper's, `confidence-others` the same with each language judged by the vote of the others;
`agreement` leaves its own vote out, `agreement-own` counts it. `source` takes the language that the task was
learnt in for the truth: where the others are near chance, a vote is noise and this is not. `random` and
`all` are baselines.
"""


def _judge(panel: Panel, selector: str | Sequence[str], known: Known) -> Callable[[Counts], Array]:
    if not isinstance(selector, str):
        return _named(panel, tuple(selector))
    if selector not in SELECTORS:
        raise RecipeError(
            f"the selector {selector!r} is unknown",
            wanted=f"one of: {', '.join(SELECTORS)}; or a list of languages",
            fix=did_you_mean(selector, SELECTORS),
        )
    return lambda counts: SELECTORS[selector](panel, counts, known)


def _named(panel: Panel, teachers: tuple[str, ...]) -> Callable[[Counts], Array]:
    """1 for teachers that were named, 0 for the others: above and below any mean."""
    if not teachers:
        raise RecipeError("an empty list of teachers", fix="name at least one, or let a selector choose")
    unknown = [language for language in teachers if language not in panel.languages]
    if unknown:
        raise RecipeError(
            f"the teacher {unknown[0]} is not among the languages",
            wanted=f"some of: {', '.join(panel.languages)}",
            fix="name another teacher, or add the language's data",
        )
    scores = [float(language in teachers) for language in panel.languages]
    return lambda counts: np.tile(scores, (len(counts), 1))


def _check_rule(
    panel: Panel, selector: str | Sequence[str], threshold: float | None, count: int | None
) -> None:
    if threshold is not None and count is not None:
        raise RecipeError(f"threshold {threshold} and count {count}", wanted="one of the two, or neither")
    settled = selector == "all" or not isinstance(selector, str)
    if settled and (threshold is not None or count is not None):
        raise RecipeError(
            "a threshold or a number of teachers, where the teachers are settled already",
            fix="leave threshold and count out, or let a selector choose",
        )
    if count is not None and not 0 < count < len(panel.languages):
        raise RecipeError(
            f"count: {count} of {len(panel.languages)} languages",
            wanted=f"1 to {len(panel.languages) - 1}, so that somebody teaches and somebody learns",
            fix="for teachers alone choose the selector all",
        )


def _teaches(panel: Panel, normalised: Array, threshold: float | None, count: int | None) -> Mask:
    """(sets, languages), True for teachers."""
    if count is None:
        limit = 1 / len(panel.languages) if threshold is None else threshold
        return normalised >= limit - _EQUAL
    order = np.stack([_ranked(panel, row) for row in normalised])
    teaches = np.zeros(normalised.shape, dtype=bool)
    np.put_along_axis(teaches, order[:, :count], True, axis=1)
    return teaches


def _ranked(panel: Panel, normalised: Array) -> npt.NDArray[np.int64]:
    """Places of the languages from the highest score down; equal ones by name."""
    return np.lexsort((np.array(panel.languages), -normalised.round(12)))


def _mean(values: Array, counts: Counts) -> Array:
    """(languages, items) to (sets, languages)."""
    return counts @ values.T / counts.sum(axis=1, keepdims=True)


def _probability(panel: Panel, classes: npt.NDArray[np.int64]) -> Array:
    """(languages, items): what each language gives these classes."""
    return np.take_along_axis(panel.probabilities, classes[..., None], axis=2)[..., 0]


def score_lines(selection: Selection) -> list[str]:
    """The scores as lines of text, the highest first: language, score, normalised score, part."""
    order = (*selection.teachers, *selection.students)
    width = max(map(len, order))
    return [
        f"{language:<{width}}  {selection.scores[language]:.4f}  {selection.normalised[language]:.4f}  "
        f"{'teaches' if language in selection.teachers else 'learns'}"
        for language in order
    ]


def _nobody(selection: Selection) -> RecipeError:
    missing, side = ("teaches", "lower") if not selection.teachers else ("learns", "higher")
    limit = "" if selection.threshold is None else f" at the threshold {selection.threshold:.4f}"
    table = "\n    ".join(["language, score, normalised score, part:", *score_lines(selection)])
    return RecipeError(
        f"nobody {missing}{limit} by {selection.selector} ({selection.normalisation})\n    {table}",
        wanted="at least one teacher and one student",
        fix=f"give a {side} threshold, a count of teachers, another selector, or a list of teachers",
    )
