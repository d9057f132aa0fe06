"""Modes of a model: training or evaluation, and whether layers are computed twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; after it, each module's own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def runs_layers_again(model: nn.Module) -> bool:
    """Whether it computes layers a second time in the backward pass, to hold less on the way."""
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
