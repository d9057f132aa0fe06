"""AdamW, with weight decay kept off the parameters it does not suit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from isogloss.core.errors import ModelError
from isogloss.training.plan import TrainingPlan

_FUSED_DEVICES = ("cpu", "cuda")


def adamw(model: nn.Module, plan: TrainingPlan) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over the parameters that require gradients.

    Each parameter group carries the names of its parameters under "names", in the order of "params".

    Raises:
        ModelError: no parameter requires a gradient.
    """
    groups = parameter_groups(model, weight_decay=plan.weight_decay, decay_embeddings=plan.decay_embeddings)
    if not groups:
        raise ModelError(
            "no parameter of the model requires a gradient, so there is nothing to train",
            fix="unfreeze some: parameter.requires_grad_(True)",
        )
    fused = all(
        p.device.type in _FUSED_DEVICES and p.is_floating_point() for g in groups for p in g["params"]
    )
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=plan.betas, fused=fused)


def parameter_groups(
    model: nn.Module, *, weight_decay: float, decay_embeddings: bool = False
) -> list[dict[str, Any]]:
    """The trainable parameters in two groups, with and without decay; an empty group is left out.

    Without decay: whatever has fewer than two dimensions (biases, normalisation), and embeddings unless
    `decay_embeddings`. An output layer tied to an embedding is that embedding.
    """
    embeddings = set() if decay_embeddings else {id(p) for p in _embedding_weights(model)}
    with_decay: dict[str, nn.Parameter] = {}
    without: dict[str, nn.Parameter] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or id(parameter) in embeddings
            (without if plain else with_decay)[name] = parameter
    groups = ((with_decay, weight_decay), (without, 0.0))
    return [
        {"params": list(named.values()), "names": list(named), "weight_decay": decay}
        for named, decay in groups
        if named
    ]


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use this learning rate in every group from the next step on."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def _embedding_weights(model: nn.Module) -> Iterator[torch.Tensor]:
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            yield module.weight
