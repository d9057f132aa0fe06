"""Cross-entropy of an output layer in portions, against torch's on all scores."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

import isogloss.losses.vocabulary as module
from isogloss.losses.vocabulary import linear_cross_entropy


def plain(hidden, weight, targets, bias=None):
    logits = torch.nn.functional.linear(hidden, weight, bias).float()
    summed = cross_entropy(logits, targets, reduction="sum")
    return summed / (targets != -100).sum().clamp(min=1)


def drawn(rows, width=6, vocabulary=11, *, share=0.7, seed=0):
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=draw, requires_grad=True)
    weight = torch.randn(vocabulary, width, generator=draw, requires_grad=True)
    bias = torch.randn(vocabulary, generator=draw, requires_grad=True)
    targets = torch.randint(vocabulary, (rows,), generator=draw)
    return hidden, weight, bias, targets.masked_fill(torch.rand(rows, generator=draw) > share, -100)


@pytest.fixture(params=[(2**24, 256, 2**20), (22, 2, 11), (55, 1, 22)], ids=["whole", "by two", "by five"])
def portions(request, monkeypatch):
    """Portions of these many scores, of at least so many rows, and of so many scores in the cache."""
    at_once, fewest, in_cache = request.param
    monkeypatch.setitem(module._AT_ONCE, "cpu", at_once)
    monkeypatch.setattr(module, "_FEWEST", fewest)
    monkeypatch.setattr(module, "_IN_CACHE", in_cache)


@pytest.mark.parametrize("rows", [0, 1, 7, 10])
@pytest.mark.parametrize("with_bias", [True, False])
def test_value_and_gradients_are_those_of_all_scores(rows, with_bias, portions):
    hidden, weight, bias, targets = drawn(rows)
    inputs = [hidden, weight, bias] if with_bias else [hidden, weight]
    ours = linear_cross_entropy(hidden, weight, targets, bias=bias if with_bias else None)
    theirs = plain(hidden, weight, targets, bias if with_bias else None)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    for a, b in zip(
        torch.autograd.grad(3 * ours, inputs), torch.autograd.grad(3 * theirs, inputs), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@given(st.integers(0, 9), st.integers(1, 5), st.integers(1, 9), st.floats(0, 1), st.integers(0, 10**6))
def test_any_shape_agrees_with_all_scores(rows, width, vocabulary, share, seed):
    hidden, weight, bias, targets = drawn(rows, width, vocabulary, share=share, seed=seed)
    ours = linear_cross_entropy(hidden, weight, targets, bias=bias)
    theirs = plain(hidden, weight, targets, bias)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    found = torch.autograd.grad(ours, [hidden, weight, bias])
    wanted = torch.autograd.grad(theirs, [hidden, weight, bias])
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_without_a_target_the_loss_and_all_gradients_are_nought():
    hidden, weight, bias, targets = drawn(5, share=-1)
    loss = linear_cross_entropy(hidden, weight, targets, bias=bias)
    loss.backward()
    assert loss.item() == 0
    assert not any(tensor.grad.any() for tensor in (hidden, weight, bias))


def test_scores_far_apart_give_a_finite_loss():
    hidden = torch.tensor([[1.0], [1.0]], requires_grad=True)
    weight = torch.tensor([[500.0], [0.0], [-500.0]], requires_grad=True)
    loss = linear_cross_entropy(hidden, weight, torch.tensor([2, 0]))
    assert loss.item() == 500.0
    loss.backward()
    assert hidden.grad.isfinite().all()


def test_what_needs_no_gradient_gets_none():
    hidden, weight, bias, targets = drawn(4)
    loss = linear_cross_entropy(hidden, weight.detach(), targets, bias=bias.detach())
    loss.backward()
    assert hidden.grad is not None
    with torch.no_grad():
        assert not linear_cross_entropy(hidden, weight, targets).requires_grad


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_where_no_gradient_is_taken_none_is_made(without, monkeypatch):
    """Parameters want gradients even then; making them would double what an evaluation costs."""
    rooms, room = [], module._room
    monkeypatch.setattr(module, "_room", lambda *given: rooms.append(room(*given)) or rooms[-1])
    hidden, weight, bias, targets = drawn(4)
    with without():
        linear_cross_entropy(hidden, weight, targets, bias=bias)
    assert rooms == [(None, None, None)]


def test_a_model_in_float64_has_a_loss_too():
    hidden, weight, bias, targets = (
        x.detach().double().requires_grad_() if x.is_floating_point() else x for x in drawn(4)
    )
    linear_cross_entropy(hidden, weight, targets, bias=bias).backward()
    assert bias.grad.dtype == torch.float64
    wanted = torch.autograd.grad(plain(hidden, weight, targets, bias), [hidden, weight, bias])
    for one, other in zip((hidden, weight, bias), wanted, strict=True):
        torch.testing.assert_close(one.grad, other, rtol=1e-5, atol=1e-6)


def test_under_autocast_products_are_in_bfloat16_and_the_loss_in_float32():
    hidden, weight, bias, targets = drawn(40, width=32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = (
            linear_cross_entropy(hidden, weight, targets, bias=bias),
            plain(hidden, weight, targets, bias),
        )
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)
    found = torch.autograd.grad(ours, [hidden, weight, bias])
    wanted = torch.autograd.grad(theirs, [hidden, weight, bias])
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() <= 0.02 * b.norm()


def test_a_second_derivative_is_refused():
    hidden, weight, _, targets = drawn(3)
    (gradient,) = torch.autograd.grad(
        linear_cross_entropy(hidden, weight, targets), hidden, create_graph=True
    )
    with pytest.raises(RuntimeError, match="grad"):
        gradient.sum().backward()


class Largest(TorchDispatchMode):
    """The most numbers that any tensor made inside has."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.numbers = max(self.numbers, made.numel())
        return made


def test_scores_of_all_rows_are_never_held(monkeypatch):
    monkeypatch.setitem(module._AT_ONCE, "cpu", 1000)
    monkeypatch.setattr(module, "_FEWEST", 1)
    hidden, weight, _, targets = drawn(400, width=4, vocabulary=100)
    with Largest() as largest:
        linear_cross_entropy(hidden, weight, targets).backward()
    assert largest.numbers < 400 * 100 / 10


def test_it_runs_inside_a_compiled_function():
    hidden, weight, _, targets = drawn(6)
    compiled = torch.compile(lambda h: linear_cross_entropy(h * 2, weight, targets), backend="eager")
    torch.testing.assert_close(compiled(hidden), plain(hidden * 2, weight, targets))
