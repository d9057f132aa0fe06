"""Attention on a CPU in the way that trains fastest at the length at hand.

torch's fused attention for CPUs holds no map and makes each anew for the backward pass. In bfloat16 and at
the lengths that sentences have, that is two to eight times as slow as to keep the map.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from isogloss.models.attention import attending, mapped_attention
from isogloss.models.blockwise import causal_attention
from isogloss.models.modes import runs_layers_again

NAME = "isogloss-quick"
_LONGEST = {"blocks": 1024, "mapped": 256}
"""Tokens of a row; the memory for maps grows with their square."""


@contextlib.contextmanager
def quick_attention(model: Any) -> Iterator[None]:
    """Fused attention is `attend` inside the block, on a CPU.

    Args:
        model: a transformers model. One whose attention is not the fused one keeps its own, and so does one
            that computes layers again in the backward pass, which would find this block left.
    """
    if torch.compiler.is_compiling() or model.device.type != "cpu" or runs_layers_again(model):
        yield
        return
    with attending(model, NAME, attend, only_fused=True):
        yield


def attend(
    module: nn.Module,
    query: Float[Tensor, "batch heads length size"],
    key: Float[Tensor, "batch key_heads keys size"],
    value: Float[Tensor, "batch key_heads keys value_size"],
    attention_mask: Shaped[Tensor, "*mask"] | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Float[Tensor, "batch length heads value_size"], None]:
    """The attention of one layer, with the arguments and the result of transformers' own functions.

    Causal layers without mask or dropout take a block of queries at a time; short rows that are learnt from
    in half precision keep their map; all else is left to fused attention.
    """
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    how = settings | {"dropout": dropout, "scaling": scaling}
    way = _way(module, query, key, attention_mask, how)
    if way == "fused":
        return sdpa_attention_forward(module, query, key, value, attention_mask, **how)
    times = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, times), repeat_kv(value, times)
    if way == "mapped":
        return mapped_attention(module, query, key, value, attention_mask, **how)[0], None
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return causal_attention(query, key, value, scaling=scaling).transpose(1, 2), None


def _way(
    module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None, how: Mapping[str, Any]
) -> Literal["blocks", "mapped", "fused"]:
    """The fastest way of those that give what is asked for."""
    length, keys = query.shape[2], key.shape[2]
    if query.device.type != "cpu" or torch.compiler.is_compiling() or how.get("softcap") is not None:
        return "fused"
    causal = how.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    plain = mask is None and not how["dropout"] and how.get("position_bias") is None
    if causal and plain and length == keys <= _LONGEST["blocks"]:
        return "blocks"
    if keys <= _LONGEST["mapped"] and query.requires_grad and _products_in(query) != torch.float32:
        return "mapped"
    return "fused"


def _products_in(states: Tensor) -> torch.dtype:
    """The precision of products: autocast's inside it, or that of the states."""
    kind = states.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
