"""GELU by its tanh formula on a CPU, by way of a sigmoid.

torch's own spends most of its time in a slow tanh; transformers' `gelu_new` writes seven tensors on the way.
0.5 (1 + tanh z) is the sigmoid of 2 z, which costs a sixth, and a stretch of the numbers at a time stays in
the processor's cache.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from isogloss.models.modes import runs_layers_again

_ONE, _THREE = 2 * math.sqrt(2 / math.pi), 2 * math.sqrt(2 / math.pi) * 0.044715
"""gelu(x) = x sigmoid(_ONE x + _THREE x^3)."""
_AT_ONCE = 2**19
"""Numbers in float32 at once."""


@contextlib.contextmanager
def quick_activation(model: Any) -> Iterator[None]:
    """GELUs by tanh are `quick_gelu` inside the block, on a CPU.

    Args:
        model: a transformers model. One that computes layers again in the backward pass, which would find
            this block left, keeps its own.
    """
    if torch.compiler.is_compiling() or model.device.type != "cpu" or runs_layers_again(model):
        yield
        return
    with contextlib.ExitStack() as stack:
        for module in model.modules():
            if _is_by_tanh(module):
                stack.enter_context(_standing_in(module))
        yield


def _is_by_tanh(module: nn.Module) -> bool:
    from transformers.activations import GELUTanh, NewGELUActivation

    return type(module) in (GELUTanh, NewGELUActivation)


@contextlib.contextmanager
def _standing_in(module: Any) -> Iterator[None]:
    """Its own forward stays for input in full precision, whose last digits a sigmoid would change."""
    own, was_set = module.forward, "forward" in vars(module)

    def forward(given: Tensor) -> Tensor:
        return quick_gelu(given) if given.dtype in (torch.bfloat16, torch.float16) else own(given)

    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if was_set:
            module.forward = own


def quick_gelu(given: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """GELU by the tanh formula, worked out in float32; gradients can be taken once."""
    result: Tensor = _Gelu.apply(given)
    return result


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, given: Tensor) -> Tensor:
        ctx.save_for_backward(given)
        result = torch.empty_like(given, memory_format=torch.contiguous_format)
        for x, into in zip(_stretches(given), _stretches(result), strict=True):
            x = x.float()
            into.copy_(_gate(x, x * x).mul_(x))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        (given,) = ctx.saved_tensors
        result = torch.empty_like(given, memory_format=torch.contiguous_format)
        parts = (_stretches(given), _stretches(upstream), _stretches(result))
        for x, outer, into in zip(*parts, strict=True):
            x = x.float()
            square = x * x
            gate = _gate(x, square)
            # s + x s (1 - s) (_ONE + 3 _THREE x^2), s the gate
            slope = square.mul_(3 * _THREE).add_(_ONE).mul_(x).mul_(1 - gate).add_(1).mul_(gate)
            into.copy_(slope.mul_(outer))
        return result


def _gate(x: Tensor, square: Tensor) -> Tensor:
    return (square * _THREE).add_(_ONE).mul_(x).sigmoid_()


def _stretches(numbers: Tensor) -> tuple[Tensor, ...]:
    return numbers.reshape(-1).split(_AT_ONCE)
