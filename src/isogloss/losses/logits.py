"""Losses on scores over classes or the vocabulary: against a teacher, and against labels.

Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531): KL(teacher || student) at temperature tau,
times tau^2, which keeps the size of the gradient the same for every tau. BiStil's L_pred is the cross-entropy
instead and has no tau^2: `tempered_cross_entropy`. The two have the same gradient up to that factor.

Example:
    >>> import torch
    >>> same = torch.tensor([[2.0, 0.0, -1.0]])
    >>> distillation_kl(same, same, temperature=2.0).tolist()
    [0.0]
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional


def distillation_kl(
    student: Float[Tensor, "*rows classes"],
    teacher: Float[Tensor, "*rows classes"],
    *,
    allowed: Bool[Tensor, "*rows classes"] | None = None,
    temperature: float = 1.0,
    scaled: bool = True,
) -> Float[Tensor, "*rows"]:
    """KL(teacher || student) of the tempered distributions, in nats, per row, in float32.

    Args:
        student: scores before softmax; gradients flow here.
        teacher: scores before softmax; detach or compute them without gradients.
        allowed: which classes a row chooses from; the others have probability 0 in both, whatever their
            scores are. None for all.
        temperature: above 0; larger is flatter.
        scaled: multiply by temperature squared.

    Returns:
        One number per row, at least 0 (up to rounding); 0 where the distributions are equal, or nothing is
        allowed.
    """
    ours, theirs = (student.float() / temperature, teacher.float() / temperature)
    if allowed is not None:
        # The lowest finite number, not -inf: 0 times the difference of two of these is 0.
        lowest = torch.finfo(torch.float32).min
        ours, theirs = ours.masked_fill(~allowed, lowest), theirs.masked_fill(~allowed, lowest)
    ours, theirs = functional.log_softmax(ours, dim=-1), functional.log_softmax(theirs, dim=-1)
    divergence = functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=-1)
    return divergence * temperature**2 if scaled else divergence


def tempered_cross_entropy(
    student: Float[Tensor, "*rows classes"],
    teacher: Float[Tensor, "*rows classes"],
    *,
    temperature: float = 1.0,
    scaled: bool = True,
) -> Float[Tensor, "*rows"]:
    """Cross-entropy of the student's tempered distribution under the teacher's, per row, in nats.

    BiStil's prediction loss is `temperature=2.0, scaled=False`. Arguments as in `distillation_kl`; the value
    is larger by the teacher's entropy.
    """
    ours = functional.log_softmax(student.float() / temperature, dim=-1)
    theirs = functional.softmax(teacher.float() / temperature, dim=-1)
    entropy = -(theirs * ours).sum(dim=-1)
    return entropy * temperature**2 if scaled else entropy


def cross_entropy(
    logits: Float[Tensor, "*rows classes"], labels: Int[Tensor, "*rows"]
) -> Float[Tensor, "*rows"]:
    """Cross-entropy with labels, per row, in nats and float32; 0 where the label is -100, as torch has it.

    Reduce it with `mean_over(loss, labels != -100)`, which is 0, not NaN, when nothing counts.
    """
    flat = logits.float().reshape(-1, logits.shape[-1])
    loss = functional.cross_entropy(flat, labels.reshape(-1).long(), reduction="none")
    return loss.reshape(labels.shape)
