"""How far a student's attention maps are from its teacher's, on pairs of real tokens only.

BiStil's phase 1 (Ansell et al. 2023, arXiv 2306.01709), after TinyBERT (Jiao et al. 2020, arXiv 1909.10351,
eq. 7, on probabilities instead of scores): the mean over matched layers of MSE(A_student, A_teacher). The
authors' code finds padding as "the teacher's probability is 0", which also drops what underflowed; here the
attention mask says which pairs count.

Example:
    >>> import torch
    >>> student, teacher = torch.full((1, 1, 2, 2), 0.5), torch.eye(2)[None, None]
    >>> attention_loss([student], [teacher], real_pairs(torch.ones(1, 2, dtype=torch.bool))).tolist()
    [0.25]
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from isogloss.losses.combine import mean_over


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


def attention_mse(
    student: Float[Tensor, "batch heads query key"],
    teacher: Float[Tensor, "batch heads query key"],
    pairs: Bool[Tensor, "batch query key"],
) -> Float[Tensor, "batch query"]:
    """Squared error of each query's attention, mean over heads and the keys that count, in float32.

    Args:
        student: attention probabilities of one layer; gradients flow here.
        teacher: those of the layer it is compared with.
        pairs: which pairs count; see `real_pairs`.

    Returns:
        One number per query in [0, 1]; 0 for a query without any pair.
    """
    gap = torch.where(pairs[:, None], student.float() - teacher.float(), 0.0)
    keys = pairs.sum(dim=-1).clamp(min=1)
    return gap.square().sum(dim=-1).mean(dim=1) / keys


def attention_loss(
    student: Sequence[Float[Tensor, "batch heads query key"]],
    teacher: Sequence[Float[Tensor, "batch heads query key"]],
    pairs: Bool[Tensor, "batch query key"],
) -> Float[Tensor, " layers"]:
    """Mean squared error of each matched pair of layers over heads and all pairs that count.

    Every pair weighs the same, as in the paper, so a long row weighs more than a short one.

    Returns:
        One number per matched pair of layers; all 0 when no pair counts.
    """
    weight = pairs.sum(dim=-1)
    matched = zip(student, teacher, strict=True)
    return torch.stack([mean_over(attention_mse(ours, theirs, pairs), weight) for ours, theirs in matched])
