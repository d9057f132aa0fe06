"""The majority vote of a model's languages (ALSACE, Dou et al. 2024, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from isogloss.analysis.panel import Array, Classes, Panel
from isogloss.core.errors import DataError

_EQUAL = 1e-9  # sums in another order differ by less; votes and probabilities that matter, by more


@dataclass(frozen=True, slots=True, eq=False)
class Vote:
    """What the languages decided, item by item.

    Attributes:
        classes: (items,), the class with the most votes.
        margin: (items,), its share of the votes minus that of the class after it: 0 for a tie, 1 when all
            agree.
        share: (items,), its share of the votes, in (0, 1].
    """

    classes: Classes
    margin: Array
    share: Array


def majority_vote(panel: Panel, *, weights: Mapping[str, float] | None = None) -> Vote:
    """One vote a language for its most probable class.

    Equal votes are decided by the summed probability, then for the lower class number, so that the result
    depends neither on the order of the languages nor on that of the items. The paper leaves ties open.

    Args:
        weights: of each language's vote and probabilities, 0 or more; None counts all alike.

    Raises:
        DataError: weights that are negative, all 0, or not one for each language.
    """
    weighing = language_weights(panel, weights)
    votes = np.tensordot(weighing, ballots(panel), axes=1)
    return decide(votes, np.tensordot(weighing, panel.probabilities, axes=1))


def others_vote(panel: Panel) -> Classes:
    """What each language's vote would be judged by: the vote of all other languages.

    Returns:
        (languages, items): classes.
    """
    each = ballots(panel)
    votes = each.sum(axis=0) - each
    return decide(votes, panel.probabilities.sum(axis=0) - panel.probabilities).classes


def ballots(panel: Panel) -> Array:
    """(languages, items, classes): 1 for a language's choice, else 0."""
    return (panel.choices[..., None] == np.arange(panel.probabilities.shape[2])).astype(np.float64)


def decide(votes: Array, probabilities: Array) -> Vote:
    """The winners among votes, given summed probabilities for ties; both (..., classes), any sum above 0."""
    total = votes.sum(axis=-1)
    best = votes.max(axis=-1, keepdims=True)
    level = votes >= best - _EQUAL
    support = np.where(level, probabilities, -np.inf)
    winners = (support >= support.max(axis=-1, keepdims=True) - _EQUAL).argmax(axis=-1)
    return Vote(winners, (best[..., 0] - _runner_up(votes)) / total, best[..., 0] / total)


def _runner_up(votes: Array) -> Array:
    """The second-highest number of votes, 0 where there is a single class."""
    if votes.shape[-1] == 1:
        return np.zeros(votes.shape[:-1])
    return np.partition(votes, -2, axis=-1)[..., -2]


def language_weights(panel: Panel, weights: Mapping[str, float] | None) -> Array:
    """(languages,): weights that sum to 1, in the panel's order; None weighs all alike.

    Raises:
        DataError: weights that are negative, not finite, all 0, or not one for each language.
    """
    given = weights if weights is not None else dict.fromkeys(panel.languages, 1.0)
    if set(given) != set(panel.languages):
        odd = sorted(set(given) ^ set(panel.languages))
        raise DataError(f"weights do not match the panel at {odd[0]}", wanted="one for each of its languages")
    values = np.array([given[language] for language in panel.languages], dtype=np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        listed = ", ".join(f"{language} {value:g}" for language, value in given.items())
        raise DataError(f"weights: {listed}", wanted="finite numbers from 0 on, one of them above 0")
    return values / values.sum()
