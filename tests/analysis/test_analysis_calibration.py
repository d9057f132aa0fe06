from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.analysis.calibration import calibration, variety
from isogloss.core.errors import DataError
from tiny_panels import panel, panels


def test_calibration_is_as_computed_by_hand():
    jury = panel(
        en=[[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]],
        sw=[[0.6, 0.4], [0.6, 0.4], [0.6, 0.4], [0.6, 0.4]],
    )
    found = calibration(jury, [0, 1, 1, 1], bins=2)
    # The unsure half: 0.6 and 0.7, both right. The sure half: 0.8 wrong and 0.9 right.
    assert found["en"].error == pytest.approx((abs(0.65 - 1) + abs(0.85 - 0.5)) / 2)
    assert found["en"].confidence == pytest.approx(0.75)
    assert found["en"].accuracy == 0.75
    assert found["sw"].error == pytest.approx(0.6 - 0.25)


def test_without_targets_the_vote_is_the_target():
    jury = panel(a=[[0.9, 0.1]], b=[[0.8, 0.2]], c=[[0.3, 0.7]])
    assert {name: found.accuracy for name, found in calibration(jury).items()} == {"a": 1, "b": 1, "c": 0}
    assert calibration(jury)["c"].error == pytest.approx(0.7)


@given(panels(coarse=True), st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_order_of_items_changes_no_calibration(found, bins, random):
    order = list(found.ids)
    random.shuffle(order)
    targets = np.zeros(len(order), dtype=int)
    here = calibration(found, targets, bins=bins)
    there = calibration(found.restricted(items=order), targets, bins=bins)
    for language, before in here.items():
        assert there[language].error == pytest.approx(before.error)
        assert 0 <= before.error <= 1
        assert before.error >= abs(before.confidence - before.accuracy) - 1e-9


@pytest.mark.parametrize("targets", [[0], [0, 2], [0, -1], [0.0, 1.0]])
def test_targets_that_are_no_classes_are_refused(targets):
    with pytest.raises(DataError, match="targets"):
        calibration(panel(en=[[0.5, 0.5]] * 2, sw=[[0.5, 0.5]] * 2), targets)
    with pytest.raises(DataError, match="bins"):
        calibration(panel(en=[[1.0]], sw=[[1.0]]), bins=0)


def test_a_collapse_into_a_class_and_one_into_evenness_are_both_seen():
    jury = panel(
        lively=[[0.9, 0.1], [0.1, 0.9]],
        stuck=[[0.9, 0.1], [0.9, 0.1]],
        even=[[0.5, 0.5], [0.5, 0.5]],
    )
    found = variety(jury)
    assert found["lively"].labels == pytest.approx(math.log(2))
    assert found["lively"].share == pytest.approx(1)
    assert found["lively"].information == pytest.approx(
        math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)
    )
    assert (found["stuck"].labels, found["stuck"].share) == (0, 0)
    assert found["stuck"].marginal == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))
    assert found["stuck"].information == pytest.approx(0)
    assert found["even"].marginal == pytest.approx(math.log(2))
    assert (found["even"].labels, found["even"].information) == (0, pytest.approx(0))


@given(panels())
def test_information_is_no_more_than_the_marginal_entropy(found):
    for seen in variety(found).values():
        assert 0 <= seen.information <= seen.marginal + 1e-12
        assert 0 <= seen.share <= 1


def test_classes_that_nobody_can_choose_do_not_count():
    jury = panel(en=[[0.9, 0.1, 0], [0.1, 0.9, 0]], sw=[[0.9, 0.1, 0], [0.1, 0.9, 0]])
    assert variety(jury)["en"].share == pytest.approx(1)
    assert variety(panel(en=[[1.0]], sw=[[1.0]]))["en"].share == 0
