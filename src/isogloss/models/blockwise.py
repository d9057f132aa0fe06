"""Causal attention on a CPU, a block of queries at a time.

torch's fused attention for CPUs never holds an attention map and makes each anew for the backward pass, of
which half is then thrown away. At the lengths that language models are trained at, the half that counts fits
in memory: here each block of queries meets the keys up to its end and no others, and its map waits for the
backward pass in the precision of the products. Forward and backward together take half the time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

NAME = "isogloss-blocks"
_BLOCK = 128
_LONGEST = 1024
"""Tokens; the memory for maps grows with their square."""


@contextlib.contextmanager
def in_blocks(model: Any) -> Iterator[None]:
    """Fused attention is that of this module inside the block, where it is the faster one.

    Elsewhere (on accelerators, with masks, dropout or other lengths of keys) it stays as it is.

    Args:
        model: a transformers decoder without a head. One whose attention is not the fused one keeps its own.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    config = model.config
    if torch.compiler.is_compiling() or model.device.type != "cpu" or config._attn_implementation != "sdpa":
        yield
        return
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    # The public setter checks and imports much, and this is done at every step.
    config._attn_implementation_internal = NAME
    try:
        yield
    finally:
        config._attn_implementation_internal = "sdpa"


def attend(
    module: nn.Module,
    query: Float[Tensor, "batch heads length size"],
    key: Float[Tensor, "batch key_heads keys size"],
    value: Float[Tensor, "batch key_heads keys size"],
    attention_mask: Shaped[Tensor, "*mask"] | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Float[Tensor, "batch length heads size"], None]:
    """The attention of one layer, with the arguments and the result of transformers' own functions."""
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    fits = attention_mask is None and dropout == 0.0 and settings.get("is_causal") is not False
    if not fits or not query.shape[2] == key.shape[2] <= _LONGEST:
        settings |= {"dropout": dropout, "scaling": scaling}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    times = query.shape[1] // key.shape[1]
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    mixed = causal_attention(query, repeat_kv(key, times), repeat_kv(value, times), scaling=scaling)
    return mixed.transpose(1, 2), None


def causal_attention(
    query: Float[Tensor, "batch heads length size"],
    key: Float[Tensor, "batch heads length size"],
    value: Float[Tensor, "batch heads length size"],
    *,
    scaling: float,
) -> Float[Tensor, "batch heads length size"]:
    """Each query's mean of the values up to its own place, weighed by softmax(scaling * query . key).

    Scores are in autocast's precision, or outside it in that of the query; their softmax is in float32.
    Gradients can be taken once.
    """
    kind = query.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
    # Rotary positions leave queries and keys in float32 beside values in bfloat16.
    mixed: Tensor = _Blocks.apply(query.to(dtype), key.to(dtype), value.to(dtype), scaling)
    return mixed


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        with torch.autocast(query.device.type, enabled=False):
            rows = query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)
            mixed, maps = _forward(*rows, scaling, keep=any(ctx.needs_input_grad))
        ctx.save_for_backward(*rows, *maps)
        ctx.scaling = scaling
        return mixed.view_as(query)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *maps = ctx.saved_tensors
        flat = upstream.flatten(0, 1).to(query.dtype)
        with torch.autocast(query.device.type, enabled=False):
            found = _backward(flat, query, key, value, maps, ctx.scaling)
        return (*(one.view_as(upstream) for one in found), None)


def _forward(
    query: Float[Tensor, "rows length size"],
    key: Float[Tensor, "rows length size"],
    value: Float[Tensor, "rows length size"],
    scaling: float,
    *,
    keep: bool,
) -> tuple[Float[Tensor, "rows length size"], list[Tensor]]:
    """What the heads give, and the map of each block of queries."""
    mixed, maps = torch.empty_like(query), []
    ahead = torch.full((_BLOCK, _BLOCK), -torch.inf, dtype=query.dtype).triu(1)
    for start, end in _blocks(query.shape[1]):
        hidden = functional.pad(ahead[: end - start, : end - start], (start, 0))[None]
        scores = torch.baddbmm(hidden, query[:, start:end], key[:, :end].mT, alpha=scaling)
        believed = scores.softmax(-1)  # the kernel sums in float32
        mixed[:, start:end] = torch.bmm(believed, value[:, :end])
        if keep:
            maps.append(believed)
    return mixed, maps


def _backward(
    upstream: Float[Tensor, "rows length size"],
    query: Float[Tensor, "rows length size"],
    key: Float[Tensor, "rows length size"],
    value: Float[Tensor, "rows length size"],
    maps: list[Tensor],
    scaling: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value; those of the last two add up in float32."""
    to_query = torch.empty_like(query)
    to_key, to_value = (
        torch.zeros_like(key, dtype=torch.float32),
        torch.zeros_like(value, dtype=torch.float32),
    )
    for (start, end), believed in zip(_blocks(query.shape[1]), maps, strict=True):
        here = upstream[:, start:end]
        to_value[:, :end] += torch.bmm(believed.mT, here)
        change = torch.bmm(here, value[:, :end].mT)
        change = torch.ops.aten._softmax_backward_data(change, believed, -1, change.dtype)
        to_query[:, start:end] = torch.bmm(change, key[:, :end])
        to_key[:, :end] += torch.bmm(change.mT, query[:, start:end])
    scaled = to_query.mul_(scaling), to_key.mul_(scaling)
    return scaled[0], scaled[1].to(key.dtype), to_value.to(value.dtype)


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    """Where each block of queries begins and ends."""
    for start in range(0, length, _BLOCK):
        yield start, min(length, start + _BLOCK)
