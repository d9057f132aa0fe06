"""Where two models believe an answer begins and ends, against hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isogloss.losses.span import SpanScores, span_kl

LOWEST = torch.finfo(torch.float32).min


def scores(draw, rows, length):
    return SpanScores(*torch.randn(2, rows, length, generator=draw) * 2)


def leaves(one):
    return SpanScores(one.start.clone().requires_grad_(), one.end.clone().requires_grad_())


def test_the_value_is_the_hand_computed_mean_of_start_and_end():
    sure, unsure = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.5, 0.5]]).log()
    allowed = torch.ones(1, 2, dtype=torch.bool)
    got = span_kl(SpanScores(unsure, unsure), SpanScores(sure, unsure), allowed)
    forward = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    assert got.item() == pytest.approx(forward / 2, abs=1e-6)
    turned = span_kl(SpanScores(unsure, sure), SpanScores(unsure, unsure), allowed)
    backward = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert turned.item() == pytest.approx(backward / 2, abs=1e-6)


@given(
    st.integers(1, 3),
    st.integers(1, 6),
    st.floats(0.25, 8),
    st.sampled_from([LOWEST, torch.nan, torch.inf, -torch.inf]),
    st.integers(0, 100),
)
def test_positions_that_are_not_allowed_count_for_nothing(rows, length, temperature, junk, seed):
    draw = torch.Generator().manual_seed(seed)
    both = [scores(draw, rows, length) for _ in range(2)]
    allowed = torch.rand(rows, length, generator=draw) < 0.6
    student = leaves(SpanScores(*(s.masked_fill(~allowed, junk) for s in (both[0].start, both[0].end))))
    teacher = SpanScores(*(s.masked_fill(~allowed, junk) for s in (both[1].start, both[1].end)))
    got = span_kl(student, teacher, allowed, temperature=temperature, scaled=False)
    got.sum().backward()
    for row in range(rows):
        alone = [SpanScores(*(s[row : row + 1, allowed[row]] for s in (m.start, m.end))) for m in both]
        every = torch.ones_like(alone[0].start, dtype=torch.bool)
        wanted = (
            span_kl(*alone, every, temperature=temperature, scaled=False) if every.any() else torch.zeros(1)
        )
        torch.testing.assert_close(got[row : row + 1], wanted, atol=1e-5, rtol=1e-4)
    for side in (student.start, student.end):
        assert side.grad.isfinite().all()
        assert not side.grad[~allowed].any()


@given(st.integers(1, 3), st.integers(1, 6), st.floats(0.5, 4), st.integers(0, 100))
def test_it_is_zero_on_equals_never_negative_and_blind_to_order(rows, length, temperature, seed):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = (scores(draw, rows, length) for _ in range(2))
    allowed = torch.rand(rows, length, generator=draw) < 0.6
    losses = span_kl(student, teacher, allowed, temperature=temperature)
    assert losses.min() > -1e-5
    assert span_kl(teacher, teacher, allowed, temperature=temperature).abs().max() < 1e-5
    order = torch.randperm(rows, generator=draw)
    turned = [SpanScores(one.start[order], one.end[order]) for one in (student, teacher)]
    torch.testing.assert_close(span_kl(*turned, allowed[order], temperature=temperature), losses[order])


def test_scores_masked_before_they_came_here_do_no_harm():
    draw = torch.Generator().manual_seed(0)
    allowed = torch.tensor([[True, True, False, True]])
    student, teacher = leaves(scores(draw, 1, 4)), scores(draw, 1, 4)
    wanted = span_kl(student, teacher, allowed)
    masked = [
        SpanScores(*(side.masked_fill(~allowed, LOWEST) for side in (one.start, one.end)))
        for one in (student, teacher)
    ]
    torch.testing.assert_close(span_kl(*masked, torch.ones_like(allowed)), wanted)


def test_half_precision_is_computed_in_single():
    draw = torch.Generator().manual_seed(1)
    half = [
        SpanScores(one.start.bfloat16(), one.end.bfloat16())
        for one in (scores(draw, 2, 5), scores(draw, 2, 5))
    ]
    allowed = torch.ones(2, 5, dtype=torch.bool)
    wanted = span_kl(*(SpanScores(one.start.float(), one.end.float()) for one in half), allowed)
    torch.testing.assert_close(span_kl(*half, allowed), wanted)
