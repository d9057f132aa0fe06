"""Divergences between languages: against torch's own, against hand-computed values, and their properties."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import kl_div

from isogloss.losses.divergence import consensus, mean_over_pairs, pair_divergence

LOWEST = torch.finfo(torch.float32).min


def scores(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2


def kl(first, second):
    """KL(first || second) per row, by torch."""
    return kl_div(second.log_softmax(-1), first.log_softmax(-1), reduction="none", log_target=True).sum(-1)


def test_forward_is_the_teacher_first_and_reverse_the_learner_first():
    teachers, learners = scores(2, 3, 4), scores(5, 3, 4, seed=1)
    forward = pair_divergence(teachers, learners, form="forward")
    reverse = pair_divergence(teachers, learners, form="reverse")
    for t in range(2):
        for learner in range(5):
            torch.testing.assert_close(forward[t, learner], kl(teachers[t], learners[learner]))
            torch.testing.assert_close(reverse[t, learner], kl(learners[learner], teachers[t]))


def test_a_divergence_worked_out_by_hand():
    teacher, learner = torch.tensor([[[0.75, 0.25]]]).log(), torch.tensor([[[0.5, 0.5]]]).log()
    forward = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    reverse = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(2)
    half = 0.5 * (0.75 * math.log(0.75 / 0.625) + 0.25 * math.log(0.25 / 0.375))
    other = 0.5 * (0.5 * math.log(0.5 / 0.625) + 0.5 * math.log(0.5 / 0.375))
    assert pair_divergence(teacher, learner, form="forward").item() == pytest.approx(forward, abs=1e-6)
    assert pair_divergence(teacher, learner, form="reverse").item() == pytest.approx(reverse, abs=1e-6)
    assert pair_divergence(teacher, learner, form="js").item() == pytest.approx(half + other, abs=1e-6)


def test_jensen_shannon_is_symmetric_and_at_most_log_two():
    first, second = scores(1, 20, 3) * 10, scores(1, 20, 3, seed=1) * 10
    one, other = pair_divergence(first, second, form="js"), pair_divergence(second, first, form="js")
    torch.testing.assert_close(one, other)
    assert one.max() <= math.log(2) + 1e-6


@pytest.mark.parametrize("form", ["forward", "reverse", "js"])
@given(st.integers(0, 10_000))
def test_a_divergence_is_not_negative_and_nothing_from_itself(form, seed):
    teachers, learners = scores(2, 3, 4, seed=seed), scores(3, 3, 4, seed=seed + 1)
    assert pair_divergence(teachers, learners, form=form).min() > -1e-5
    assert pair_divergence(teachers, teachers, form=form).diagonal().abs().max() < 1e-5


@pytest.mark.parametrize("form", ["forward", "reverse", "js"])
def test_classes_that_an_item_lacks_add_nothing_and_leave_gradients_finite(form):
    teachers, learners = scores(2, 3, 3), scores(4, 3, 3, seed=1).requires_grad_()
    missing = torch.full((1, 1, 1), LOWEST)
    wider = [torch.cat([each, missing.expand(*each.shape[:2], 1)], -1) for each in (teachers, learners)]
    found = pair_divergence(*wider, form=form)
    torch.testing.assert_close(found, pair_divergence(teachers, learners, form=form))
    found.sum().backward()
    assert learners.grad.isfinite().all()


def test_temperature_flattens_and_its_square_keeps_the_size_of_the_gradient():
    teachers, learners = scores(1, 2, 4), scores(1, 2, 4, seed=1)
    plain = pair_divergence(teachers / 2, learners / 2)
    torch.testing.assert_close(pair_divergence(teachers, learners, temperature=2.0), 4 * plain)
    torch.testing.assert_close(pair_divergence(teachers, learners, temperature=2.0, scaled=False), plain)


def test_half_precision_is_computed_in_single():
    teachers, learners = scores(1, 2, 4).bfloat16(), scores(1, 2, 4, seed=1).bfloat16()
    found = pair_divergence(teachers, learners)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, pair_divergence(teachers.float(), learners.float()))


def test_linear_pooling_is_the_weighted_mean_of_probabilities_and_log_pooling_of_their_logarithms():
    teachers, weights = scores(3, 2, 4), torch.tensor([1.0, 2.0, 5.0])
    shares = (weights / weights.sum())[:, None, None]
    linear = (shares * teachers.softmax(-1)).sum(0, keepdim=True)
    torch.testing.assert_close(consensus(teachers, weights).exp(), linear)
    product = (teachers.softmax(-1) ** shares).prod(0, keepdim=True)
    expected = product / product.sum(-1, keepdim=True)
    torch.testing.assert_close(consensus(teachers, weights, pooling="log").exp(), expected)


@pytest.mark.parametrize("pooling", ["linear", "log"])
def test_a_consensus_of_one_is_that_one_and_weights_matter_only_by_their_ratio(pooling):
    teachers, weights = scores(3, 2, 4), torch.tensor([0.2, 0.0, 0.6])
    alone = consensus(teachers[:1], torch.tensor([0.3]), pooling=pooling)
    torch.testing.assert_close(alone, teachers[:1].log_softmax(-1))
    found = consensus(teachers, weights, pooling=pooling)
    torch.testing.assert_close(found, consensus(teachers, weights * 10, pooling=pooling))
    torch.testing.assert_close(
        found, consensus(teachers[[0, 2]], weights[[0, 2]], pooling=pooling), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("pooling", ["linear", "log"])
def test_a_class_that_all_lack_is_in_no_consensus(pooling):
    teachers = torch.cat([scores(2, 3, 3), torch.full((2, 3, 1), LOWEST)], -1)
    found = consensus(teachers, torch.ones(2), pooling=pooling)
    assert found.isfinite().all()
    assert (found.exp()[..., -1] == 0).all()


def test_a_language_is_never_its_own_teacher():
    pairs = torch.tensor([[[9.0, 9.0], [1.0, 3.0]], [[4.0, 6.0], [9.0, 9.0]]])
    own = torch.eye(2, dtype=torch.bool)
    assert mean_over_pairs(pairs, own).tolist() == [5.0, 2.0]
    assert mean_over_pairs(pairs[:1], own[:1]).tolist() == [0.0, 2.0]
