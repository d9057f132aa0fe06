"""Masked hidden-state loss, against hand-computed values."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isogloss.losses.hidden import hidden_loss, hidden_mse


def test_the_value_is_the_hand_computed_one():
    student = torch.tensor([[[1.0, 2.0], [0.0, 0.0], [9.0, 9.0]]])
    teacher = torch.tensor([[[0.0, 0.0], [3.0, 1.0], [0.0, 0.0]]])
    real = torch.tensor([[True, True, False]])
    assert hidden_mse(student, teacher, real).tolist() == [[2.5, 5.0, 0.0]]
    assert hidden_loss([student, teacher], [teacher, teacher], real).tolist() == [3.75, 0.0]


def test_without_padding_it_is_torchs_mse():
    student, teacher = torch.randn(2, 3, 5, 8)[:, :3]
    real = torch.ones(3, 5, dtype=torch.bool)
    torch.testing.assert_close(
        hidden_loss([student], [teacher], real)[0], torch.nn.functional.mse_loss(student, teacher)
    )


@given(st.integers(0, 5), st.integers(1, 6), st.integers(0, 100))
def test_padding_changes_nothing(padding, length, seed):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 3, length, 4, generator=draw)
    real = torch.rand(3, length, generator=draw) < 0.7
    longer = [torch.cat([x, torch.full((3, padding, 4), torch.nan)], dim=1) for x in (student, teacher)]
    mask = torch.cat([real, torch.zeros(3, padding, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(
        hidden_loss([longer[0]], [longer[1]], mask), hidden_loss([student], [teacher], real)
    )


@pytest.mark.parametrize("junk", [1e30, torch.inf, torch.nan])
def test_an_all_padding_batch_gives_zero_and_clean_gradients(junk):
    student = torch.full((2, 3, 4), junk, requires_grad=True)
    loss = hidden_loss([student], [torch.zeros(2, 3, 4)], torch.zeros(2, 3, dtype=torch.bool)).mean()
    loss.backward()
    assert loss.item() == 0
    assert student.grad.abs().sum().item() == 0


def test_gradients_reach_real_tokens_only():
    student = torch.randn(1, 2, 4, requires_grad=True)
    hidden_loss([student], [torch.zeros(1, 2, 4)], torch.tensor([[True, False]])).sum().backward()
    torch.testing.assert_close(student.grad[0, 0], student[0, 0].detach() * 2 / 4)
    assert student.grad[0, 1].tolist() == [0, 0, 0, 0]


def test_half_precision_is_summed_in_single():
    student = torch.full((1, 1, 64), 300.0, dtype=torch.float16)
    loss = hidden_loss([student], [torch.zeros_like(student)], torch.ones(1, 1, dtype=torch.bool))
    assert loss.item() == 90_000


def test_lists_of_different_length_are_our_own_mistake():
    state = torch.zeros(1, 1, 2)
    with pytest.raises(ValueError, match="shorter"):
        hidden_loss([state, state], [state], torch.ones(1, 1, dtype=torch.bool))
