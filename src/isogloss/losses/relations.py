"""How far the relations between a student's tokens are from those between its teacher's.

MiniLMv2 (Wang et al. 2021, arXiv 2012.15828, section 3.1). The query vectors of one layer, those of all its
heads side by side, are cut anew into relation heads; in each, softmax(Q Q^T / sqrt(size)) says how every
token relates to every other, and KL(teacher || student) compares the rows. The same goes for keys, for
values, and for queries with keys, which cut into the attention heads are MiniLM's attention maps (Wang et al.
2020, arXiv 2002.10957). Relations are length by length whatever the width and the number of heads, so those
may differ between the two models; only the number of relation heads must divide both widths. The paper takes
qq, kk and vv of one layer, with 48 relation heads for a base-size teacher and 64 for a large one.

The maps of many relation heads would be far larger than the vectors they come from. They are made a few at a
time, compared, turned into the gradient of the student's vectors, and forgotten.

Example:
    >>> import torch
    >>> narrow = Projections(*torch.zeros(3, 1, 1, 2, 4))
    >>> wide = Projections(*torch.zeros(3, 1, 4, 2, 2))
    >>> real = torch.ones(1, 2, dtype=torch.bool)
    >>> losses = relation_loss(narrow, wide, real, relations=("qq", "vv"), heads=2)
    >>> {name: loss.item() for name, loss in losses.items()}
    {'qq': 0.0, 'vv': 0.0}
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from isogloss.core.errors import ModelError
from isogloss.losses.attention import real_pairs

Relation: TypeAlias = Literal["qq", "kk", "vv", "qk"]

_SIDES = {"qq": ("query", "query"), "kk": ("key", "key"), "vv": ("value", "value"), "qk": ("query", "key")}

_AT_ONCE = 2**19
"""Entries of relation maps in the making, in each of a handful of float32 buffers: they fit a CPU's cache."""


@dataclass(frozen=True, slots=True)
class Projections:
    """What one layer's attention is computed from.

    Attributes:
        query: queries, split into heads.
        key: keys; grouped-query attention has fewer heads of them.
        value: values, as many heads as keys.
    """

    query: Float[Tensor, "batch heads length size"]
    key: Float[Tensor, "batch key_heads length size"]
    value: Float[Tensor, "batch key_heads length value_size"]


def relation_loss(
    student: Projections,
    teacher: Projections,
    real: Bool[Tensor, "batch length"],
    *,
    relations: Sequence[Relation] = ("qq", "kk", "vv"),
    heads: int,
    causal: bool = False,
) -> dict[Relation, Float[Tensor, ""]]:
    """KL(teacher || student) of each kind of relation, in nats, mean over relation heads and real tokens.

    In float32, autocast or not. The padding of either model has no part in values or gradients.

    Args:
        student: one layer's vectors; gradients flow here, once (no second derivatives).
        teacher: those of the layer it is compared with; other widths, numbers and sizes of heads are fine.
        real: True at tokens that count, in both.
        relations: which kinds, each of "qq", "kk", "vv", "qk".
        heads: relation heads; `possible_heads` has the choice.
        causal: a token relates only to itself and those before it, for decoders.

    Returns:
        One number per kind, at least 0 (up to rounding); 0 when the batch has no real token.

    Raises:
        ModelError: `heads` does not divide the width of what is related, in either model.
    """
    _check_heads(heads, student, teacher, relations)
    pairs = real_pairs(real, causal=causal)
    weight = real / (real.sum().clamp(min=1) * heads)
    losses = {}
    for name in relations:
        ours, theirs = (_sides(model, name, real, heads) for model in (student, teacher))
        losses[name] = _Divergence.apply(*ours, *theirs, pairs, weight)
    return losses


def possible_heads(*widths: int) -> list[int]:
    """The numbers of relation heads that divide all these widths, rising."""
    common = math.gcd(*widths)
    return [count for count in range(1, common + 1) if common % count == 0]


def _check_heads(heads: int, student: Projections, teacher: Projections, relations: Sequence[str]) -> None:
    used = {side for name in relations for side in _SIDES[name]}
    vectors = [getattr(model, side) for model in (student, teacher) for side in sorted(used)]
    widths = sorted({one.shape[1] * one.shape[3] for one in vectors})
    possible = possible_heads(*widths)
    if heads not in possible:
        raise ModelError(
            f"{heads} relation heads for vectors of width {' and '.join(map(str, widths))}",
            wanted=f"a number that divides each width: {', '.join(map(str, possible))}",
            fix=f"take {min(possible, key=lambda count: abs(count - heads))} relation heads",
        )


def _sides(
    model: Projections, name: Relation, real: Bool[Tensor, "batch length"], heads: int
) -> tuple[Float[Tensor, "maps length size"], Float[Tensor, "maps length size"]]:
    """The two sides of a relation, cut into relation heads, a map for each head of each example."""
    left, right = (getattr(model, side) for side in _SIDES[name])
    groups = left.shape[1] // right.shape[1]  # grouped-query attention: a key head serves several of queries
    return _recut(left, real, heads), _recut(right.repeat_interleave(groups, dim=1), real, heads)


def _recut(
    vectors: Float[Tensor, "batch heads length size"], real: Bool[Tensor, "batch length"], heads: int
) -> Float[Tensor, "maps length new_size"]:
    """Heads side by side, cut into as many as asked; 0 at padding, because 0 times NaN is NaN."""
    wide = vectors.float().transpose(1, 2).flatten(2)
    clean = torch.where(real[..., None], wide, 0.0)
    return clean.unflatten(2, (heads, -1)).transpose(1, 2).flatten(0, 1)


class _Divergence(torch.autograd.Function):
    """The weighted sum over all queries; the gradient is found on the way, and only scaled afterwards."""

    @staticmethod
    def forward(
        ctx: Any, left: Tensor, right: Tensor, left_t: Tensor, right_t: Tensor, pairs: Tensor, weight: Tensor
    ) -> Tensor:
        total = torch.zeros((), device=left.device)
        gradients = torch.zeros_like(left), torch.zeros_like(right)
        example = torch.arange(len(pairs), device=left.device).repeat_interleave(len(left) // len(pairs))
        scale, scale_t = left.shape[-1] ** -0.5, left_t.shape[-1] ** -0.5
        size = max(1, _AT_ONCE // pairs[0].numel())
        with torch.autocast(left.device.type, enabled=False):
            for start in range(0, len(left), size):
                some = slice(start, start + size)
                apart = ~pairs[example[some]]
                ours = _log_relations(left[some], right[some], scale, apart)
                theirs = _log_relations(left_t[some], right_t[some], scale_t, apart)
                wanted = theirs.exp()
                each = weight[example[some], :, None]
                total += (theirs.sub_(ours).mul_(wanted).sum(-1, keepdim=True) * each).sum()
                slope = ours.exp_().sub_(wanted).mul_(each * scale)
                torch.bmm(slope, right[some], out=gradients[0][some])
                torch.bmm(slope.transpose(1, 2), left[some], out=gradients[1][some])
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        return left * upstream, right * upstream, None, None, None, None


def _log_relations(left: Tensor, right: Tensor, scale: float, apart: Tensor) -> Tensor:
    # Not -inf where there is no relation: 0 times the difference of two of these is 0.
    maps = torch.bmm(left, right.transpose(1, 2)).mul_(scale)
    return maps.masked_fill_(apart, torch.finfo(maps.dtype).min).log_softmax(-1)
