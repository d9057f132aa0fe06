"""Where each tensor of a trimmed, shallower model comes from: what carrying a delta onto it needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from isogloss.core.errors import ModelError
from isogloss.models.anatomy import anatomy
from isogloss.models.families import Family
from isogloss.models.portions import portions
from isogloss.sparse.carry import Origin

_POSITIONS = "embeddings.position_embeddings.weight"


def origins(
    small: nn.Module,
    large: Any,
    *,
    kept: npt.NDArray[np.int64] | None = None,
    layers: Sequence[int] | None = None,
) -> dict[str, Origin]:
    """The origin of every tensor of the smaller model's base, under the names of `models.portions`.

    Args:
        small: made by `keep_rows`, `keep_layers` or both, whatever training came after.
        large: the configuration of the model it was made from.
        kept: the larger model's id of each of its vocabulary rows; None where all stayed.
        layers: the larger model's layer that each of its layers was; None where all stayed.

    Raises:
        ModelError: another number of rows or layers than the smaller model has.
    """
    parts = anatomy(small)
    if kept is not None and len(kept) != parts.embedding.num_embeddings:
        raise _other_number("vocabulary rows", len(kept), parts.embedding.num_embeddings)
    if layers is not None and len(layers) != len(parts.layers):
        raise _other_number("layers", len(layers), len(parts.layers))
    named = portions(small)
    shift = parts.config.pad_token_id - large.pad_token_id if parts.family.positions_from_pad else 0
    found = {}
    for name, tensor in named.base.items():
        rows = None
        if named.parts[name] == "embedding" and kept is not None:
            rows = torch.from_numpy(np.ascontiguousarray(kept))
        elif name == _POSITIONS and shift:
            rows = _shifted_rows(len(tensor), shift)
        source = name if layers is None else _larger_name(parts.family, name, layers)
        folded = layers is not None and _is_folded(parts.family, name, layers)
        found[name] = Origin(source, tuple(tensor.shape), rows, folded)
    return found


def _larger_name(family: Family, name: str, layers: Sequence[int]) -> str:
    path = family.layers + "."
    if not name.startswith(path):
        return name
    index, _, inner = name.removeprefix(path).partition(".")
    shared = any(inner.startswith(only + ".") for only in family.first_only)
    return f"{path}{0 if shared else layers[int(index)]}.{inner}"


def _is_folded(family: Family, name: str, layers: Sequence[int]) -> bool:
    """`keep_layers` folds the norm that a ModernBERT's first layer lacks into the projection behind it."""
    return bool(family.not_in_first) and layers[0] > 0 and name.startswith(f"{family.layers}.0.attn.Wqkv.")


def _shifted_rows(rows: int, shift: int) -> Int64[Tensor, " rows"]:
    """RoBERTa counts positions from the padding id; where that moved, the table moved with it."""
    return (torch.arange(rows) - shift).clamp(min=-1)


def _other_number(what: str, told: int, found: int) -> ModelError:
    return ModelError(
        f"{told} {what} were kept, it is said, and the smaller model has {found}",
        wanted="the vocabulary and the layers that this very model was made with",
        fix="look at the recipe in the run folder that made it",
    )
