"""Distillation and label losses, against hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isogloss.losses.combine import mean_over
from isogloss.losses.logits import cross_entropy, distillation_kl, tempered_cross_entropy


def scores(*probabilities):
    return torch.tensor([probabilities]).log()


def test_the_divergence_goes_from_teacher_to_student():
    student, teacher = scores(0.5, 0.5), scores(0.9, 0.1)
    forward = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    backward = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert distillation_kl(student, teacher).item() == pytest.approx(forward, abs=1e-6)
    assert distillation_kl(teacher, student).item() == pytest.approx(backward, abs=1e-6)


def test_temperature_flattens_and_its_square_scales():
    student, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    p = 1 / (1 + math.exp(-1))
    plain = (2 * p - 1) * math.log(p / (1 - p))
    got = distillation_kl(student, teacher, temperature=2.0, scaled=False)
    assert got.item() == pytest.approx(plain, abs=1e-6)
    assert distillation_kl(student, teacher, temperature=2.0).item() == pytest.approx(4 * plain, abs=1e-5)


@given(st.floats(0.5, 8), st.integers(0, 100))
def test_the_divergence_is_zero_on_equals_never_negative_and_ignores_a_shift(temperature, seed):
    student, teacher = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(seed))
    loss = distillation_kl(student, teacher, temperature=temperature)
    assert loss.shape == (4, 3)
    assert loss.min() > -1e-5
    assert distillation_kl(teacher, teacher, temperature=temperature).abs().max() < 1e-5
    torch.testing.assert_close(
        distillation_kl(student + 7, teacher - 3, temperature=temperature), loss, atol=1e-4, rtol=1e-4
    )


@given(st.floats(0.5, 8), st.booleans(), st.integers(0, 100))
def test_cross_entropy_with_a_teacher_has_the_gradient_of_the_divergence(temperature, scaled, seed):
    student, teacher = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(seed))
    gradients = []
    for loss in (distillation_kl, tempered_cross_entropy):
        leaf = student.clone().requires_grad_()
        loss(leaf, teacher, temperature=temperature, scaled=scaled).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def test_bistils_prediction_loss_is_the_hand_computed_one():
    student, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    p = 1 / (1 + math.exp(-1))
    got = tempered_cross_entropy(student, teacher, temperature=2.0, scaled=False)
    assert got.item() == pytest.approx(-(p * math.log(1 - p) + (1 - p) * math.log(p)), abs=1e-6)


def test_labels_are_scored_and_ignored_ones_give_zero():
    logits = scores(0.25, 0.75).expand(3, 2)[None]
    labels = torch.tensor([[0, 1, -100]])
    wanted = torch.tensor([[-math.log(0.25), -math.log(0.75), 0.0]])
    torch.testing.assert_close(cross_entropy(logits, labels), wanted)


def test_nothing_but_ignored_labels_gives_zero_and_clean_gradients():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    labels = torch.full((2, 3), -100)
    loss = mean_over(cross_entropy(logits, labels), labels != -100)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum().item() == 0


def test_an_empty_batch_is_no_trouble():
    assert distillation_kl(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)
    assert cross_entropy(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)).shape == (0,)


def test_half_precision_is_computed_in_single():
    logits = torch.tensor([[3.0, 0.0]], dtype=torch.bfloat16)
    assert cross_entropy(logits, torch.tensor([0])).item() == pytest.approx(
        math.log1p(math.exp(-3)), rel=1e-5
    )


@given(
    st.floats(0.25, 8),
    st.sampled_from([torch.nan, torch.inf, torch.finfo(torch.float32).min]),
    st.integers(0, 100),
)
def test_classes_that_are_not_allowed_count_for_nothing(temperature, junk, seed):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 3, 5, generator=draw)
    allowed = torch.rand(3, 5, generator=draw) < 0.6
    ours = student.masked_fill(~allowed, junk).requires_grad_()
    theirs = teacher.masked_fill(~allowed, junk)
    loss = distillation_kl(ours, theirs, allowed=allowed, temperature=temperature, scaled=False)
    loss.sum().backward()
    for row in range(3):
        alone = [one[row, allowed[row]] for one in (student, teacher)]
        wanted = distillation_kl(*alone, temperature=temperature, scaled=False)
        torch.testing.assert_close(loss[row], wanted, atol=1e-5, rtol=1e-4)
    assert not ours.grad[~allowed].any()
