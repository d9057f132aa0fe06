"""How far a student's attention maps are from its teacher's, on pairs of real tokens only.

BiStil's phase 1 (Ansell et al. 2023, arXiv 2306.01709), after TinyBERT (Jiao et al. 2020, arXiv 1909.10351,
eq. 7, on probabilities instead of scores): the mean over matched layers of MSE(A_student, A_teacher). The
authors' code finds padding as "the teacher's probability is 0", which also drops what underflowed; here the
attention mask says which pairs count. The other form is MiniLM's attention transfer (Wang et al. 2020, arXiv
2002.10957): KL(A_teacher || A_student) of each query, in nats.

Maps are the largest tensors of a distillation step, so both forms are computed an example at a time, together
with their gradient: the working copies in float32 stay small, and one map in the student's own precision is
what waits for the backward pass.

Example:
    >>> import torch
    >>> student, teacher = torch.full((1, 1, 2, 2), 0.5), torch.eye(2)[None, None]
    >>> pairs = real_pairs(torch.ones(1, 2, dtype=torch.bool))
    >>> attention_loss([student], [teacher], pairs).tolist()
    [0.25]
    >>> attention_loss([student], [teacher], pairs, form="kl").exp().tolist()
    [2.0]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Form: TypeAlias = Literal["mse", "kl"]


def real_pairs(
    real: Bool[Tensor, "batch length"], *, causal: bool = False
) -> Bool[Tensor, "batch length length"]:
    """True at [query, key] where both are real tokens.

    Args:
        real: True at tokens that count.
        causal: only keys at or before the query, for decoders: above the diagonal both maps are 0 and would
            only thin the mean.
    """
    pairs = real[:, :, None] & real[:, None, :]
    return pairs.tril() if causal else pairs


def attention_loss(
    student: Sequence[Float[Tensor, "batch heads query key"]],
    teacher: Sequence[Float[Tensor, "batch heads query key"]],
    pairs: Bool[Tensor, "batch query key"] | None,
    *,
    form: Form = "mse",
) -> Float[Tensor, " layers"]:
    """The distance of each matched pair of layers, in float32.

    Args:
        student: attention probabilities of each layer; gradients flow here, once (no second derivatives).
        teacher: those of the layers they are compared with.
        pairs: which pairs count; see `real_pairs`. None when all do, which takes half the time: ask once per
            batch whether it has padding.
        form: "mse", the squared error, mean over heads and the pairs that count: every pair weighs the same,
            as in the paper, so a long row weighs more than a short one. "kl", KL(teacher || student) over the
            keys of a query, mean over heads and the queries that have a pair.

    Returns:
        One number per matched pair of layers, at least 0; all 0 when no pair counts.
    """
    measure = _FORMS[form]
    matched = zip(student, teacher, strict=True)
    return torch.stack([measure(ours, theirs, pairs) for ours, theirs in matched])


def _mse(student: Tensor, teacher: Tensor, pairs: Tensor | None) -> Tensor:
    counted = student[:, 0].numel() if pairs is None else pairs.sum().clamp(min=1)
    return _SquaredError.apply(student, teacher, pairs) / (counted * student.shape[1])


def _kl(student: Tensor, teacher: Tensor, pairs: Tensor | None) -> Tensor:
    counted = student[:, 0, :, 0].numel() if pairs is None else pairs.any(-1).sum().clamp(min=1)
    return _Divergence.apply(student, teacher, pairs) / (counted * student.shape[1])


_FORMS = {"mse": _mse, "kl": _kl}


class _SquaredError(torch.autograd.Function):
    """Sum over all heads and the pairs that count; keeps the difference for the backward pass."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, pairs: Tensor | None) -> Tensor:
        total = torch.zeros((), device=student.device)
        gaps = torch.empty_like(student)
        for i in range(len(student)):
            gap = student[i].float() - teacher[i].float()
            if pairs is not None:
                gap.masked_fill_(~pairs[i], 0.0)
            gaps[i] = gap
            flat = gap.flatten()
            total += torch.dot(flat, flat)
        ctx.save_for_backward(gaps)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (gaps,) = ctx.saved_tensors
        return gaps * (2 * upstream), None, None


class _Divergence(torch.autograd.Function):
    """Sum over all heads and queries; keeps teacher / student, minus the derivative, for later."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, pairs: Tensor | None) -> Tensor:
        total = torch.zeros((), device=student.device)
        ratios = torch.empty_like(student)
        # What underflowed to 0 in the student counts as the least normal number, so that neither the value
        # nor the derivative is infinite, in half precision either.
        least = torch.finfo(student.dtype).tiny
        for i in range(len(student)):
            ours, theirs = student[i].float(), teacher[i].float()
            if pairs is not None:
                ours, theirs = ours.masked_fill(~pairs[i], 1.0), theirs.masked_fill(~pairs[i], 0.0)
            ours = ours.clamp(min=least)
            ratio = theirs / ours
            ratios[i] = ratio
            total += torch.xlogy(theirs, ratio).sum()
        ctx.save_for_backward(ratios)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (ratios,) = ctx.saved_tensors
        return ratios * -upstream, None, None
