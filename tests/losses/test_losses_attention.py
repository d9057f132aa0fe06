"""Masked attention-map loss, against hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isogloss.losses.attention import attention_loss, real_pairs

FORMS = ("mse", "kl")


def maps(draw, *shape):
    return torch.randn(*shape, generator=draw).softmax(dim=-1)


def masked_maps(draw, pairs):
    """Student's and teacher's maps of two heads, over the keys of each query that it may see."""
    scores = torch.randn(2, len(pairs), 2, *pairs.shape[1:], generator=draw)
    return scores.masked_fill(~pairs[:, None], -1e30).softmax(dim=-1)


def plainly(student, teacher, pairs, form):
    """The formulas over the pairs that count, taken out one by one."""
    heads = student.shape[1]
    ours, theirs = (one.transpose(0, 1)[:, pairs] for one in (student, teacher))
    if form == "mse":
        return (ours - theirs).square().sum() / (max(1, int(pairs.sum())) * heads)
    return (theirs * (theirs / ours).log()).sum() / (max(1, int(pairs.any(-1).sum())) * heads)


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


@given(st.integers(0, 4), st.integers(1, 6), st.booleans(), st.sampled_from(FORMS), st.integers(0, 100))
def test_padding_changes_neither_values_nor_gradients(padding, length, causal, form, seed):
    draw = torch.Generator().manual_seed(seed)
    real = torch.rand(3, length, generator=draw) < 0.7
    pairs = real_pairs(real, causal=causal)
    student, teacher = masked_maps(draw, pairs)
    longer = [
        torch.nn.functional.pad(x.masked_fill(~pairs[:, None], torch.nan), (0, padding) * 2, value=torch.inf)
        for x in (student, teacher)
    ]
    longer_pairs = real_pairs(torch.nn.functional.pad(real, (0, padding)), causal=causal)
    student.requires_grad_()
    longer[0].requires_grad_()
    got = attention_loss([longer[0]], [longer[1]], longer_pairs, form=form)
    wanted = attention_loss([student], [teacher], pairs, form=form)
    torch.testing.assert_close(got, wanted)
    (got + wanted).sum().backward()
    torch.testing.assert_close(longer[0].grad[..., :length, :length], student.grad)
    assert not longer[0].grad[..., length:, :].any()
    assert not longer[0].grad[~longer_pairs[:, None].expand_as(longer[0])].any()


@given(st.integers(1, 3), st.integers(1, 6), st.booleans(), st.sampled_from(FORMS), st.integers(0, 100))
def test_values_and_gradients_are_those_of_the_plain_formula(batch, length, causal, form, seed):
    draw = torch.Generator().manual_seed(seed)
    pairs = real_pairs(torch.rand(batch, length, generator=draw) < 0.8, causal=causal)
    student, teacher = masked_maps(draw, pairs)
    student.requires_grad_()
    got = attention_loss([student, student], [teacher, teacher], pairs, form=form)
    wanted = plainly(student, teacher, pairs, form)
    torch.testing.assert_close(got, torch.stack([wanted, wanted]))
    if pairs.any():
        ours, theirs = (torch.autograd.grad(one, student)[0] for one in (got[1] * 3, wanted * 3))
        torch.testing.assert_close(ours, theirs)


@given(st.integers(1, 3), st.integers(1, 6), st.sampled_from(FORMS), st.integers(0, 100))
def test_no_pairs_given_means_that_all_count(batch, length, form, seed):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = maps(draw, 2, batch, 2, length, length)
    student.requires_grad_()
    losses = [
        attention_loss([student], [teacher], pairs, form=form)
        for pairs in (None, torch.ones(batch, length, length, dtype=torch.bool))
    ]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss, student)[0] for loss in losses))


@given(st.integers(1, 3), st.integers(1, 6), st.booleans(), st.sampled_from(FORMS), st.integers(0, 100))
def test_it_is_zero_on_equals_never_negative_and_blind_to_order(batch, length, causal, form, seed):
    draw = torch.Generator().manual_seed(seed)
    pairs = real_pairs(torch.rand(batch, length, generator=draw) < 0.8, causal=causal)
    student, teacher = masked_maps(draw, pairs)
    loss = attention_loss([student], [teacher], pairs, form=form)
    assert loss.item() > -1e-6
    assert attention_loss([teacher], [teacher], pairs, form=form).item() == 0
    order = torch.randperm(batch, generator=draw)
    turned = attention_loss([student[order]], [teacher[order]], pairs[order], form=form)
    torch.testing.assert_close(turned, loss)


def test_the_divergence_goes_from_teacher_to_student():
    """One query of one head, sure in one map and not in the other."""
    sure, unsure = torch.tensor([[[[0.9, 0.1]]]]), torch.tensor([[[[0.5, 0.5]]]])
    forward = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    backward = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    pairs = torch.ones(1, 1, 2, dtype=torch.bool)
    got = attention_loss([unsure, sure], [sure, unsure], pairs, form="kl").tolist()
    assert got == pytest.approx([forward, backward], abs=1e-6)


def test_the_divergence_weighs_each_query_the_same_over_rows_of_different_length():
    student, teacher = torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    student[0, 0], teacher[0, 0] = 1 / 3, torch.eye(3)
    student[1, 0, 0, 0] = teacher[1, 0, 0, 0] = 1.0
    pairs = real_pairs(torch.tensor([[True, True, True], [True, False, False]]))
    got = attention_loss([student], [teacher], pairs, form="kl").item()
    assert got == pytest.approx(3 * math.log(3) / 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_underflowed_in_the_student_costs_much_but_not_everything(dtype):
    student = torch.tensor([[[[0.0, 1.0]]]], dtype=dtype, requires_grad=True)
    teacher = torch.tensor([[[[0.5, 0.5]]]], dtype=dtype)
    loss = attention_loss([student], [teacher], None, form="kl")
    loss.sum().backward()
    assert 3 < loss.item() < 50
    assert student.grad.isfinite().all()
    assert student.grad[..., 0] < student.grad[..., 1] < 0


@pytest.mark.parametrize("form", FORMS)
def test_half_precision_is_computed_in_single_and_one_example_at_a_time(form, largest_tensor):
    draw = torch.Generator().manual_seed(2)
    half = [one.bfloat16() for one in maps(draw, 2, 4, 3, 8, 8)]
    pairs = real_pairs(torch.arange(8) < torch.tensor([8, 5, 1, 3])[:, None])
    wanted = attention_loss([half[0].float()], [half[1].float()], pairs, form=form)
    student = half[0].requires_grad_()
    with largest_tensor() as largest, torch.autocast("cpu", dtype=torch.bfloat16):
        loss = attention_loss([student], [half[1]], pairs, form=form)
        loss.sum().backward()
    torch.testing.assert_close(loss.detach(), wanted)
    assert student.grad.dtype == torch.bfloat16
    assert largest.entries == 3 * 8 * 8


def test_maps_that_lie_in_memory_in_another_order_are_no_trouble():
    draw = torch.Generator().manual_seed(3)
    student, teacher = (one.transpose(1, 2) for one in maps(draw, 2, 2, 5, 3, 5))
    leaf = student.requires_grad_()
    for form in FORMS:
        loss = attention_loss([leaf], [teacher], None, form=form)
        copied = attention_loss([leaf.contiguous()], [teacher.contiguous()], None, form=form)
        torch.testing.assert_close(loss, copied)
        torch.testing.assert_close(*(torch.autograd.grad(one, leaf)[0] for one in (loss, copied)))


def test_every_pair_weighs_the_same_over_rows_of_different_length():
    student, teacher = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    teacher[0, 0] = 1.0
    pairs = real_pairs(torch.tensor([[True, True], [True, False]]))
    torch.testing.assert_close(attention_loss([student], [teacher], pairs), torch.tensor([4 / 5]))


@pytest.mark.parametrize("form", FORMS)
def test_an_all_padding_batch_gives_zero_and_clean_gradients(form):
    student = torch.full((2, 2, 3, 3), torch.nan, requires_grad=True)
    nothing = torch.zeros(2, 3, 3, dtype=torch.bool)
    loss = attention_loss([student], [torch.zeros(2, 2, 3, 3)], nothing, form=form).mean()
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
