"""How well the gradients of languages agree, without holding two of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from isogloss.core.seeds import derive

Loss = Callable[[nn.Module, Mapping[str, Tensor]], Tensor]
"""From a model and a batch on its device to the mean loss."""

WIDTH = 1 << 14


def agreement(
    model: nn.Module, probes: Mapping[str, Iterable[Mapping[str, Tensor]]], loss: Loss, *, seed: int
) -> dict[str, float]:
    """Each language's mean cosine between its gradient and those of the others, in [-1, 1]; 0 if alone.

    The cosines are of count sketches (Charikar et al., 2002) of `WIDTH` numbers, whose error is about
    1 / sqrt(WIDTH). Gradients that lie in the model stay as they are.

    Args:
        probes: batches by language, on any device; the gradient is that of the sum of their mean losses.
        seed: of the sketches.
    """
    sketches = {
        tag: nn.functional.normalize(_sketch(model, batches, loss, seed=seed), dim=0)
        for tag, batches in probes.items()
    }
    if len(sketches) < 2:
        return dict.fromkeys(sketches, 0.0)
    table = torch.stack(list(sketches.values()))
    cosines = table @ table.T
    others = (cosines.sum(1) - cosines.diagonal()) / (len(table) - 1)
    return dict(zip(sketches, others.tolist(), strict=True))


def _sketch(
    model: nn.Module, batches: Iterable[Mapping[str, Tensor]], loss: Loss, *, seed: int
) -> Float[Tensor, " width"]:
    """The gradient, each entry added with a sign of its own to one of `WIDTH` numbers."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    device = next(iter(parameters.values())).device
    found = torch.zeros(WIDTH, dtype=torch.float64)
    for batch in batches:
        moved = {name: tensor.to(device) for name, tensor in batch.items()}
        gradients = torch.autograd.grad(loss(model, moved), list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                _add(found, gradient.flatten().double().cpu(), derive(seed, "sketch", name))
    return found


def _add(found: Float[Tensor, " width"], entries: Float[Tensor, " entries"], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    places = torch.randint(2 * WIDTH, (len(entries),), generator=draw)
    signs = 1.0 - 2.0 * (places >= WIDTH)
    found.index_add_(0, places % WIDTH, entries * signs)
