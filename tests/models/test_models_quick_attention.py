"""Attention on a CPU says what fused attention says, whichever way it takes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from every_family import CAUSAL, MASKED, small_batch, small_model
from isogloss.models import quick_attention as quick
from isogloss.models.attention import mapped_attention
from isogloss.models.quick_attention import quick_attention


@pytest.fixture
def ways(monkeypatch):
    """The ways taken, one a layer."""
    taken, original = [], quick._way
    monkeypatch.setattr(quick, "_way", lambda *given: taken.append(original(*given)) or taken[-1])
    return taken


@pytest.mark.parametrize("model_type", [name for name in CAUSAL if name != "gemma2"])
def test_every_family_of_decoders_says_the_same_in_blocks(model_type, ways):
    model = small_model(model_type).train()
    ids = small_batch(model)["input_ids"]
    wanted = model.base_model(ids, use_cache=False).last_hidden_state
    assert not ways
    with quick_attention(model):
        found = model.base_model(ids, use_cache=False).last_hidden_state
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    # Layers that see a window of the last few tokens bring a mask, and stay with fused attention.
    assert ways == ["blocks"] * 4 or model_type in ("qwen2", "gemma3_text")
    assert model.config._attn_implementation == "sdpa"


def learnt(model, batch, *, precise=False):
    """Hidden states of real tokens, and the gradient of all parameters in one."""
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not precise):
        states = model(**batch).last_hidden_state.float()
    real = states[batch["attention_mask"].bool()]
    real.square().mean().backward()
    found = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return real.detach(), torch.cat(found)


@pytest.mark.parametrize("model_type", [*MASKED, "t5"])
def test_encoders_learn_from_short_rows_as_precisely_as_with_fused_attention(model_type, ways):
    whole = small_model(model_type).train()
    batch = {name: rows for name, rows in small_batch(whole).items() if name != "decoder_input_ids"}
    model = whole.get_encoder() if model_type == "t5" else whole.base_model
    exact = learnt(model, batch, precise=True)
    fused = learnt(model, batch)
    assert not ways
    with quick_attention(model):
        ours = learnt(model, batch)
    for true, theirs, found in zip(exact, fused, ours, strict=True):
        assert (found - true).norm() <= 1.3 * (theirs - true).norm()
    # DeBERTa attends by itself.
    assert ways == ([] if model_type == "deberta-v2" else ["mapped"] * 4)


class Layer(nn.Module):
    is_causal = False


@given(
    rows=st.integers(1, 3), length=st.integers(1, 9), size=st.integers(1, 4), seed=st.integers(0, 10**6),
    masked=st.booleans(),
)  # fmt: skip
def test_by_its_map_attention_of_any_shape_is_that_of_torch(rows, length, size, seed, masked):
    draw = torch.Generator().manual_seed(seed)
    query, key, value = torch.randn(3, rows, 2, length, size, generator=draw)
    seen = torch.rand(rows, 1, length, length, generator=draw) < 0.7
    seen[..., 0] = True
    mask = seen if masked else None
    found, attention = mapped_attention(Layer(), query, key, value, mask, scaling=0.5)
    wanted = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.5)
    torch.testing.assert_close(found.transpose(1, 2), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(attention.sum(-1), torch.ones(rows, 2, length))


def test_a_row_of_padding_alone_has_finite_states_and_gradients():
    query, key, value = (torch.randn(2, 2, 5, 4).requires_grad_() for _ in range(3))
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    mask[1] = False
    found, _ = mapped_attention(Layer(), query, key, value, mask)
    found.sum().backward()
    assert found.isfinite().all()
    assert all(part.grad.isfinite().all() for part in (query, key, value))


def way(*, dtype=torch.bfloat16, length=8, mask=None, causal=False, learns=True, **how):
    query, key = (torch.zeros(1, 2, length, 4, dtype=dtype).requires_grad_(learns) for _ in range(2))
    module = Layer()
    module.is_causal = causal
    return quick._way(module, query, key, mask, {"dropout": 0.0} | how)


MASK = torch.ones(1, 1, 8, 8, dtype=torch.bool)


def test_each_way_is_taken_where_it_is_the_fastest():
    assert way() == "mapped"
    assert way(mask=MASK) == "mapped"
    assert way(length=256) == "mapped"
    assert way(dropout=0.1) == "mapped"
    assert way(position_bias=torch.zeros(1, 2, 8, 8)) == "mapped"
    assert way(causal=True) == "blocks"
    assert way(causal=True, learns=False, dtype=torch.float32) == "blocks"
    assert way(causal=True, mask=MASK) == "mapped"
    assert way(causal=True, is_causal=False) == "mapped"


def test_all_else_is_left_to_fused_attention():
    assert way(dtype=torch.float32) == "fused"
    assert way(learns=False) == "fused"
    assert way(length=257) == "fused"
    assert way(length=1025, causal=True, dtype=torch.float32) == "fused"
    assert way(softcap=30.0) == "fused"


def test_autocast_makes_products_of_float32_states_half_precise():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert way(dtype=torch.float32) == "mapped"


def test_dropout_and_long_rows_are_left_to_fused_attention(monkeypatch, ways):
    model = small_model("gpt2", attn_pdrop=0.5).train()
    batch = small_batch(model)
    with quick_attention(model):
        model.base_model(**batch)
        model.base_model(batch["input_ids"])
        monkeypatch.setitem(quick._LONGEST, "blocks", 3)
        model.eval().base_model(batch["input_ids"])
    assert set(ways) == {"fused"}


def test_attention_that_is_not_fused_keeps_its_own():
    model = small_model("gpt2")
    model.set_attn_implementation("eager")
    with quick_attention(model):
        assert model.config._attn_implementation == "eager"


def test_layers_that_run_again_in_the_backward_pass_keep_fused_attention():
    model = small_model("bert").train()
    model.gradient_checkpointing_enable()
    with quick_attention(model):
        assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_under_autocast_layers_agree_with_fused_attention(model_type):
    model = small_model(model_type).train()
    ids = small_batch(model)["input_ids"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = model.base_model(ids, use_cache=False).last_hidden_state
        with quick_attention(model):
            found = model.base_model(ids, use_cache=False).last_hidden_state
    found.sum().backward()
    torch.testing.assert_close(found.float(), wanted.float(), rtol=0.05, atol=0.05)
