"""Hidden states, attention maps and projections of chosen layers, against transformers' own."""

from __future__ import annotations

import contextlib

import pytest
import torch

from every_family import CAUSAL, EVERY, LAYERS, SEQ2SEQ, small_batch, small_model
from isogloss.core.errors import ModelError
from isogloss.models import attention, watched
from isogloss.models.anatomy import anatomy
from isogloss.models.outputs import recording, run

REGULAR = tuple(name for name in EVERY if name != "deberta-v2")  # whose attention goes through the interface


@contextlib.contextmanager
def eager(model):
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    yield
    model.set_attn_implementation(before)


def real_rows(batch):
    """True at queries that are tokens: what the maps of padding are matters to nobody."""
    return batch["attention_mask"].bool()[:, None, :, None]


def counted(monkeypatch):
    """How often a map is computed, and how often fused attention runs."""
    from transformers.integrations import sdpa_attention

    calls = {"_softmax": 0, "sdpa_attention_forward": 0}

    def count(module, name):
        real = getattr(module, name)

        def counting(*args, **settings):
            calls[name] += 1
            return real(*args, **settings)

        monkeypatch.setattr(module, name, counting)

    count(attention, "_softmax")
    count(sdpa_attention, "sdpa_attention_forward")
    return calls


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
    with eager(model):
        theirs = model(**batch, output_attentions=True)
    maps = theirs.encoder_attentions if model_type in SEQ2SEQ else theirs.attentions
    assert sorted(ours) == [1, 3]
    for index in ours:
        torch.testing.assert_close(ours[index], maps[index], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours[1].sum(-1), torch.ones(3, 2, 7))


@pytest.mark.parametrize("model_type", EVERY)
def test_gradients_through_the_maps_are_those_of_eager_attention(model_type):
    model = small_model(model_type).train()
    batch = small_batch(model)

    def gradients(maps, states):
        model.zero_grad()
        ((maps * real_rows(batch)).square().sum() + states[0].square().mean()).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    with recording(model, attention=[2], hidden=[3]) as kept:
        model(**batch)
    ours = gradients(kept.attention[2], kept.hidden[3])
    with eager(model):
        theirs = model(**batch, output_attentions=True, output_hidden_states=True)
        prefix = "encoder_" if model_type in SEQ2SEQ else ""
        plain = gradients(theirs[prefix + "attentions"][2], theirs[prefix + "hidden_states"][3])
    assert ours.keys() == plain.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], plain[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("length", [1, 7])
@pytest.mark.parametrize("model_type", EVERY)
@torch.no_grad()
def test_what_the_model_puts_out_does_not_change(model_type, length):
    model = small_model(model_type)
    batch = {name: tensor[:, :length] for name, tensor in small_batch(model).items()}
    plain = model(**batch).logits
    for layers in ((), (0, 2), range(LAYERS)):
        with recording(model, attention=layers, projections=[1]):
            watched_logits = model(**batch).logits
        rows = batch["attention_mask"].bool()[:, : plain.shape[1]]
        torch.testing.assert_close(watched_logits[rows], plain[rows], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model_type", CAUSAL)
@torch.no_grad()
def test_a_batch_without_padding_needs_no_mask_and_gives_the_same_maps(model_type):
    model = small_model(model_type)
    ids = small_batch(model)["input_ids"][:1]
    ours = run(model, {"input_ids": ids}, attention=range(LAYERS)).attention
    with eager(model):
        theirs = model(ids, output_attentions=True).attentions
    for index in range(LAYERS):
        torch.testing.assert_close(ours[index], theirs[index], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model_type", ["bert", "llama"])
@torch.no_grad()
def test_an_additive_mask_is_honoured(model_type):
    model = small_model(model_type)
    batch = small_batch(model)
    seen = torch.ones(3, 1, 7, 7).tril().bool() & batch["attention_mask"].bool()[:, None, None]
    batch["attention_mask"] = torch.where(seen, 0.0, torch.finfo().min)
    ours = run(model, batch, attention=[1]).attention[1]
    assert (ours[~seen.expand_as(ours)] == 0).all()
    with eager(model):
        torch.testing.assert_close(ours, model(**batch, output_attentions=True).attentions[1])


@pytest.mark.parametrize("model_type", [name for name in EVERY if name not in ("deberta-v2", *SEQ2SEQ)])
@torch.no_grad()
def test_projections_make_the_map(model_type):
    model = small_model(model_type)
    batch = small_batch(model)
    kept = run(model, batch, attention=(0, 3), projections=(0, 3))
    for index, seen in kept.projections.items():
        assert seen.query.shape == seen.key.shape == seen.value.shape == (3, 2, 7, 8)
        module = anatomy(model).map_source(index)
        scores = seen.query @ seen.key.mT * getattr(module, "scaling", 8**-0.5)
        if softcap := getattr(module, "attn_logit_softcapping", None):
            scores = torch.tanh(scores / softcap) * softcap
        seeable = kept.attention[index] > 0
        again = scores.masked_fill(~seeable, -torch.inf).softmax(-1)
        rows = real_rows(batch).expand_as(again)
        torch.testing.assert_close(again[rows], kept.attention[index][rows], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_projections_of_attention_outside_the_interface_are_those_of_the_content():
    model = small_model("deberta-v2")
    kept = run(model, small_batch(model), projections=(0, 2), hidden=(2,))
    module = anatomy(model).map_source(2)
    for name in ("query", "key", "value"):
        plain = getattr(module, f"{name}_proj")(kept.hidden[2]).view(3, 7, 2, 8).transpose(1, 2)
        assert torch.equal(getattr(kept.projections[2], name), plain)
    assert sorted(kept.projections) == [0, 2]


@torch.no_grad()
def test_projections_of_t5_and_its_position_bias_make_the_map():
    model = small_model("mt5")
    batch = small_batch(model)
    kept = run(model, batch, attention=(0,), projections=(0,))
    seen = kept.projections[0]
    bias = anatomy(model).map_source(0).compute_bias(7, 7)
    again = (seen.query @ seen.key.mT + bias)[0].softmax(-1)
    torch.testing.assert_close(again, kept.attention[0][0])


@pytest.mark.parametrize("model_type", [name for name in REGULAR if name != "gemma2"])
def test_layers_not_asked_for_never_make_a_map(model_type, monkeypatch):
    model = small_model(model_type)
    batch = small_batch(model)
    calls = counted(monkeypatch)
    with recording(model, attention=[1], projections=[0, 2]):
        model(**batch)
    others = 2 * LAYERS if model_type in SEQ2SEQ else 0  # the decoder's, and those from it to the encoder
    assert calls == {"_softmax": 1, "sdpa_attention_forward": LAYERS - 1 + others}


def test_a_softcap_makes_maps_everywhere_but_hands_out_those_asked_for(monkeypatch):
    model = small_model("gemma2")
    calls = counted(monkeypatch)
    kept = run(model, small_batch(model), attention=[1])
    assert (calls["_softmax"], sorted(kept.attention)) == (LAYERS, [1])


@pytest.mark.parametrize("model_type", SEQ2SEQ)
@torch.no_grad()
def test_the_decoder_can_be_read(model_type):
    model = small_model(model_type)
    batch = small_batch(model)
    ours = run(model, batch, hidden=(0, 2), attention=(0,), projections=(3,), decoder=True)
    with eager(model):
        theirs = model(**batch, output_hidden_states=True, output_attentions=True)
    torch.testing.assert_close(ours.hidden[2], theirs.decoder_hidden_states[2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.attention[0], theirs.decoder_attentions[0])
    assert ours.projections[3].query.shape == (3, 2, 5, 8)


@pytest.mark.parametrize("before", ["sdpa", "eager"])
@pytest.mark.parametrize("model_type", ["modernbert", "mt5", "deberta-v2"])
def test_nothing_of_a_recording_stays_in_the_model(model_type, before):
    model = small_model(model_type)
    if model_type != "deberta-v2":
        model.set_attn_implementation(before)
    configs = [module.config for module in model.modules() if hasattr(module, "config")]
    names = [config._attn_implementation for config in configs]
    run(model, small_batch(model), hidden=(4,), attention=(0,), projections=(1,))
    assert [config._attn_implementation for config in configs] == names
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not watched._watched


def test_states_alone_leave_the_attention_function_alone():
    model = small_model("bert")
    seen = []
    model.register_forward_pre_hook(lambda *_: seen.append(model.config._attn_implementation))
    run(model, small_batch(model), hidden=(1,))
    run(model, small_batch(model), attention=(1,))
    run(model, small_batch(model), projections=(1,))
    assert seen == ["sdpa", watched.NAME, watched.NAME]


def test_a_failure_in_the_model_leaves_it_as_it_was():
    model = small_model("bert")
    with pytest.raises(IndexError):
        run(model, {"input_ids": torch.tensor([[10**6]])}, hidden=(0,), attention=(0,))
    assert model.config._attn_implementation == "sdpa"
    assert not model.bert.encoder.layer[0]._forward_pre_hooks
    assert not watched._watched


def test_recordings_lie_in_one_another_and_beside_one_another():
    model, other = small_model("bert"), small_model("bert", seed=1)
    batch = small_batch(model)
    with recording(model, attention=[0, 1]) as outer, recording(other, attention=[0]) as beside:
        with recording(model, attention=[1, 2]) as inner:
            model(**batch)
            other(**batch)
        with contextlib.suppress(IndexError), recording(model, attention=[3]):
            model(torch.tensor([[10**6]]))
        assert model.config._attn_implementation == watched.NAME
        first = outer.attention[1]
        assert sorted(inner.attention) == [1, 2]
        assert inner.attention[1] is first
        model(**batch)
    assert (sorted(outer.attention), sorted(beside.attention)) == ([0, 1], [0])
    assert outer.attention[1] is not first
    assert inner.attention[1] is first
    assert model.config._attn_implementation == other.config._attn_implementation == "sdpa"


@torch.no_grad()
def test_a_module_that_holds_a_model_can_be_recorded():
    model = small_model("bert")

    class Holder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

    plain = run(model, small_batch(model), attention=[2]).attention[2]
    with recording(Holder(), attention=[2]) as kept:
        model.bert(**small_batch(model))
    assert torch.equal(kept.attention[2], plain)


@pytest.mark.parametrize("model_type", ["bert", "modernbert", "gpt2", "mt5", "deberta-v2"])
def test_gradients_flow_through_what_was_read(model_type):
    model = small_model(model_type).train()
    read = run(model, small_batch(model), hidden=(0, 2), attention=(0,), projections=(1,))
    (read.hidden[2].sum() + read.attention[0].square().sum() + read.projections[1].key.sum()).backward()
    parts = anatomy(model)
    assert parts.embedding.weight.grad.abs().sum() > 0
    touched = [any(p.grad is not None for p in layer.parameters()) for layer in parts.layers]
    assert touched == [True, True, False, False]


@pytest.mark.parametrize("model_type", ["bert", "deberta-v2", "modernbert"])
def test_maps_are_those_before_dropout(model_type):
    dropout = "attention_dropout" if model_type == "modernbert" else "attention_probs_dropout_prob"
    model = small_model(model_type, **{dropout: 0.5}).train()
    batch = small_batch(model)
    maps = run(model, batch, attention=[0]).attention[0]
    torch.testing.assert_close(maps, run(model.eval(), batch, attention=[0]).attention[0])
    model.train()
    torch.manual_seed(0)
    one, two = (run(model, batch, attention=[0], hidden=[1]).hidden[1] for _ in range(2))
    assert not torch.equal(one, two)


def test_gradient_checkpointing_gives_the_same_gradients():
    model = small_model("modernbert").train()
    batch = small_batch(model)

    def gradient():
        model.zero_grad()
        with recording(model, hidden=(0, 3), attention=(2,), projections=(1,)) as read:
            model(**batch)
            maps, key = read.attention[2], read.projections[1].key
            (read.hidden[3].square().mean() + maps.square().mean() + key.square().mean()).backward()
        return anatomy(model).embedding.weight.grad.clone()

    plain = gradient()
    model.gradient_checkpointing_enable()
    torch.testing.assert_close(gradient(), plain)


@pytest.mark.parametrize("model_type", ["xlm-roberta", "modernbert", "qwen3", "mt5"])
def test_bfloat16_by_autocast_is_near_and_keeps_maps_in_it(model_type):
    model = small_model(model_type).train()
    batch = small_batch(model)
    plain = run(model, batch, attention=[1], projections=[1])
    with torch.autocast("cpu", torch.bfloat16):
        half = run(model, batch, attention=[1], projections=[1])
    maps = half.attention[1]
    assert maps.dtype == torch.bfloat16
    torch.testing.assert_close(maps.float(), plain.attention[1], atol=0.02, rtol=0.02)
    (maps.float() * real_rows(batch)).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("length", [1, 2])
@torch.no_grad()
def test_short_and_all_padding_rows_are_read_without_nan(length):
    model = small_model("modernbert")
    ids = torch.full((2, length), 1)
    mask = torch.tensor([[1] * length, [0] * length])
    read = run(model, {"input_ids": ids, "attention_mask": mask}, hidden=(4,), attention=(3,))
    assert read.hidden[4].shape == (2, length, 16)
    assert not read.hidden[4][0].isnan().any()
    torch.testing.assert_close(read.attention[3].sum(-1), torch.ones(2, 2, length))


@pytest.mark.parametrize(
    "wanted", [{"hidden": (5,)}, {"hidden": (-1,)}, {"attention": (4,)}, {"projections": (4,)}]
)
def test_a_layer_the_model_lacks_is_refused(wanted):
    model = small_model("bert")
    with pytest.raises(ModelError, match="whose last one is"):
        run(model, small_batch(model), **wanted)
