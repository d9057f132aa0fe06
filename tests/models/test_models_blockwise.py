"""Causal attention by blocks, against torch's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from isogloss.models.blockwise import causal_attention


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
