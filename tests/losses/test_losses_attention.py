"""Masked attention-map loss, against hand-computed values."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from isogloss.losses.attention import attention_loss, real_pairs


def maps(draw, *shape):
    return torch.randn(*shape, generator=draw).softmax(dim=-1)


def test_the_value_is_the_hand_computed_one():
    student = torch.tensor([[[[0.5, 0.5], [1.0, 0.0]]]])
    teacher = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    pairs = real_pairs(torch.tensor([[True, True]]))
    assert attention_loss([student], [teacher], pairs).tolist() == [0.125]


def test_only_pairs_of_real_tokens_count():
    real = torch.tensor([[True, True, False]])
    wanted = [[True, True, False], [True, True, False], [False, False, False]]
    assert real_pairs(real)[0].tolist() == wanted
    assert real_pairs(real, causal=True)[0].tolist() == [[True, False, False], *wanted[1:]]


def test_a_teacher_that_puts_nothing_on_a_real_token_still_counts():
    student = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    teacher = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]])
    pairs = real_pairs(torch.ones(1, 2, dtype=torch.bool))
    assert attention_loss([student], [teacher], pairs).item() == 0.5


def test_without_padding_it_is_torchs_mse():
    draw = torch.Generator().manual_seed(0)
    student, teacher = maps(draw, 2, 3, 4, 5, 5)
    pairs = real_pairs(torch.ones(3, 5, dtype=torch.bool))
    torch.testing.assert_close(
        attention_loss([student], [teacher], pairs)[0], torch.nn.functional.mse_loss(student, teacher)
    )


@given(st.integers(0, 4), st.integers(1, 6), st.booleans(), st.integers(0, 100))
def test_padding_changes_nothing(padding, length, causal, seed):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = maps(draw, 2, 3, 2, length, length)
    real = torch.rand(3, length, generator=draw) < 0.7
    longer = [
        torch.nn.functional.pad(x, (0, padding, 0, padding), value=torch.nan) for x in (student, teacher)
    ]
    mask = torch.nn.functional.pad(real, (0, padding))
    torch.testing.assert_close(
        attention_loss([longer[0]], [longer[1]], real_pairs(mask, causal=causal)),
        attention_loss([student], [teacher], real_pairs(real, causal=causal)),
    )


def test_every_pair_weighs_the_same_over_rows_of_different_length():
    student, teacher = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    teacher[0, 0] = 1.0
    pairs = real_pairs(torch.tensor([[True, True], [True, False]]))
    torch.testing.assert_close(attention_loss([student], [teacher], pairs), torch.tensor([4 / 5]))


def test_an_all_padding_batch_gives_zero_and_clean_gradients():
    student = torch.full((2, 2, 3, 3), torch.nan, requires_grad=True)
    loss = attention_loss([student], [torch.zeros(2, 2, 3, 3)], torch.zeros(2, 3, 3, dtype=torch.bool)).mean()
    loss.backward()
    assert loss.item() == 0
    assert student.grad.abs().sum().item() == 0


def test_gradients_reach_real_pairs_only():
    draw = torch.Generator().manual_seed(1)
    student, teacher = maps(draw, 2, 1, 2, 3, 3)
    student.requires_grad_()
    pairs = real_pairs(torch.tensor([[True, True, False]]))
    attention_loss([student], [teacher], pairs).sum().backward()
    assert ((student.grad != 0) == pairs[:, None]).all()
