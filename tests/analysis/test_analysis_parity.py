"""What the same sentences cost in two languages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.analysis.parity import ratio
from isogloss.core.errors import DataError

POSITIVE = st.lists(st.integers(1, 50), min_size=1, max_size=30)


def test_it_is_the_ratio_of_sums_and_not_the_mean_of_ratios():
    assert ratio([10, 1], [5, 2]).value == pytest.approx(11 / 7)


def test_what_is_proportional_has_no_interval_to_speak_of():
    """Long sentences are long in both, so drawing them again changes nothing."""
    found = ratio([3.0, 30.0, 9.0, 300.0], [2.0, 20.0, 6.0, 200.0])
    assert found == pytest.approx((1.5, 1.5, 1.5))


@given(POSITIVE)
def test_a_language_against_itself_is_one(numbers):
    assert ratio(numbers, numbers) == pytest.approx((1.0, 1.0, 1.0))


@given(POSITIVE, st.integers(2, 9))
def test_the_other_way_round_is_its_inverse(numbers, times):
    more = [number * times + place for place, number in enumerate(numbers)]
    assert ratio(numbers, more).value == pytest.approx(1 / ratio(more, numbers).value)


def test_one_item_and_nothing_below():
    assert ratio([3.0], [2.0]) == pytest.approx((1.5, 1.5, 1.5))
    assert np.isnan(ratio([3.0], [0.0])).all()


@pytest.mark.parametrize(("over", "under"), [([], []), ([1.0], [1.0, 2.0])])
def test_other_items_are_refused(over, under):
    with pytest.raises(DataError, match="the same items"):
        ratio(over, under)
