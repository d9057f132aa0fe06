"""Causal attention on a CPU, a block of queries at a time.

torch's fused attention for CPUs never holds an attention map and makes each anew for the backward pass, of
which half is then thrown away. At the lengths that language models are trained at, the half that counts fits
in memory: here each block of queries meets the keys up to its end and no others, and its map waits for the
backward pass in the precision of the products. Forward and backward together take half the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

_BLOCK = 128


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
