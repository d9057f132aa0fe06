"""Cross-entropy of an output layer, without ever holding the scores of all rows.

Scores over a vocabulary are the largest tensor of a language model's step: 2,048 tokens and 16,384 pieces are
134 MB in float32, and the plain way reads and writes that many numbers seven times. Here some rows at a time
are scored, turned into their loss and the gradient of it, multiplied into the gradients of the hidden states
and of the layer, and forgotten. So forward does the work of backward, which only has to scale.

On a CPU the softmax goes over fewer rows still, so that they stay in the processor's cache.

Example:
    >>> import torch
    >>> hidden, weight = torch.eye(3, 4), torch.zeros(5, 4)
    >>> round(linear_cross_entropy(hidden, weight, torch.tensor([1, 4, -100])).exp().item(), 4)
    5.0
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

_IGNORED = -100
_AT_ONCE = {"cpu": 2**24}
"""Scores in the making, in the precision of the product; on an accelerator `_LARGE`."""
_LARGE = 2**27
_FEWEST = 256
"""Rows at once, however large the vocabulary: each portion reads the whole layer again."""
_IN_CACHE = 2**20
"""Scores in float32 at once, on a CPU."""
_CAST = 2**18
"""Numbers that are cast at once, on a CPU, where they are added to others."""
_VANISHING = 1e-30


@torch.compiler.disable
def linear_cross_entropy(
    hidden: Float[Tensor, "rows hidden"],
    weight: Float[Tensor, "vocabulary hidden"],
    targets: Int[Tensor, " rows"],
    *,
    bias: Float[Tensor, " vocabulary"] | None = None,
) -> Float[Tensor, ""]:
    """The mean cross-entropy, in nats and float32, of `hidden @ weight.T + bias` with the targets.

    Under autocast the products are in its precision and everything else in float32; gradients can be taken
    once (no second derivatives).

    Args:
        hidden: what the output layer reads.
        weight: the output layer.
        targets: -100 where there is none: such a row counts for nothing, but is scored all the same; leave
            out what has many of them.
        bias: of the output layer; None for none.

    Returns:
        The mean over the rows with a target; 0, with gradients of 0, when there is none.
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    if not torch.is_grad_enabled():  # a parameter says that it wants a gradient all the same
        hidden, weight, bias = hidden.detach(), weight.detach(), None if bias is None else bias.detach()
    loss: Tensor = _LinearCrossEntropy.apply(hidden, weight, bias, targets, dtype)
    return loss


class _Gradients(NamedTuple):
    """What is made on the way; None where no gradient is asked for."""

    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, dtype: torch.dtype
    ) -> Tensor:
        counted = (targets != _IGNORED).float()
        shares = counted / counted.sum().clamp(min=1)
        made = _room(ctx.needs_input_grad, hidden, weight, bias, dtype)
        with torch.autocast(hidden.device.type, enabled=False):
            loss = _portions(hidden, weight.to(dtype), bias, targets.clamp(min=0).long(), shares, made)
        ctx.save_for_backward(*made)
        ctx.dtypes = hidden.dtype, weight.dtype, None if bias is None else bias.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        made = ctx.saved_tensors
        # On a CPU it costs nothing to look whether there is anything to do.
        same = upstream.device.type == "cpu" and bool(upstream == 1)
        scaled = (
            None if one is None else one.to(dtype) if same else one.to(dtype) * upstream
            for one, dtype in zip(made, ctx.dtypes, strict=True)
        )
        return (*scaled, None, None)


def _room(
    needed: tuple[bool, ...], hidden: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype
) -> _Gradients:
    """Empty gradients: of each row in the products' precision, of the layer in float32, for it adds up."""
    return _Gradients(
        torch.empty_like(hidden, dtype=dtype) if needed[0] else None,
        torch.empty_like(weight, dtype=torch.float32) if needed[1] else None,
        torch.zeros_like(bias, dtype=torch.float32) if bias is not None and needed[2] else None,
    )


def _portions(
    hidden: Float[Tensor, "rows hidden"],
    weight: Float[Tensor, "vocabulary hidden"],
    bias: Float[Tensor, " vocabulary"] | None,
    targets: Int[Tensor, " rows"],
    shares: Float[Tensor, " rows"],
    made: _Gradients,
) -> Float[Tensor, ""]:
    """The sum of the losses, each by its share; fills `made`."""
    rows, (vocabulary, _) = len(hidden), weight.shape
    size = min(rows, max(_FEWEST, _AT_ONCE.get(hidden.device.type, _LARGE) // vocabulary))
    room = torch.empty((size, vocabulary), dtype=weight.dtype, device=hidden.device)
    loss = torch.zeros((), device=hidden.device)
    if rows == 0 and made.weight is not None:
        made.weight.zero_()
    for start in range(0, rows, max(1, size)):
        some = slice(start, start + size)
        states = hidden[some].to(weight.dtype)
        scores = torch.mm(states, weight.T, out=room[: len(states)])
        loss += _softmax(scores, bias, targets[some], shares[some], made) @ shares[some]
        if made.hidden is not None:
            torch.mm(scores, weight, out=made.hidden[some])
        if made.weight is not None:
            part = torch.mm(scores.T, states)  # with an `out`, the kernel for CPUs copies once more
            _add(made.weight, part) if start else made.weight.copy_(part)
    return loss


def _add(into: Float[Tensor, "rows hidden"], part: Float[Tensor, "rows hidden"]) -> None:
    """Add what is in another precision; on a CPU a few rows at a time, for torch copies them first."""
    rows = max(1, _CAST // into.shape[1]) if into.device.type == "cpu" else len(into)
    for whole, some in zip(into.split(rows), part.split(rows), strict=True):
        whole.add_(some)


def _softmax(
    scores: Float[Tensor, "rows vocabulary"],
    bias: Float[Tensor, " vocabulary"] | None,
    targets: Int[Tensor, " rows"],
    shares: Float[Tensor, " rows"],
    made: _Gradients,
) -> Float[Tensor, " rows"]:
    """Each row's loss; its scores become its gradient, by its share, where one is asked for."""
    losses, size = [], len(scores)
    if scores.device.type == "cpu":
        size = max(1, _IN_CACHE // scores.shape[1])
    wanted = any(one is not None for one in made)
    for start in range(0, len(scores), max(1, size)):
        some = slice(start, start + size)
        given, target = scores[some].float(), targets[some, None]
        if bias is not None:
            given = given + bias.float()
        believed = given.softmax(-1)
        losses.append(_losses(given, believed, target))
        if wanted:
            believed.scatter_add_(1, target, believed.new_full(target.shape, -1.0))
            scores[some] = believed.mul_(shares[some, None])
        if made.bias is not None:
            made.bias.add_(believed.sum(0))
    return torch.cat(losses)


def _losses(
    given: Float[Tensor, "rows vocabulary"],
    believed: Float[Tensor, "rows vocabulary"],
    target: Int[Tensor, "rows 1"],
) -> Float[Tensor, " rows"]:
    """-log of each target's probability; by way of the scores where it may have vanished.

    To look whether it has costs nothing on a CPU; an accelerator would have to wait, so it goes that way
    always.
    """
    chance = believed.gather(1, target)
    losses = -chance.log()
    if given.device.type != "cpu" or bool((chance < _VANISHING).any()):
        losses = given.logsumexp(-1, keepdim=True) - given.gather(1, target)
    return losses.squeeze(1)
