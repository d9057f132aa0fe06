"""Hidden states and attention maps of chosen layers, against transformers' own."""

from __future__ import annotations

import pytest
import torch

from every_family import EVERY, LAYERS, SEQ2SEQ, small_batch, small_model
from isogloss.core.errors import ModelError
from isogloss.models.anatomy import anatomy
from isogloss.models.outputs import eager_attention, run


@pytest.mark.parametrize("model_type", EVERY)
@torch.no_grad()
def test_states_are_those_of_transformers_but_for_the_final_norm(model_type):
    model = small_model(model_type)
    batch = small_batch(model)
    ours = run(model, batch, hidden=range(LAYERS + 1)).hidden
    theirs = model(**batch, output_hidden_states=True)
    states = theirs.encoder_hidden_states if model_type in SEQ2SEQ else theirs.hidden_states
    for index in range(LAYERS):
        torch.testing.assert_close(ours[index], states[index])
    norm = anatomy(model).final_norm
    torch.testing.assert_close(norm(ours[LAYERS]) if norm else ours[LAYERS], states[LAYERS])


@pytest.mark.parametrize("model_type", EVERY)
@torch.no_grad()
def test_maps_are_those_of_transformers_and_rows_sum_to_one(model_type):
    model = small_model(model_type)
    batch = small_batch(model)
    ours = run(model, batch, attention=(1, 3)).attention
    with eager_attention(model):
        theirs = model(**batch, output_attentions=True)
    maps = theirs.encoder_attentions if model_type in SEQ2SEQ else theirs.attentions
    assert sorted(ours) == [1, 3]
    torch.testing.assert_close(ours[3], maps[3])
    torch.testing.assert_close(ours[1].sum(-1)[0], torch.ones(2, 7))


@pytest.mark.parametrize("model_type", SEQ2SEQ)
@torch.no_grad()
def test_the_decoder_can_be_read(model_type):
    model = small_model(model_type)
    batch = small_batch(model)
    ours = run(model, batch, hidden=(0, 2), attention=(0,), decoder=True)
    with eager_attention(model):
        theirs = model(**batch, output_hidden_states=True, output_attentions=True)
    torch.testing.assert_close(ours.hidden[2], theirs.decoder_hidden_states[2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.attention[0], theirs.decoder_attentions[0])


def test_the_attention_implementation_is_put_back_and_no_hook_stays():
    model = small_model("modernbert")
    run(model, small_batch(model), hidden=(4,), attention=(0,))
    assert model.config._attn_implementation == "sdpa"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_no_map_asked_for_means_no_eager_attention():
    model = small_model("bert")
    seen = []
    model.register_forward_pre_hook(lambda *_: seen.append(model.config._attn_implementation))
    run(model, small_batch(model), hidden=(1,))
    run(model, small_batch(model), attention=(1,))
    assert seen == ["sdpa", "eager"]


def test_a_failure_in_the_model_leaves_it_as_it_was():
    model = small_model("bert")
    with pytest.raises(IndexError):
        run(model, {"input_ids": torch.tensor([[10**6]])}, hidden=(0,), attention=(0,))
    assert model.config._attn_implementation == "sdpa"
    assert not model.bert.encoder.layer[0]._forward_pre_hooks


@pytest.mark.parametrize("model_type", ["bert", "modernbert", "gpt2", "mt5", "deberta-v2"])
def test_gradients_flow_through_what_was_read(model_type):
    model = small_model(model_type).train()
    read = run(model, small_batch(model), hidden=(0, 2), attention=(0,))
    (read.hidden[2].sum() + read.attention[0].square().sum()).backward()
    parts = anatomy(model)
    assert parts.embedding.weight.grad.abs().sum() > 0
    touched = [any(p.grad is not None for p in layer.parameters()) for layer in parts.layers]
    assert touched == [True, True, False, False]


def test_gradient_checkpointing_gives_the_same_gradients():
    model = small_model("modernbert").train()
    batch = small_batch(model)

    def gradient():
        model.zero_grad()
        with eager_attention(model):
            read = run(model, batch, hidden=(0, 3), attention=(2,))
            (read.hidden[3].square().mean() + read.attention[2].square().mean()).backward()
        return anatomy(model).embedding.weight.grad.clone()

    plain = gradient()
    model.gradient_checkpointing_enable()
    torch.testing.assert_close(gradient(), plain)


@pytest.mark.parametrize("length", [1, 2])
@torch.no_grad()
def test_short_and_all_padding_rows_are_read_without_nan(length):
    model = small_model("modernbert")
    ids = torch.full((2, length), 1)
    mask = torch.tensor([[1] * length, [0] * length])
    read = run(model, {"input_ids": ids, "attention_mask": mask}, hidden=(4,), attention=(3,))
    assert read.hidden[4].shape == (2, length, 16)
    assert not read.hidden[4][0].isnan().any()
    assert not read.attention[3][0].isnan().any()


@pytest.mark.parametrize("wanted", [{"hidden": (5,)}, {"hidden": (-1,)}, {"attention": (4,)}])
def test_a_layer_the_model_lacks_is_refused(wanted):
    model = small_model("bert")
    with pytest.raises(ModelError, match="whose last one is"):
        run(model, small_batch(model), **wanted)
