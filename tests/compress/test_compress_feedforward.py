"""Feed-forward units: which are used, and models without the others."""

from __future__ import annotations

import pytest
import torch

from every_family import CAUSAL, MASKED, small_batch, small_model
from isogloss.compress.feedforward import keep_units, most_important, unit_importance, units_of, with_units
from isogloss.core.errors import DataError, ModelError
from isogloss.models.anatomy import anatomy
from isogloss.models.matrices import layer_matrices, module_inside

KNOWN = (*MASKED, *CAUSAL)


def downs(model):
    """The output matrix of every layer's block, [outputs, units]."""
    parts = anatomy(model)
    name = layer_matrices(parts.family.name).down
    modules = [module_inside(parts, layer, name) for layer in range(len(parts.layers))]
    return [module.weight.T if parts.family.name == "gpt2" else module.weight for module in modules]


@pytest.mark.parametrize("model_type", KNOWN)
@torch.no_grad()
def test_leaving_units_out_is_setting_them_to_zero(model_type):
    model = small_model(model_type)
    batch = small_batch(model)
    kept = most_important(unit_importance(model, [batch]), 9)
    smaller = keep_units(model, kept)
    assert units_of(smaller.config) == 9
    for weight, units in zip(downs(model), kept, strict=True):
        gone = torch.ones(24, dtype=torch.bool).index_fill(0, units, False)
        weight[:, gone] = 0
    torch.testing.assert_close(smaller(**batch).logits, model(**batch).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model_type", ["bert", "modernbert", "gpt2", "llama"])
@torch.no_grad()
def test_units_that_write_nothing_go_first_and_change_nothing(model_type):
    model = small_model(model_type)
    batch = small_batch(model)
    silent = torch.tensor([3, 4, 11, 20])
    for weight in downs(model):
        weight[:, silent] = 0
    importance = unit_importance(model, [batch])
    assert (importance[:, silent] == 0).all()
    assert importance.count_nonzero() == 4 * (24 - len(silent))
    smaller = keep_units(model, most_important(importance, 20))
    torch.testing.assert_close(smaller(**batch).logits, model(**batch).logits, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_units_that_never_fire_go_first_and_change_nothing():
    model = small_model("bert", hidden_act="relu")
    batch = small_batch(model)
    for layer in model.bert.encoder.layer:
        layer.intermediate.dense.bias[:8] = -1000
    importance = unit_importance(model, [batch])
    assert (importance[:, :8] == 0).all()
    smaller, real = keep_units(model, most_important(importance, 16)), batch["attention_mask"] == 1
    ours, theirs = smaller(**batch).logits, model(**batch).logits
    torch.testing.assert_close(ours[real], theirs[real], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_importance_is_the_mean_over_real_tokens_of_what_a_unit_adds():
    model = small_model("bert")
    batch = small_batch(model)
    seen = []
    first = model.bert.encoder.layer[0].output.dense
    hook = first.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(**batch)
    hook.remove()
    states = seen[0][batch["attention_mask"] == 1]
    wanted = states.abs().mean(0) * first.weight.norm(dim=0)
    torch.testing.assert_close(unit_importance(model, [batch])[0], wanted)
    longer = {name: torch.nn.functional.pad(tensor, (0, 3)) for name, tensor in batch.items()}
    torch.testing.assert_close(unit_importance(model, [longer])[0], wanted)


@pytest.mark.parametrize("model_type", ["xlm-roberta", "modernbert", "gpt2", "llama"])
def test_the_result_trains_and_survives_saving(model_type, tmp_path):
    model = small_model(model_type)
    batch = small_batch(model)
    smaller = keep_units(model, torch.tensor([[5]] * 4)).train()
    smaller(**batch).logits.square().mean().backward()
    assert all(
        parameter.grad.isfinite().all() for parameter in smaller.parameters() if parameter.grad is not None
    )
    smaller.eval().save_pretrained(tmp_path)
    again = type(smaller).from_pretrained(tmp_path)
    saved = again.state_dict()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in smaller.state_dict().items())
    torch.testing.assert_close(again(**batch).logits, smaller(**batch).logits)


def test_mode_and_weights_of_the_given_model_are_left_alone():
    model = small_model("modernbert").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    keep_units(model, most_important(unit_importance(model, [small_batch(model)]), 3))
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_of_equally_important_things_the_first_stay():
    assert most_important(torch.tensor([[1.0, 2.0, 2.0, 1.0, 1.0]]), 3).tolist() == [[0, 1, 2]]


def test_what_does_not_fit_is_refused():
    model = small_model("bert")
    for units in (0, 25):
        with pytest.raises(ModelError, match="from 1 to 24"):
            with_units(model.config, units)
    with pytest.raises(ModelError, match="t5"):
        with_units(small_model("mt5").config, 8)
    with pytest.raises(DataError, match="no calibration text"):
        unit_importance(model, [])
    assert units_of(small_model("gpt2", n_inner=None).config) == 64
