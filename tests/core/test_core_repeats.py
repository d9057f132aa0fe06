"""The mean of a few measurements, and how far it could be off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import UserError
from isogloss.core.extras import needed
from isogloss.core.repeats import repeats


def test_one_measurement_has_no_interval():
    assert repeats([2.5]) == (1, 2.5, None, None, None)


def test_student_s_interval_of_three_is_the_book_s():
    found = repeats([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.deviation == 1.0
    assert found.high - found.mean == pytest.approx(4.302653 / 3**0.5, rel=1e-6)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8), st.floats(-100, 100))
def test_the_interval_holds_the_mean_and_moves_with_the_values(values, by):
    found, moved = repeats(values), repeats([value + by for value in values])
    assert found.low <= found.mean <= found.high
    assert moved.low - by == pytest.approx(found.low, abs=1e-6)


def test_a_package_that_is_not_there_is_asked_for_with_its_install_line():
    with pytest.raises(UserError, match=r"to walk needs the package no_such_package(.|\n)*isogloss\[legs\]"):
        needed("no_such_package", extra="legs", why="to walk")
    assert needed("json", extra="legs", why="to walk").dumps(1) == "1"
