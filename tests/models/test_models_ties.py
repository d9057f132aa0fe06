from __future__ import annotations

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

from isogloss.models.anatomy import anatomy
from isogloss.models.backbone import load_model, save_model
from isogloss.models.portions import portions
from isogloss.models.ties import untie
from tiny_models import DECODERS, ENCODERS, STYLES, tiny_model, tiny_tokenizer


def tied(family):
    tokenizer = tiny_tokenizer(STYLES[family])
    auto = "causal" if family in DECODERS else "masked"
    makers = {"masked": AutoModelForMaskedLM, "causal": AutoModelForCausalLM}
    return tiny_model(family, makers[auto], tokenizer, tie_word_embeddings=True).eval(), tokenizer, auto


def scores(model):
    with torch.no_grad():
        return model(input_ids=torch.tensor([[3, 7, 11, 2]])).logits


@pytest.mark.parametrize("family", [*ENCODERS, *DECODERS])
def test_parted_tables_are_equal_until_one_of_them_moves(family):
    model, _, _ = tied(family)
    before, body = scores(model), len(portions(model).body)
    untie(model)
    assert torch.equal(scores(model), before)
    assert len(portions(model).body) == body
    parts = anatomy(model)
    table = parts.lm_head.weight.clone()
    with torch.no_grad():
        parts.embedding.weight.add_(0.1)
    assert torch.equal(parts.lm_head.weight, table)


@pytest.mark.parametrize("family", [*ENCODERS, *DECODERS])
def test_parted_tables_come_back_from_a_folder(family, tmp_path):
    model, tokenizer, auto = tied(family)
    untie(model)
    with torch.no_grad():
        anatomy(model).embedding.weight.add_(0.1)
    save_model(model, tokenizer, tmp_path / "model")
    again = load_model(tmp_path / "model", auto)
    assert torch.equal(scores(again), scores(model))


def test_a_model_without_a_language_model_head_is_left_alone():
    model = tiny_model("bert", AutoModel, tiny_tokenizer("wordpiece"))
    names = [name for name, _ in model.named_parameters()]
    untie(model)
    assert [name for name, _ in model.named_parameters()] == names
