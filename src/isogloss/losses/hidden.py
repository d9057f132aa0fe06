"""How far a student's hidden states are from its teacher's, on real tokens only.

BiStil's phase 1 (Ansell et al. 2023, arXiv 2306.01709), after TinyBERT (Jiao et al. 2020, arXiv 1909.10351,
eq. 8 without the projection): the mean over matched layers of MSE(H_student, H_teacher). The authors' code
lets padding into the mean in phase 2; here it never counts.

Example:
    >>> import torch
    >>> student, teacher = torch.zeros(1, 2, 4), torch.ones(1, 2, 4)
    >>> hidden_loss([student], [teacher], torch.tensor([[True, False]])).tolist()
    [1.0]
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from isogloss.losses.combine import mean_over


def hidden_mse(
    student: Float[Tensor, "batch length hidden"],
    teacher: Float[Tensor, "batch length hidden"],
    real: Bool[Tensor, "batch length"],
) -> Float[Tensor, "batch length"]:
    """Squared error of each token, mean over the hidden dimensions, in float32; 0 at padding.

    Args:
        student: hidden states of one layer; gradients flow here.
        teacher: those of the layer it is compared with; detach or compute them without gradients.
        real: True at tokens that count.

    Returns:
        One number per token, at least 0.
    """
    # Masked before squaring: whatever lies at padding, inf and NaN included, has no part in the gradient.
    gap = torch.where(real[..., None], student.float() - teacher.float(), 0.0)
    return gap.square().mean(dim=-1)


def hidden_loss(
    student: Sequence[Float[Tensor, "batch length hidden"]],
    teacher: Sequence[Float[Tensor, "batch length hidden"]],
    real: Bool[Tensor, "batch length"],
) -> Float[Tensor, " pairs"]:
    """Mean squared error of each matched pair of layers over all real tokens; their mean is the paper's term.

    Returns:
        One number per pair; all 0 when the batch has no real token.
    """
    pairs = zip(student, teacher, strict=True)
    return torch.stack([mean_over(hidden_mse(ours, theirs, real), real) for ours, theirs in pairs])
