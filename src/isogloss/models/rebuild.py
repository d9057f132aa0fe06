"""A new model of the same class from a changed configuration, its weights taken from an old one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from isogloss.models.backbone import quiet, seeded


def rebuild(model: Any, config: Any, source: Callable[[str], torch.Tensor]) -> Any:
    """Construct `type(model)(config)` and fill every weight; the old model is left as it was.

    Going through the constructor means that everything derived from the configuration (which layers have a
    norm, a window, a position bias; cache indices) is what `from_pretrained` would make of the saved result.

    Args:
        model: a transformers model.
        config: the new configuration.
        source: for the name of a parameter or saved buffer of the new model, the tensor to copy.

    Returns:
        A model in the same mode, on the same device, in the same precision, with every weight trainable.
    """
    with quiet(), seeded(0):
        new = type(model)(config)
    if getattr(model, "pooler", False) is None:
        new.pooler = None
    _untie_as(new, model)
    named = dict(new.named_parameters(remove_duplicate=False))
    for name, tensor in new.state_dict(keep_vars=True).items():
        value = source(name).detach().clone()
        assert value.shape == tensor.shape, f"{name}: {tuple(value.shape)} for {tuple(tensor.shape)}"
        if name in named:
            tensor.data = value
        else:
            tensor.copy_(value)
    if hasattr(model, "generation_config"):
        new.generation_config = copy.deepcopy(model.generation_config)
    return new.to(model.device).train(model.training)


def _untie_as(new: Any, model: Any) -> None:
    """Separate weights that the class ties and `model` does not.

    transformers 5 says `tie_word_embeddings` of every mT5, and keeps the two tables of a checkpoint apart
    when they differ; a model made by the constructor would lose one of them.
    """
    for target, source in list(new.all_tied_weights_keys.items()):
        if model.get_parameter(target) is not model.get_parameter(source):
            parent, _, name = target.rpartition(".")
            weight = new.get_parameter(target)
            setattr(new.get_submodule(parent), name, nn.Parameter(weight.detach().clone()))
            new.all_tied_weights_keys.pop(target)
