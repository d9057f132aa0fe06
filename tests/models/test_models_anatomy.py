"""The table of facts, held against the parameters transformers really makes."""

from __future__ import annotations

from collections import Counter

import pytest
from torch import nn

from every_family import EVERY, LAYERS, MASKED, ROWS, SEQ2SEQ, small_model
from isogloss.core.errors import ModelError
from isogloss.models.anatomy import anatomy
from isogloss.models.families import FAMILIES, family_of

HEADS = {
    "bert": {"cls"},
    "roberta": {"lm_head"},
    "xlm-roberta": {"lm_head"},
    "deberta-v2": {"cls"},
    "modernbert": {"head", "decoder"},
    "distilbert": {"vocab_transform", "vocab_layer_norm", "vocab_projector"},
}


@pytest.mark.parametrize("model_type", EVERY)
def test_every_parameter_has_its_place(model_type):
    parts = anatomy(small_model(model_type))
    places = {name: parts.place(name) for name, _ in parts.model.named_parameters()}
    in_head = {name.split(".")[0] for name, place in places.items() if place.part == "head"}
    untied = {"lm_head"} if not parts.config.tie_word_embeddings else set()
    assert in_head == HEADS.get(model_type, untied)
    per_layer = Counter((place.decoder, place.layer) for place in places.values() if place.layer is not None)
    assert len(per_layer) == LAYERS * (2 if model_type in SEQ2SEQ else 1)
    for decoder, layer in per_layer:
        inside = {p.part for p in places.values() if p.layer == layer and p.decoder == decoder}
        assert inside == {"attention", "feedforward", "norm"}


@pytest.mark.parametrize("model_type", EVERY)
def test_norms_are_vectors_and_matrices_are_not_norms(model_type):
    parts = anatomy(small_model(model_type))
    for name, tensor in parts.model.named_parameters():
        part = parts.place(name).part
        assert part not in ("norm", "final_norm") or tensor.ndim == 1, name
        if part in ("attention", "feedforward") and name.endswith("weight"):
            assert tensor.ndim == 2 or "_norm" in name, name


@pytest.mark.parametrize("model_type", EVERY)
def test_the_bound_parts_are_what_they_say(model_type):
    model = small_model(model_type)
    parts = anatomy(model)
    assert parts.embedding.weight.shape == (ROWS, 16)
    assert len(parts.layers) == parts.config.num_hidden_layers == LAYERS
    assert (parts.decoder_layers is not None) == (model_type in SEQ2SEQ)
    assert parts.lm_head is model.get_output_embeddings()
    assert (parts.lm_bias is not None) == (model_type in MASKED)
    assert parts.family.sdpa == type(model)._supports_sdpa
    assert all(hasattr(parts.config, key) for key in parts.family.dropout_keys)
    assert getattr(parts.config, parts.family.feedforward_key) == 24


@pytest.mark.parametrize("model_type", EVERY)
def test_vocabulary_tensors_are_those_with_a_row_per_piece(model_type):
    parts = anatomy(small_model(model_type))
    found = parts.vocabulary_tensors()
    sized = {n for n, t in parts.model.named_parameters(remove_duplicate=False) if t.shape[0] == ROWS}
    assert found == sized


@pytest.mark.parametrize("auto", ["base", "tokens", "span", "label"])
@pytest.mark.parametrize(
    "model_type", ["bert", "xlm-roberta", "deberta-v2", "modernbert", "distilbert", "gpt2", "llama", "mt5"]
)
def test_the_base_is_found_under_every_head(model_type, auto):
    model = small_model(model_type, auto)
    parts = anatomy(model)
    assert parts.layers is parts.base.get_submodule(parts.family.layers)
    assert parts.lm_head is None
    assert parts.lm_bias is None
    names = {name for name, _ in model.named_parameters()}
    assert any(parts.place(name).part == "head" for name in names) == (auto != "base")


def test_a_module_that_holds_a_model_will_do():
    class Parser(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = small_model("bert", "base")
            self.arcs = nn.Linear(16, 16)

    parts = anatomy(Parser())
    assert parts.prefix == "encoder."
    assert parts.place("arcs.weight").part == "head"
    assert parts.place("encoder.encoder.layer.2.attention.self.key.weight") == ("attention", 2, False)


def test_the_newer_deberta_head_without_a_decoder_is_known():
    parts = anatomy(small_model("deberta-v2", legacy=False))
    assert parts.lm_head is None
    assert parts.vocabulary_tensors() == {
        "deberta.embeddings.word_embeddings.weight",
        "lm_predictions.lm_head.bias",
    }


def test_no_architecture_is_listed_twice():
    counted = Counter(model_type for family in FAMILIES for model_type in family.model_types)
    assert set(counted.values()) == {1}
    assert set(counted) == set(EVERY)


def test_an_unknown_architecture_is_named_with_the_nearest_known():
    with pytest.raises(ModelError, match="modernbret") as caught:
        family_of("modernbret")
    assert "did you mean 'modernbert'?" in caught.value.fix


def test_a_plain_module_is_refused():
    with pytest.raises(ModelError, match="without a transformers model"):
        anatomy(nn.Linear(2, 2))


def test_the_decoder_of_an_encoder_is_refused():
    with pytest.raises(ModelError, match="decoder layers of a bert"):
        anatomy(small_model("bert")).stack(decoder=True)
