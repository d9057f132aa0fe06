from __future__ import annotations

import pytest
import torch
from tiny_training import TinyModel, tiny_plan
from torch import nn

from isogloss.core.errors import ModelError
from isogloss.training.optimiser import adamw, parameter_groups, set_rate


def test_biases_norms_and_tied_embeddings_are_not_decayed():
    decayed, free = parameter_groups(TinyModel(), weight_decay=0.1)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])
    assert "embedding.weight" in free["names"]
    assert "layer.norm1.weight" in free["names"]
    assert "layer.linear1.weight" in decayed["names"]


def test_embeddings_are_decayed_when_asked():
    decayed, _ = parameter_groups(TinyModel(), weight_decay=0.1, decay_embeddings=True)
    assert "embedding.weight" in decayed["names"]


def test_every_trainable_parameter_is_in_one_group_once():
    model = TinyModel()
    model.layer.linear1.weight.requires_grad_(False)
    groups = parameter_groups(model, weight_decay=0.1)
    names = [name for group in groups for name in group["names"]]
    assert sorted(names) == sorted(n for n, p in model.named_parameters() if p.requires_grad)


def test_a_frozen_model_is_refused():
    with pytest.raises(ModelError, match="nothing to train"):
        adamw(nn.Linear(2, 2).requires_grad_(False), tiny_plan())


def test_the_rate_reaches_every_group_and_scales_the_update():
    model = nn.Linear(3, 3)
    before = model.weight.detach().clone()
    optimiser = adamw(model, tiny_plan(weight_decay=0.0))
    model(torch.ones(1, 3)).sum().backward()
    set_rate(optimiser, 0.25)
    optimiser.step()
    # AdamW's first step has the size of the rate, whatever the gradient's.
    torch.testing.assert_close(before - model.weight, torch.full((3, 3), 0.25), rtol=1e-5, atol=1e-5)
