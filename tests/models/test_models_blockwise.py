"""Causal attention by blocks, against torch's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from every_family import CAUSAL, small_batch, small_model
from isogloss.models import blockwise
from isogloss.models.blockwise import causal_attention, in_blocks


def drawn(batch, heads, length, size, seed=0):
    draw = torch.Generator().manual_seed(seed)
    shape = (batch, length, heads, size)
    return [torch.randn(shape, generator=draw).transpose(1, 2).requires_grad_() for _ in range(3)]


def both(inputs, scaling):
    ours = causal_attention(*inputs, scaling=scaling)
    theirs = scaled_dot_product_attention(*inputs, is_causal=True, scale=scaling)
    return ours, theirs


@pytest.mark.parametrize("length", [1, 2, 127, 128, 129, 260])
def test_outputs_and_gradients_are_those_of_fused_attention(length):
    inputs = drawn(2, 3, length, 4)
    ours, theirs = both(inputs, 0.5)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    upstream = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(1))
    found, wanted = (torch.autograd.grad(out, inputs, upstream) for out in (ours, theirs))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 4), st.integers(0, 10**6))
def test_any_shape_agrees_with_fused_attention(batch, heads, length, size, seed):
    ours, theirs = both(drawn(batch, heads, length, size, seed), size**-0.5)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_in_bfloat16_it_is_as_near_to_float32_as_such_numbers_are():
    inputs = drawn(2, 2, 100, 8)
    exact = causal_attention(*inputs, scaling=0.3)
    rounded = causal_attention(*(one.bfloat16() for one in inputs), scaling=0.3)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() <= 0.01 * exact.norm()


@pytest.mark.parametrize("model_type", [name for name in CAUSAL if name != "gemma2"])
def test_every_family_of_decoders_says_the_same_in_blocks(model_type, monkeypatch):
    model = small_model(model_type).train()
    ids = small_batch(model)["input_ids"]
    calls = []
    original = blockwise.causal_attention
    monkeypatch.setattr(blockwise, "causal_attention", lambda *a, **k: calls.append(1) or original(*a, **k))
    wanted = model.base_model(ids, use_cache=False).last_hidden_state
    assert not calls
    with in_blocks(model.base_model):
        found = model.base_model(ids, use_cache=False).last_hidden_state
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    # Layers that see a window of the last few tokens bring a mask, and stay with fused attention.
    assert len(calls) == (4 if model_type not in ("qwen2", "gemma3_text") else len(calls))
    assert model.config._attn_implementation == "sdpa"


def test_masks_dropout_and_long_rows_are_left_to_fused_attention(monkeypatch):
    monkeypatch.setattr(blockwise, "causal_attention", None)
    model = small_model("gpt2", attn_pdrop=0.5).train()
    batch = small_batch(model)
    with in_blocks(model.base_model):
        model.base_model(**batch)
        model.base_model(batch["input_ids"])
        monkeypatch.setattr(blockwise, "_LONGEST", 3)
        model.eval().base_model(batch["input_ids"])


def test_attention_that_is_not_fused_keeps_its_own():
    model = small_model("gpt2")
    model.set_attn_implementation("eager")
    with in_blocks(model.base_model):
        assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_under_autocast_layers_agree_with_fused_attention(model_type):
    model = small_model(model_type).train()
    ids = small_batch(model)["input_ids"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = model.base_model(ids, use_cache=False).last_hidden_state
        with in_blocks(model.base_model):
            found = model.base_model(ids, use_cache=False).last_hidden_state
    found.sum().backward()
    torch.testing.assert_close(found.float(), wanted.float(), rtol=0.05, atol=0.05)
