"""Heads of our own, over the hidden states of any backbone, where transformers has none that fits."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_DROPOUT = 0.1


def mean_pool(
    hidden: Float[Tensor, "rows length hidden"],
    mask: Int[Tensor, "rows length"],
) -> Float[Tensor, "rows hidden"]:
    """The mean of the hidden states where `mask` is 1; zeros for a row that is all padding."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def last_state(
    hidden: Float[Tensor, "rows length hidden"],
    mask: Int[Tensor, "rows length"],
) -> Float[Tensor, "rows hidden"]:
    """The hidden state of the last token where `mask` is 1; of the first for a row that is all padding."""
    last = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


class MeanClassifier(nn.Module):
    """Mean pooling and a linear layer: one score per class and row.

    Holds up better than the first token's state where pretraining gave that token nothing to do.
    """

    def __init__(self, hidden: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(_DROPOUT)
        self.scorer = nn.Linear(hidden, classes)

    def forward(
        self, hidden: Float[Tensor, "rows length hidden"], mask: Int[Tensor, "rows length"]
    ) -> Float[Tensor, "rows classes"]:
        """Scores of hidden states; `mask` is 0 at padding, which the mean leaves out."""
        return self.scorer(self.dropout(mean_pool(hidden, mask)))


def by_group(scores: Float[Tensor, rows], group: Int[Tensor, rows]) -> Float[Tensor, "groups choices"]:
    """Scores of rows as a matrix with a line for each group; missing choices get the lowest finite value.

    Args:
        group: for each row its group, ascending from 0 without gaps.
    """
    counts = torch.bincount(group)
    place = torch.arange(len(group), device=group.device) - (counts.cumsum(0) - counts)[group]
    matrix = scores.new_full((len(counts), int(counts.max())), torch.finfo(scores.dtype).min)
    return matrix.index_put((group, place), scores)
