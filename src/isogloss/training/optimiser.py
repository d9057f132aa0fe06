"""AdamW, with weight decay kept off the parameters it does not suit."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import nn

from isogloss.core.errors import ModelError
from isogloss.training.plan import TrainingPlan

OptimiserBuilder: TypeAlias = Callable[[nn.Module, TrainingPlan], torch.optim.Optimizer]
"""Makes the optimiser of a training. Each of its groups carries the names of its parameters under "names"."""

_FUSED_DEVICES = ("cpu", "cuda")


def adamw(model: nn.Module, plan: TrainingPlan) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over the parameters that require gradients.

    Each parameter group carries the names of its parameters under "names", in the order of "params".

    Raises:
        ModelError: no parameter requires a gradient.
    """
    return adamw_over(
        parameter_groups(model, weight_decay=plan.weight_decay, decay_embeddings=plan.decay_embeddings), plan
    )


def adamw_over(groups: list[dict[str, Any]], plan: TrainingPlan) -> torch.optim.AdamW:
    """AdamW over the given groups.

    Raises:
        ModelError: there is none.
    """
    if not groups:
        raise ModelError(
            "no parameter of the model requires a gradient, so there is nothing to train",
            fix="unfreeze some: parameter.requires_grad_(True)",
        )
    fused = all(
        p.device.type in _FUSED_DEVICES and p.is_floating_point() for g in groups for p in g["params"]
    )
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=plan.betas, eps=plan.eps, fused=fused)


def parameter_groups(
    model: nn.Module, *, weight_decay: float, decay_embeddings: bool = False
) -> list[dict[str, Any]]:
    """The trainable parameters in two groups, with and without decay; an empty group is left out.

    Without decay: whatever has fewer than two dimensions (biases, normalisation), and embeddings unless
    `decay_embeddings`. An output layer tied to an embedding is that embedding.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    free = undecayed(trained, model, decay_embeddings=decay_embeddings)
    return two_groups(trained, free, weight_decay)


def undecayed(
    tensors: Mapping[str, nn.Parameter], model: nn.Module, *, decay_embeddings: bool = False
) -> set[str]:
    """The names of those of a model's parameters that weight decay does not suit."""
    with torch.no_grad():  # with gradients, a parametrized weight would be a new tensor
        embeddings = set() if decay_embeddings else {id(p) for p in _embedding_weights(model)}
    return {name for name, tensor in tensors.items() if tensor.ndim < 2 or id(tensor) in embeddings}


def two_groups(
    named: Mapping[str, nn.Parameter], free: Container[str], weight_decay: float
) -> list[dict[str, Any]]:
    """Parameters with decay and, for the names in `free`, without; an empty group is left out."""
    with_decay = {name: parameter for name, parameter in named.items() if name not in free}
    without = {name: parameter for name, parameter in named.items() if name in free}
    return [
        {"params": list(group.values()), "names": list(group), "weight_decay": decay}
        for group, decay in ((with_decay, weight_decay), (without, 0.0))
        if group
    ]


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use this learning rate in every group from the next step on."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def _embedding_weights(model: nn.Module) -> Iterator[torch.Tensor]:
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            yield module.weight
