from __future__ import annotations

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

from isogloss.models.portions import portions
from isogloss.models.tasks import build_task_model
from isogloss.sparse.delta import fingerprint
from tiny_models import FAMILIES, STYLES, tiny_model, tiny_tokenizer

AUTO = {"gpt2": AutoModelForCausalLM, "llama": AutoModelForCausalLM, "mt5": AutoModel}


def whole(family):
    tokenizer = tiny_tokenizer(STYLES[family])
    return tiny_model(family, AUTO.get(family, AutoModelForMaskedLM), tokenizer)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_in_one_portion_once(family):
    model = whole(family)
    found = portions(model)
    divided = [id(p) for portion in (found.body, found.norms, found.heads) for p in portion.values()]
    assert sorted(divided) == sorted(id(p) for p in model.parameters())
    assert found.parts.keys() == found.layers.keys() == found.base.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_norms_are_found_and_embeddings_belong_to_the_body(family):
    found = portions(whole(family))
    assert found.norms
    assert all(parameter.ndim == 1 for parameter in found.norms.values())
    assert not any("norm" in name.lower() or "ln_" in name for name in found.body)
    assert sum(part == "embedding" for part in found.parts.values()) == 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["label", "tree"])
def test_the_base_has_the_same_names_and_fingerprint_under_a_head(family, kind):
    model = whole(family)
    task = build_task_model(kind, model, labels=("a", "b"), pooling="mean")
    bare, dressed = portions(model), portions(task)
    if family != "mt5":  # of which heads of ours read the encoder alone
        assert bare.base.keys() == dressed.base.keys()
        assert fingerprint(bare.base) == fingerprint(dressed.base)
    assert set(dressed.base) <= set(bare.base)
    assert any(name.startswith("head.") for name in dressed.heads)


def test_heads_of_transformers_keep_their_names():
    task = build_task_model("tags", whole("xlm-roberta"), labels=("O", "B"))
    assert set(portions(task).heads) == {"classifier.weight", "classifier.bias"}


def test_an_output_layer_tied_to_the_embedding_is_the_embedding():
    model = whole("bert")
    found = portions(model)
    assert found.body["embeddings.word_embeddings.weight"] is model.cls.predictions.decoder.weight
    assert "predictions.decoder.weight" not in "".join(found.heads)
    assert torch.is_tensor(found.heads["cls.predictions.bias"])
