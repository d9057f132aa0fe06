"""A batch for a model whose vocabulary numbers the same pieces otherwise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor

from isogloss.data.features import IGNORED
from isogloss.data.records import PIECES, Kind


def renumbered(batch: Mapping[str, Tensor], new: Int[Tensor, " ids"], *, kind: Kind) -> dict[str, Tensor]:
    """The batch with other ids of its pieces, those to be guessed included.

    Args:
        new: the other id of each id.
        kind: of the model; with gap and text, labels are pieces.
    """
    other = {**batch, "input_ids": new[batch["input_ids"]]}
    if "entries" in batch:
        *places, token = batch["entries"].unbind(1)
        other["entries"] = torch.stack([*places, new[token]], 1)
    elif kind in PIECES and "labels" in batch:
        labels = batch["labels"]
        other["labels"] = torch.where(labels == IGNORED, labels, new[labels.clamp(min=0)])
    if "decoder" in batch:
        other["decoder"] = new[batch["decoder"]]
    return other
