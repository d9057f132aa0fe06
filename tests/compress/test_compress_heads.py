"""Attention heads: which matter to the loss, and models without the others."""

from __future__ import annotations

import pytest
import torch

from every_family import CAUSAL, MASKED, small_batch, small_model
from isogloss.compress.heads import block_rows, head_importance, important_heads, keep_heads, with_heads
from isogloss.core.errors import DataError, ModelError
from isogloss.models.anatomy import anatomy
from isogloss.models.matrices import head_size, layer_matrices, module_inside

FREE = tuple(model_type for model_type in CAUSAL if model_type != "gpt2")


def outputs(model):
    """The matrix out of the heads of every layer, [outputs, heads * size]."""
    parts = anatomy(model)
    name = layer_matrices(parts.family.name).output
    modules = [module_inside(parts, layer, name) for layer in range(len(parts.layers))]
    return [module.weight.T if parts.family.name == "gpt2" else module.weight for module in modules]


def labelled(model, rows=slice(None)):
    batch = {name: tensor[rows] for name, tensor in small_batch(model).items()}
    labels = torch.where(batch["attention_mask"] == 1, batch["input_ids"], -100)
    return {**batch, "labels": labels}


@pytest.mark.parametrize("model_type", [*MASKED, *CAUSAL])
def test_a_head_that_writes_nothing_has_no_importance(model_type):
    model = small_model(model_type, hidden_size=16, num_attention_heads=2)
    size = head_size(model.config)
    with torch.no_grad():
        for weight in outputs(model):
            weight[:, :size] = 0
    importance = head_importance(model, [labelled(model)])
    assert (importance[:, 0] == 0).all()
    torch.testing.assert_close(importance[:, 1], torch.ones(4))


def test_importance_is_the_mean_size_of_the_losses_slope_in_the_mask_of_each_head():
    """The oracle scales the columns of one head and takes differences, one text at a time."""
    model = small_model("bert").double()
    texts = [labelled(model, slice(row, row + 1)) for row in range(3)]

    def slope(text, layer, head):
        @torch.no_grad()
        def at(scale):
            weight = outputs(model)[layer].data
            columns, before = block_rows(torch.tensor([head]), 8), weight.clone()
            weight[:, columns] *= scale
            loss = model(**text).loss.item()
            weight.copy_(before)
            return loss

        return abs(at(1 + 1e-5) - at(1 - 1e-5)) / 2e-5

    wanted = torch.tensor(
        [[sum(slope(text, layer, head) for text in texts) for head in range(2)] for layer in range(4)]
    )
    found = head_importance(model, texts)
    torch.testing.assert_close(found, wanted / wanted.norm(dim=1, keepdim=True), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("model_type", FREE)
@torch.no_grad()
def test_leaving_heads_out_is_setting_what_they_write_to_zero(model_type, tmp_path):
    model = small_model(model_type, num_attention_heads=8, num_key_value_heads=4, head_dim=6)
    batch = small_batch(model)
    kept = torch.tensor([[1, 3], [0, 1], [2, 3], [0, 2]])
    smaller = keep_heads(model, kept)
    assert (smaller.config.num_attention_heads, smaller.config.num_key_value_heads) == (4, 2)
    for weight, groups in zip(outputs(model), kept, strict=True):
        stay = block_rows(block_rows(groups, 2), 6)
        weight[:, torch.ones(48, dtype=torch.bool).index_fill(0, stay, False)] = 0
    torch.testing.assert_close(smaller(**batch).logits, model(**batch).logits, atol=1e-5, rtol=1e-5)
    smaller.save_pretrained(tmp_path)
    again = type(smaller).from_pretrained(tmp_path)
    assert torch.equal(again(**batch).logits, smaller(**batch).logits)


def test_a_llama_without_its_least_important_heads_trains():
    model = small_model("llama", num_attention_heads=4)
    smaller = keep_heads(model, important_heads(model, [labelled(model)], 1)).train()
    smaller(**labelled(model)).loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in smaller.parameters())


def test_heads_that_share_a_key_are_judged_together():
    model = small_model("llama", num_attention_heads=4, num_key_value_heads=2)
    one = head_importance(model, [labelled(model)])
    better = (one[:, 2:].sum(dim=1) > one[:, :2].sum(dim=1)).long()
    assert torch.equal(important_heads(model, [labelled(model)], 2), better[:, None])


def test_no_gradient_and_no_mask_are_left_behind():
    model = small_model("gpt2").train()
    head_importance(model, [labelled(model)])
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("model_type", [*MASKED, "gpt2"])
def test_a_family_whose_heads_make_up_its_width_cannot_lose_them_alone(model_type):
    config = small_model(model_type).config
    with pytest.raises(ModelError, match="as wide as the model") as caught:
        with_heads(config, 1)
    assert "student.width" in caught.value.fix
    assert with_heads(config, 2).num_attention_heads == 2


@pytest.mark.parametrize("heads", [0, 3, 5, 16])
def test_numbers_of_heads_that_do_not_fit_are_refused(heads):
    config = small_model("llama", num_attention_heads=8, num_key_value_heads=4).config
    with pytest.raises(ModelError, match="a multiple of 2"):
        with_heads(config, heads)


def test_a_model_without_a_loss_and_no_text_are_refused():
    with pytest.raises(ModelError, match="without a loss"):
        head_importance(small_model("bert", "base"), [small_batch(small_model("bert"))])
    with pytest.raises(DataError, match="no calibration text"):
        head_importance(small_model("bert"), [])
