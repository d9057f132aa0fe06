"""The published GPT: its sizes, how it is spelt, and that what is saved says the same."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, GPT2LMHeadModel

from isogloss.models.anatomy import anatomy
from isogloss.models.architecture import PRESETS, Architecture, new_model
from isogloss.models.backbone import save_model
from isogloss.models.flops import flops
from isogloss.models.gpt import ScaledEmbedding, plain
from isogloss.models.sizes import sizes
from tiny_models import tiny_tokenizer

SMALL = {"family": "gpt2", "hidden": 32, "layers": 2, "heads": 4, "max_length": 16, "variant": "languini"}
read = Architecture.model_validate


def fresh(**changes):
    return new_model(read(SMALL | changes), tokenizer=tiny_tokenizer("bytes"), auto="causal", seed=0)


def stirred(**changes):
    """With no bias of nought and no norm of one."""
    model, draw = fresh(**changes), torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=draw)
    return model.eval()


def some_ids(rows=3, length=16, seed=0):
    return torch.randint(5, 300, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "millions"), [("gpt-mini", 27.5), ("gpt-small", 110.6), ("gpt-medium", 336.4)]
)
def test_published_sizes_have_the_published_number_of_parameters(name, millions):
    counted = sizes(read(name), auto="causal", vocabulary=16_384)
    assert round(counted["total"] / 1e6, 1) == millions


def test_a_published_size_can_be_given_another_length_and_dropout_and_nothing_else():
    assert read({"preset": "gpt-mini", "max_length": 128}) == read("gpt-mini").model_copy(
        update={"max_length": 128}
    )
    assert read({"preset": "gpt-mini", "dropout": 0.1}).dropout == 0.1
    with pytest.raises(ValidationError, match="hidden: gpt-mini says it already"):
        read({"preset": "gpt-mini", "hidden": 64})
    with pytest.raises(ValidationError, match="gpt-mini"):
        read("gpt-mni")


@pytest.mark.parametrize("name", PRESETS)
def test_written_out_a_published_size_is_read_back_the_same(name):
    assert read(read(name).model_dump()) == read(name)
    assert read(name).max_length == 512


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "llama"},
        {"variant": None, "head_width": 4},
        {"head_width": 9},
        {"options": {"tie_word_embeddings": True}},
    ],
    ids=["another family", "no variant", "wider than there is room", "tied"],
)
def test_what_no_such_gpt_can_be_is_refused(changes):
    with pytest.raises(ValidationError, match=r"variant|head_width|languini"):
        read(SMALL | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        *({"head_width": width} for width in (8, 5, 1)),
        {"head_width": 3, "options": {"scale_attn_weights": False}},
        {"head_width": 3, "options": {"scale_attn_by_inverse_layer_idx": True}},
        {"options": {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True}},
    ],
    ids=str,
)
def test_transformers_alone_loads_the_saved_model_with_the_same_scores(changes, tmp_path):
    model, ids = stirred(**changes), some_ids()
    save_model(plain(model), tiny_tokenizer("bytes"), tmp_path / "model")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert type(again) is GPT2LMHeadModel
    assert type(again.base_model.wte) is torch.nn.Embedding
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, model(ids).logits, rtol=1e-5, atol=1e-5)
    text = (tmp_path / "model" / "config.json").read_text(encoding="utf-8")
    assert "embedding_scale" not in text
    assert "head_dim" not in text


def test_folding_leaves_the_trained_model_as_it_was_and_others_alone():
    model, ids = stirred(head_width=3), some_ids()
    before = model(ids).logits
    folded = plain(model)
    torch.testing.assert_close(model(ids).logits, before, rtol=0, atol=0)
    assert plain(folded) is folded


def test_embeddings_enter_the_first_layer_times_the_root_of_the_width():
    model, ids = stirred(), some_ids()
    base = model.base_model
    assert isinstance(base.wte, ScaledEmbedding)
    entered = []
    hook = base.h[0].register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    base(ids)
    hook.remove()
    wanted = math.sqrt(32) * base.wte.weight[ids] + base.wpe.weight[:16]
    torch.testing.assert_close(entered[0], wanted)


def test_fresh_weights_are_drawn_as_published():
    base = fresh(hidden=128, layers=8).base_model
    spread = {
        name: float(tensor.detach().std()) for name, tensor in base.named_parameters() if tensor.ndim == 2
    }
    narrow = 0.02 / math.sqrt(2 * 8)
    for name, found in spread.items():
        assert found == pytest.approx(narrow if "mlp.c_proj" in name else 0.02, rel=0.1), name


def test_zeros_in_widened_heads_stay_zeros_when_the_plain_model_learns_on():
    model = plain(stirred(head_width=3)).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(3):
        ids = some_ids(seed=step)
        model.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimiser.step()
    attention = model.base_model.h[0].attn
    assert not attention.c_attn.weight.unflatten(1, (3, 4, 8))[..., 3:].any()
    assert not attention.c_proj.weight.unflatten(0, (4, 8))[:, 3:].any()
    assert attention.c_proj.weight.unflatten(0, (4, 8))[:, :3].any()


def test_it_learns_with_the_rate_that_the_scale_is_there_for():
    """One step of Adam moves each row by the rate, so what enters the layers by sqrt(hidden) times that."""
    model, ids = fresh(), some_ids()
    before = model.base_model.wte(ids).detach()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    model(ids, labels=ids).loss.backward()
    optimiser.step()
    moved = (model.base_model.wte(ids) - before).detach().abs().median()
    assert float(moved) == pytest.approx(1e-3 * math.sqrt(32), rel=0.02)


def test_operations_and_parts_are_those_of_the_narrow_heads():
    model = fresh(head_width=2)
    assert anatomy(model).place("transformer.h.0.attn.c_attn.weight").part == "attention"
    counted = flops(model, length=16)
    layer = 2 * 16 * 32 * 8 * 4 + 4 * 16**2 * 8
    assert counted["attention"] == 2 * layer
