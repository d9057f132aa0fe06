"""GELU by way of a sigmoid: as near to exact values and gradients as torch's own, and nothing left behind."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import gelu

import isogloss.models.quick_activation as module
from every_family import small_batch, small_model
from isogloss.models.quick_activation import quick_activation, quick_gelu
from isogloss.models.tasks import TaskModel


def both(given, upstream):
    """Value and gradient: ours, torch's, and torch's in double precision of the same numbers."""
    found = []
    for function, dtype in ((quick_gelu, given.dtype), (_torch, given.dtype), (_torch, torch.float64)):
        x = given.detach().to(dtype).requires_grad_()
        y = function(x)
        y.backward(upstream.to(dtype))
        found.append((y.detach().double(), x.grad.double()))
    return found


def _torch(x):
    return gelu(x, approximate="tanh")


@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
    seed=st.integers(0, 999),
)
def test_values_and_gradients_are_as_near_to_exact_ones_as_torch_s(shape, scale, seed):
    draw = torch.Generator().manual_seed(seed)
    x, upstream = (torch.randn(shape, generator=draw).mul(scale).bfloat16() for _ in range(2))
    for ours, theirs, exact in zip(*both(x, upstream), strict=True):
        assert ours.shape == exact.shape
        assert ((ours - exact).abs() <= 1.01 * (theirs - exact).abs() + 0.005 * exact.abs() + 1e-6).all()


def test_a_stretch_at_a_time_is_the_same_as_all_at_once(monkeypatch):
    x = torch.randn(7, 11, dtype=torch.bfloat16).T.requires_grad_()  # not contiguous
    whole = quick_gelu(x)
    (wanted,) = torch.autograd.grad(whole, x, torch.ones_like(x))
    monkeypatch.setattr(module, "_AT_ONCE", 10)
    parts = quick_gelu(x)
    (found,) = torch.autograd.grad(parts, x, torch.ones_like(x))
    assert torch.equal(parts, whole)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(("family", "reached"), [("gpt2", True), ("gemma2", True), ("bert", False)])
def test_a_model_s_own_activation_stands_aside_in_half_precision_alone(family, reached, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "quick_gelu", lambda x: calls.append(x.dtype) or quick_gelu(x))
    subject = TaskModel(small_model(family).train(), None, kind="text")
    batch = small_batch(subject.model)
    batch |= {"labels": batch["input_ids"]}
    before = subject(batch).loss
    assert not calls  # float32 is left as it is, to the bit
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = subject(batch).loss
    loss.backward()
    assert bool(calls) == reached
    assert loss.item() == pytest.approx(before.item(), rel=0.03)
    assert not any("forward" in vars(part) for part in subject.model.modules())


def test_a_forward_that_somebody_had_set_is_put_back():
    model = small_model("gpt2")
    activation = model.base_model.h[0].mlp.act
    activation.forward = own = lambda x: x * 2
    with quick_activation(model):
        assert activation.forward is not own
        assert torch.equal(activation(torch.ones(2)), torch.full((2,), 2.0))
    assert activation.forward is own


def test_layers_that_are_computed_again_keep_their_activation():
    model = small_model("gpt2").train()
    model.gradient_checkpointing_enable()
    with quick_activation(model):
        assert not any("forward" in vars(part) for part in model.modules())
