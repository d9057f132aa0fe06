"""A trimmed student against an untrimmed teacher, against plain autograd and hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isogloss.losses import kept as module
from isogloss.losses.kept import kept_kl
from isogloss.losses.logits import distillation_kl


def scores(seed, places, kept, everything):
    draw = torch.Generator().manual_seed(seed)
    columns = torch.randperm(everything, generator=draw)[:kept]
    student = torch.randn(places, kept, generator=draw)
    return student, torch.randn(places, everything, generator=draw) * 3, columns


def test_the_value_and_the_lost_mass_are_the_hand_computed_ones():
    """Of 0.1, 0.5, 0.4, the kept two renormalise to 0.2 and 0.8."""
    teacher = torch.tensor([[0.1, 0.5, 0.4]]).log()
    student = torch.tensor([[0.5, 0.5]]).log()
    divergence, lost = kept_kl(student, teacher, torch.tensor([0, 2]))
    forward = 0.2 * math.log(0.2 / 0.5) + 0.8 * math.log(0.8 / 0.5)
    assert divergence.item() == pytest.approx(forward, abs=1e-6)
    assert lost.item() == pytest.approx(0.5, abs=1e-6)


def test_columns_may_be_in_another_order():
    teacher = torch.tensor([[0.1, 0.5, 0.4]]).log()
    student = torch.tensor([[0.8, 0.2]]).log()
    assert kept_kl(student, teacher, torch.tensor([2, 0]))[0].item() == pytest.approx(0, abs=1e-6)


@given(
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(0, 4),
    st.floats(0.5, 4),
    st.booleans(),
    st.integers(0, 99),
)
def test_values_and_gradients_are_those_of_the_plain_formula(places, kept, more, temperature, scaled, seed):
    student, teacher, columns = scores(seed, places, kept, kept + more)
    student.requires_grad_()
    options = {"temperature": temperature, "scaled": scaled}
    got, lost = kept_kl(student, teacher, columns, **options)
    wanted = distillation_kl(student, teacher[:, columns], **options)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)
    upstream = torch.randn(places, generator=torch.Generator().manual_seed(seed))
    ours, theirs = (torch.autograd.grad(one, student, upstream)[0] for one in (got, wanted))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(lost, 1 - teacher.softmax(-1)[:, columns].sum(-1), atol=1e-5, rtol=0)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 4), st.integers(0, 99))
def test_it_is_zero_on_equals_never_negative_and_blind_to_order(places, kept, more, seed):
    student, teacher, columns = scores(seed, places, kept, kept + more)
    divergence, lost = kept_kl(student, teacher, columns)
    assert divergence.min() > -1e-6
    assert lost.min() >= 0
    assert lost.max() <= 1 + 1e-6
    assert kept_kl(teacher[:, columns] + 5, teacher, columns)[0].abs().max() < 1e-5
    order = torch.randperm(places)
    torch.testing.assert_close(kept_kl(student[order], teacher[order], columns)[0], divergence[order])


def test_a_small_lost_mass_is_not_rounded_away():
    teacher = torch.tensor([[0.0, 0.0, -20.0]])
    lost = kept_kl(torch.zeros(1, 2), teacher, torch.tensor([0, 1]))[1]
    assert lost.item() == pytest.approx(math.exp(-20) / 2, rel=1e-4)


def test_with_every_column_kept_nothing_is_lost():
    student, teacher, columns = scores(0, 3, 6, 6)
    divergence, lost = kept_kl(student, teacher, columns)
    assert lost.tolist() == [0, 0, 0]
    torch.testing.assert_close(divergence, distillation_kl(student, teacher[:, columns]))


def test_a_vocabulary_of_one_leaves_nothing_to_learn():
    student = torch.randn(2, 1, requires_grad=True)
    divergence, _ = kept_kl(student, torch.randn(2, 5), torch.tensor([3]))
    divergence.sum().backward()
    assert divergence.tolist() == [0, 0]
    assert student.grad.tolist() == [[0], [0]]


def test_no_place_at_all_is_no_trouble():
    student = torch.zeros(0, 2, requires_grad=True)
    divergence, lost = kept_kl(student, torch.zeros(0, 4), torch.tensor([0, 1]))
    divergence.sum().backward()
    assert divergence.shape == lost.shape == (0,)
    assert student.grad.shape == (0, 2)


def test_the_lost_mass_has_no_gradient_and_its_divergence_has():
    student, teacher, columns = scores(1, 3, 4, 6)
    divergence, lost = kept_kl(student.requires_grad_(), teacher, columns)
    assert divergence.requires_grad
    assert not lost.requires_grad


def test_copies_in_single_precision_are_of_a_few_places_at_a_time(monkeypatch, largest_tensor):
    student, teacher, columns = scores(2, 64, 20, 100)
    student, teacher = student.bfloat16().requires_grad_(), teacher.bfloat16()
    at_once = kept_kl(student, teacher, columns)
    monkeypatch.setattr(module, "_AT_ONCE", 300)
    with largest_tensor() as largest:
        divergence, lost = kept_kl(student, teacher, columns)
        divergence.sum().backward()
    assert largest.entries == 300
    torch.testing.assert_close((divergence, lost), at_once)


def test_half_precision_is_computed_in_single():
    student, teacher, columns = (one for one in scores(3, 4, 5, 9))
    student, teacher = student.bfloat16().requires_grad_(), teacher.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        divergence, lost = kept_kl(student, teacher, columns, temperature=2.0)
    wanted = kept_kl(student.detach().float(), teacher.float(), columns, temperature=2.0)
    torch.testing.assert_close((divergence.detach(), lost), wanted)
    divergence.mean().backward()
    assert student.grad.dtype == torch.bfloat16
