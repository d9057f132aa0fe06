"""How far a student that marks answers in a text is from its teacher.

Extractive question answering scores each token as the first and as the last of the answer (Devlin et al.
2019, arXiv 1810.04805, section 4.2). The two are distributions over the row's tokens, and distilled like any
other (Hinton et al. 2015, arXiv 1503.02531); their mean goes with the mean of the two cross-entropies that
such models are trained on.

Example:
    >>> import torch
    >>> unsure = SpanScores(start=torch.zeros(1, 3), end=torch.zeros(1, 3))
    >>> sure = SpanScores(start=torch.tensor([[30.0, 0.0, 9.0]]), end=torch.zeros(1, 3))
    >>> (span_kl(unsure, sure, torch.tensor([[True, True, False]])) * 2).exp().tolist()
    [2.0]
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from isogloss.losses.logits import distillation_kl


@dataclass(frozen=True, slots=True)
class SpanScores:
    """What a model says about where an answer is, before softmax.

    Attributes:
        start: score of each token as the first of the answer.
        end: score of each token as the last.
    """

    start: Float[Tensor, "rows length"]
    end: Float[Tensor, "rows length"]


def span_kl(
    student: SpanScores,
    teacher: SpanScores,
    allowed: Bool[Tensor, "rows length"],
    *,
    temperature: float = 1.0,
    scaled: bool = True,
) -> Float[Tensor, " rows"]:
    """KL(teacher || student) in nats and float32, the mean of that of the start and that of the end.

    Args:
        student: its scores; gradients flow here.
        teacher: its scores; detach or compute them without gradients.
        allowed: True where an answer may begin or end: the context, and the token that means no answer.
            Other scores count for nothing, whatever they are.
        temperature: above 0; larger is flatter.
        scaled: multiply by temperature squared.

    Returns:
        One number per row, at least 0 (up to rounding); 0 for a row that allows fewer than two positions.
    """
    start, end = (
        distillation_kl(ours, theirs, allowed=allowed, temperature=temperature, scaled=scaled)
        for ours, theirs in ((student.start, teacher.start), (student.end, teacher.end))
    )
    return (start + end) / 2
