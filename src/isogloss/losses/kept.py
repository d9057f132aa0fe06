"""A student with a trimmed vocabulary against the logits of a teacher with the whole one.

The student can only be asked for what is in its vocabulary, so the teacher's distribution is renormalised
over the columns that the student kept: KL(teacher, given a kept piece || student), the temperature and its
square as in `isogloss.losses.logits`. What the teacher believed of other pieces is lost, and reported.

Logits over a whole vocabulary are large. The work is done a few places at a time, together with the gradient,
so that neither copy of the scores has to stay for the backward pass.

Example:
    >>> import torch
    >>> teacher = torch.tensor([[0.2, 0.6, 0.2]]).log()
    >>> student = torch.tensor([[0.25, 0.75]]).log()
    >>> divergence, lost = kept_kl(student, teacher, torch.tensor([0, 1]))
    >>> divergence.abs().item() < 1e-6, round(lost.item(), 6)
    (True, 0.2)
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

_AT_ONCE = 2**21
"""Scores of the whole vocabulary in the making, in each of a handful of float32 buffers."""


def kept_kl(
    student: Float[Tensor, "places kept"],
    teacher: Float[Tensor, "places all"],
    kept: Int[Tensor, " kept"],
    *,
    temperature: float = 1.0,
    scaled: bool = True,
) -> tuple[Float[Tensor, " places"], Float[Tensor, " places"]]:
    """KL(teacher over the kept columns || student) of each place, and what was lost, in float32.

    Args:
        student: scores before softmax; gradients flow here, once (no second derivatives).
        teacher: scores before softmax over its whole vocabulary.
        kept: the teacher's column for each of the student's, no two the same.
        temperature: above 0; larger is flatter.
        scaled: multiply by temperature squared.

    Returns:
        The divergence of each place in nats, at least 0 (up to rounding); and the teacher's probability, at
        temperature 1, of what is outside the kept columns, in [0, 1], without a gradient.
    """
    divergence, lost = _KeptDivergence.apply(student, teacher, kept.long(), temperature)
    return divergence * temperature**2 if scaled else divergence, lost


class _KeptDivergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, student: Tensor, teacher: Tensor, kept: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        divergence, lost = torch.zeros((2, len(student)), device=student.device)
        gradient = torch.empty_like(student)
        outside = torch.ones(teacher.shape[1], device=teacher.device).index_fill_(0, kept, 0.0)
        size = max(1, _AT_ONCE // teacher.shape[1])
        for start in range(0, len(student), size):
            some = slice(start, start + size)
            whole = teacher[some].float()
            theirs = (whole[:, kept] / temperature).log_softmax(-1)
            ours = (student[some].float() / temperature).log_softmax(-1)
            wanted = theirs.exp()
            lost[some] = (whole.softmax(-1) * outside).sum(-1)
            divergence[some] = theirs.sub_(ours).mul_(wanted).sum(-1)
            gradient[some] = ours.exp_().sub_(wanted).div_(temperature)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(lost)
        return divergence, lost

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[:, None].to(gradient.dtype), None, None, None
