"""How far what is believed of the same items in several languages is apart: by pairs, or from a consensus.

ALSACE (arXiv 2404.08491, section 3.2) draws languages together by KL(P(x1) || P(x2)), x1 in a teacher
language. All pairs are formed from one set of scores: an item is read once per language, however many pairs
it is in.

Example:
    >>> import torch
    >>> teachers = torch.tensor([[[0.2, 0.8]]]).log()
    >>> learners = torch.tensor([[[0.5, 0.5]], [[0.2, 0.8]]]).log()
    >>> pair_divergence(teachers, learners).squeeze().tolist()
    [0.19274473190307617, 0.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Form: TypeAlias = Literal["forward", "reverse", "js"]
"""KL(teacher || learner), which spreads the learner over all that the teacher believes; or the other way
round, which draws it to one of the teacher's beliefs (ALSACE's code computes that); or Jensen-Shannon."""

_NOTHING = -1e4

Pooling: TypeAlias = Literal["linear", "log"]


def pair_divergence(
    teachers: Float[Tensor, "teachers items classes"],
    learners: Float[Tensor, "learners items classes"],
    *,
    form: Form = "forward",
    temperature: float = 1.0,
    scaled: bool = True,
) -> Float[Tensor, "teachers learners items"]:
    """The divergence of each learner from each teacher on each item, in nats and float32.

    Args:
        teachers: scores before softmax; detach them unless teachers shall be drawn to their learners too.
        learners: scores before softmax, the lowest finite number where an item has no such class.
        form: see `Form`.
        temperature: above 0; both are divided by it.
        scaled: multiply by temperature squared, which keeps the size of the gradient.

    Returns:
        At least 0, up to rounding; at most log 2 times the scale for "js".
    """
    ours, theirs = (_log_softmax(scores, temperature) for scores in (learners, teachers))
    found = _FORMS[form](theirs, ours)
    return found * temperature**2 if scaled else found


def consensus(
    teachers: Float[Tensor, "teachers items classes"],
    weights: Float[Tensor, " teachers"],
    *,
    pooling: Pooling = "linear",
    temperature: float = 1.0,
) -> Float[Tensor, "1 items classes"]:
    """One distribution per item out of the teachers', as log-probabilities.

    Args:
        teachers: scores before softmax.
        weights: how much each counts, at least 0, not all 0; their sum does not matter.
        pooling: "linear", the weighted mean of the probabilities; "log", of their logarithms, renormalised,
            in which one teacher that excludes a class excludes it.
        temperature: scores are divided by it first.
    """
    shares = (weights / weights.sum()).float()[:, None, None]
    theirs = _log_softmax(teachers, temperature)
    if pooling == "linear":
        return (shares.clamp_min(torch.finfo(torch.float32).tiny).log() + theirs).logsumexp(0, keepdim=True)
    return (shares * theirs).sum(0, keepdim=True).log_softmax(-1)


def mean_over_pairs(
    pairs: Float[Tensor, "teachers learners items"], own: Bool[Tensor, "teachers learners"]
) -> Float[Tensor, " learners"]:
    """Each learner's mean over its teachers, itself left out, and the items; 0 without a teacher.

    The mean over all pairs is this, weighted by each learner's number of teachers.
    """
    others = (~own).to(pairs.dtype)
    return (pairs.mean(-1) * others).sum(0) / others.sum(0).clamp(min=1)


def _log_softmax(scores: Tensor, temperature: float) -> Tensor:
    """Log-probabilities; of classes that an item lacks a number whose exponential is 0, and whose sums over
    pairs stay finite, so that no gradient is 0 times infinity."""
    return (scores.float() / temperature).log_softmax(-1).clamp_min(_NOTHING)


def _forward(theirs: Tensor, ours: Tensor) -> Tensor:
    """Cross-entropy less entropy: no number per pair and class is held."""
    believed = theirs.exp()
    return (believed * theirs).sum(-1)[:, None] - torch.einsum("tic,lic->tli", believed, ours)


def _reverse(theirs: Tensor, ours: Tensor) -> Tensor:
    believed = ours.exp()
    return (believed * ours).sum(-1)[None] - torch.einsum("lic,tic->tli", believed, theirs)


def _js(theirs: Tensor, ours: Tensor) -> Tensor:
    first, second = theirs[:, None], ours[None]
    middle = torch.logaddexp(first, second) - math.log(2)
    return ((first.exp() * (first - middle)).sum(-1) + (second.exp() * (second - middle)).sum(-1)) / 2


_FORMS: dict[Form, Callable[[Tensor, Tensor], Tensor]] = {
    "forward": _forward,
    "reverse": _reverse,
    "js": _js,
}
