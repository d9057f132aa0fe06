"""How far each language can be believed, estimated from votes alone.

Dawid and Skene (1979): each item has an unknown class, each language votes for class j with a probability of
its own when the class is k, and given the class the languages vote independently. They do not quite, since
they are one model: posteriors come out surer than they should, and errors that most languages make together,
item by item, count as the truth. Languages that always say the same are found out, even when most do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isogloss.analysis.panel import Array, Classes, Mask, Panel
from isogloss.analysis.vote import ballots
from isogloss.core.errors import DataError

_TINY = 1e-300  # its logarithm is finite


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """What the votes say of items, classes and languages.

    Attributes:
        posteriors: (items, classes), how probable each class is; rows sum to 1.
        confusions: (languages, classes, classes), how probable a vote for j is when the class is k; entry
            [language, k, j], rows sum to 1.
        prior: (classes,), how common each class is.
        reliabilities: per language, the expected share of items on which its vote is right.
        trace: the objective after each round, in nats: the log-likelihood of the votes, plus the log-prior
            of confusions and class prior where `smoothing` is above 0. It never falls.
    """

    posteriors: Array
    confusions: Array
    prior: Array
    reliabilities: dict[str, float]
    trace: tuple[float, ...]


def dawid_skene(
    panel: Panel,
    *,
    smoothing: float = 1.0,
    rounds: int = 200,
    tolerance: float = 1e-6,
    counts: Classes | None = None,
    start: Array | None = None,
) -> Reliability:
    """The maximum of the likelihood by EM, from the shares of the votes (Dawid and Skene, 1979).

    Args:
        smoothing: pseudo-votes spread evenly over each row of a confusion matrix, and over the prior; 0 is
            the published estimate, in which a class that nobody votes for can never come back.
        rounds: at most.
        tolerance: stop when the objective rises by less than this, in nats per item.
        counts: (items,), how often each item is in the set; None: once. For resampled sets.
        start: (items, classes), the posteriors to begin with; None: the shares of the votes.

    Raises:
        DataError: `smoothing` below 0.
    """
    if smoothing < 0:
        raise DataError(f"smoothing: {smoothing}", wanted="0 or more")
    votes = ballots(panel)
    _, items, classes = votes.shape
    often = np.ones(items) if counts is None else counts.astype(np.float64)
    flat = votes.transpose(1, 0, 2).reshape(items, -1)
    posteriors = votes.mean(axis=0) if start is None else start
    trace: list[float] = []
    for _ in range(rounds):
        prior, confusions = _maximise(flat, posteriors * often[:, None], smoothing)
        posteriors, objective = _expect(flat, prior, confusions, panel.possible, often, smoothing)
        trace.append(objective)
        if len(trace) > 1 and trace[-1] - trace[-2] < tolerance * items:
            break
    right = (votes * posteriors).sum(axis=2) @ often / often.sum()
    named = dict(zip(panel.languages, right.tolist(), strict=True))
    return Reliability(
        posteriors, confusions.reshape(classes, -1, classes).transpose(1, 0, 2), prior, named, tuple(trace)
    )


def _maximise(flat: Array, weighted: Array, smoothing: float) -> tuple[Array, Array]:
    """Class prior (classes,) and confusions (classes, languages * classes), given weighted posteriors."""
    classes = weighted.shape[1]
    prior = weighted.sum(axis=0) + smoothing / classes
    together = (weighted.T @ flat).reshape(classes, -1, classes) + smoothing / classes
    row_sums = together.sum(axis=2, keepdims=True)
    # A class of no item has no votes to count; any row will do, and this one favours nobody.
    confusions = np.divide(together, row_sums, out=np.full_like(together, 1 / classes), where=row_sums > 0)
    return prior / prior.sum(), confusions.reshape(classes, -1)


def _expect(
    flat: Array,
    prior: Array,
    confusions: Array,
    possible: Mask,
    often: Array,
    smoothing: float,
) -> tuple[Array, float]:
    """Posteriors, and the objective at these parameters."""
    log_prior, log_confusions = np.log(np.maximum(prior, _TINY)), np.log(np.maximum(confusions, _TINY))
    joint = np.where(possible, flat @ log_confusions.T + log_prior, -np.inf)
    highest = joint.max(axis=1, keepdims=True)
    spread = np.exp(joint - highest)
    total = spread.sum(axis=1, keepdims=True)
    likelihood = float(often @ (highest + np.log(total))[:, 0])
    believed = smoothing / prior.size * float(log_prior.sum() + log_confusions.sum())
    return spread / total, likelihood + believed
