"""A delta carried onto a student does to it what putting it on the teacher would have done."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from isogloss.compress.deltas import origins
from isogloss.compress.layers import keep_layers
from isogloss.compress.vocabulary import keep_rows
from isogloss.core.errors import ModelError
from isogloss.models.portions import portions
from isogloss.sparse.carry import carry
from isogloss.sparse.delta import Change, Delta, apply
from tiny_models import STYLES, tiny_model, tiny_tokenizer

FAMILIES = ("bert", "xlm-roberta", "distilbert", "deberta-v2", "gpt2", "llama", "modernbert")
LAYERS = {"distilbert": "n_layers", "gpt2": "n_layer"}


def teacher(family):
    auto = AutoModelForCausalLM if family in ("gpt2", "llama") else AutoModelForMaskedLM
    key = LAYERS.get(family, "num_hidden_layers")
    return tiny_model(family, auto, tiny_tokenizer(STYLES[family]), **{key: 4}).eval()


def random_delta(model):
    """A fifth of the entries of each tensor of the body."""
    generator = torch.Generator().manual_seed(0)
    changes = {}
    for name, tensor in portions(model).body.items():
        indices = (torch.rand(tensor.numel(), generator=generator) < 0.2).nonzero().squeeze(-1)
        changes[name] = Change(tuple(tensor.shape), indices, torch.randn(len(indices), generator=generator))
    return Delta(changes)


def kept_rows(model):
    """Every second row, the special ones, and in another order where nothing forbids it."""
    rows = model.get_input_embeddings().num_embeddings
    return np.array([*range(8), *range(8, rows, 2)], dtype=np.int64)


@pytest.mark.parametrize("family", FAMILIES)
def test_carrying_and_shrinking_can_change_places(family):
    large = teacher(family)
    delta, rows = random_delta(large), kept_rows(large)
    layers = (0, 2) if family == "modernbert" else (1, 3)  # whose first layer must stay the first

    def shrunk():
        return keep_layers(keep_rows(large, rows), layers)

    small = shrunk()
    found = origins(small, large.config, kept=rows, layers=layers)
    carried, losses = carry(delta, found, base=None, vocabulary=None)
    apply(carried, portions(small).all)
    apply(delta, portions(large).all)
    wanted = shrunk().state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in small.state_dict().items())
    assert 0 < losses.carried < delta.entries
    assert losses.changed == ()


def test_a_table_of_positions_that_moved_takes_its_changes_along():
    large = teacher("xlm-roberta")
    rows = np.array([0, 2, 3, 1, *range(4, 100)], dtype=np.int64)  # padding was 1 and becomes 3
    delta = random_delta(large)
    small = keep_rows(large, rows)
    carried, _ = carry(delta, origins(small, large.config, kept=rows), base=None, vocabulary=None)
    apply(carried, portions(small).all)
    apply(delta, portions(large).all)
    wanted = keep_rows(large, rows).state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in small.state_dict().items())


def test_a_projection_that_a_norm_was_folded_into_is_named():
    large = teacher("modernbert")
    small = keep_layers(large, (1, 3))
    found = origins(small, large.config, layers=(1, 3))
    _, losses = carry(random_delta(large), found, base=None, vocabulary=None)
    assert losses.changed == ("layers.0.attn.Wqkv.weight",)


@pytest.mark.parametrize("told", [{"layers": (0, 1, 2)}, {"kept": np.arange(5)}])
def test_another_number_of_rows_or_layers_is_refused(told):
    large = teacher("bert")
    with pytest.raises(ModelError, match="were kept"):
        origins(keep_layers(large, (1, 3)), large.config, **told)
