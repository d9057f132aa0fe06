from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.resampling import draw_counts, interval
from isogloss.core.spread import below, deviation, fair, gap, lead, worst_mean

SCORES = np.array([[0.9, 0.5, 0.7], [0.2, 0.2, 0.2]])
_NUMBERS = st.lists(st.floats(0, 1), min_size=1, max_size=7)


def test_measures_are_as_computed_by_hand():
    assert gap(SCORES).tolist() == pytest.approx([0.4, 0])
    assert deviation(SCORES).tolist() == pytest.approx([np.sqrt(0.08 / 3), 0])
    assert worst_mean(SCORES, 2).tolist() == pytest.approx([0.6, 0.2])
    assert worst_mean(SCORES, 9).tolist() == pytest.approx([0.7, 0.2])
    assert below(SCORES, 0.7).tolist() == pytest.approx([1 / 3, 1])
    assert lead(SCORES, 0).tolist() == pytest.approx([0.3, 0])
    assert fair(SCORES).tolist() == pytest.approx([(5 * 0.5 + 3 * 0.7 + 0.9) / 9, 0.2])


@given(_NUMBERS, st.integers(0, 7))
def test_a_score_that_is_no_number_makes_every_measure_none(numbers, place):
    scores = np.array([numbers, numbers])
    scores = np.insert(scores, min(place, len(numbers)), [np.nan, 0.5], axis=1)
    measures = (
        gap,
        deviation,
        fair,
        lambda s: worst_mean(s, 1),
        lambda s: below(s, 0.5),
        lambda s: lead(s, 0),
    )
    for measure in measures:
        first, second = measure(scores)
        assert np.isnan(first)
        assert not np.isnan(second)


@given(_NUMBERS)
def test_fair_is_the_mean_of_the_worse_over_all_pairs(numbers):
    pairs = [min(pair) for pair in itertools.product(numbers, repeat=2)]
    assert fair(np.array(numbers)) == pytest.approx(np.mean(pairs))
    assert min(numbers) - 1e-9 <= fair(np.array(numbers)) <= np.mean(numbers) + 1e-9


@given(_NUMBERS, st.integers(0, 6), st.floats(0, 1))
def test_fair_never_falls_when_a_language_improves(numbers, place, rise):
    better = list(numbers)
    better[place % len(numbers)] += rise
    assert fair(np.array(better)) >= fair(np.array(numbers)) - 1e-12


def test_the_mean_minus_the_deviation_falls_when_the_best_improves():
    before, after = np.array([0.9, 0.3, 0.3, 0.3]), np.array([0.95, 0.3, 0.3, 0.3])
    assert after.mean() - deviation(after) < before.mean() - deviation(before)
    assert fair(after) > fair(before)


def test_each_resampled_set_has_as_many_items():
    counts = draw_counts(7, draws=50, seed=0, name="test")
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.tolist() == draw_counts(7, draws=50, seed=0, name="test").tolist()
    assert counts.tolist() != draw_counts(7, draws=50, seed=0, name="other").tolist()
    assert draw_counts(1, draws=2, seed=0, name="test").tolist() == [[1], [1]]


def test_an_interval_leaves_nan_out_and_can_be_turned_round():
    drawn = [*np.linspace(0, 1, 101), np.nan]
    assert interval(0.25, drawn, level=0.9) == pytest.approx((0.25, 0.05, 0.95))
    assert interval(0.25, drawn, level=0.9, reflected=True) == pytest.approx((0.25, -0.45, 0.45))
    assert np.isnan(interval(0.25, [np.nan]).low)
