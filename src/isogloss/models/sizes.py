"""How many parameters a model has, part by part, without making its weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from isogloss.models.anatomy import anatomy
from isogloss.models.architecture import Architecture, architecture_config
from isogloss.models.backbone import Auto, empty_model


def sizes(
    subject: Architecture | nn.Module | Any, *, auto: Auto = "masked", vocabulary: int | None = None
) -> dict[str, int]:
    """Parameters of `embedding`, `layers`, `head` and in `total`; tied weights count once, as embedding.

    Args:
        subject: an `Architecture`, a transformers configuration, or a model (counted as it is).
        auto: the head to count with an architecture or a configuration.
        vocabulary: number of rows; needed for an `Architecture`, None keeps a configuration's own.

    Raises:
        ModelError: the architecture is not in our table, or has no such head.
    """
    if isinstance(subject, nn.Module):
        return _count(subject)
    if isinstance(subject, Architecture):
        assert vocabulary is not None, "an Architecture does not know its vocabulary"
        subject = architecture_config(subject, vocabulary=vocabulary)
    elif vocabulary is not None:
        subject = copy.deepcopy(subject)
        subject.vocab_size = vocabulary
    with torch.device("meta"):
        return _count(empty_model(subject, auto))


# `embedding` is everything before layer 0; `layers` is all between that and the head.
_COLUMNS = {
    "embedding": "embedding",
    "inputs": "embedding",
    "attention": "layers",
    "feedforward": "layers",
    "norm": "layers",
    "shared": "layers",
    "final_norm": "layers",
    "head": "head",
}


def _count(model: nn.Module) -> dict[str, int]:
    parts = anatomy(model)
    counted = {"embedding": 0, "layers": 0, "head": 0}
    for name, parameter in model.named_parameters():
        counted[_COLUMNS[parts.place(name).part]] += parameter.numel()
    return counted | {"total": sum(counted.values())}
