from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.analysis.panel import Panel
from isogloss.analysis.vote import majority_vote, others_vote
from isogloss.core.errors import DataError
from tiny_panels import panel, panels


def test_the_most_votes_win_even_over_more_probability():
    found = majority_vote(panel(en=[[0.51, 0.49]], de=[[0.51, 0.49]], sw=[[0.01, 0.99]]))
    assert found.classes.tolist() == [0]
    assert found.share.tolist() == pytest.approx([2 / 3])
    assert found.margin.tolist() == pytest.approx([1 / 3])


def test_equal_votes_are_decided_by_summed_probability():
    found = majority_vote(panel(en=[[0.6, 0.4]], sw=[[0.3, 0.7]]))
    assert (found.classes.tolist(), found.margin.tolist(), found.share.tolist()) == ([1], [0.0], [0.5])


def test_only_classes_with_equally_many_votes_count_in_a_tie():
    rows = {"a": [[0.4, 0.35, 0.25]], "b": [[0.15, 0.35, 0.5]]}
    assert majority_vote(panel(**rows)).classes.tolist() == [2]  # class 1 has as much probability, no vote


def test_equal_probability_too_goes_to_the_lower_class():
    assert majority_vote(panel(en=[[0.2, 0.8]], sw=[[0.8, 0.2]])).classes.tolist() == [0]
    assert majority_vote(panel(en=[[0.5, 0.5]], sw=[[0.5, 0.5]])).classes.tolist() == [0]


def test_weights_can_turn_a_vote():
    jury = panel(en=[[0.9, 0.1]], de=[[0.1, 0.9]], sw=[[0.1, 0.9]])
    found = majority_vote(jury, weights={"en": 3, "de": 1, "sw": 0})
    assert found.classes.tolist() == [0]
    assert found.margin.tolist() == pytest.approx([0.5])


@pytest.mark.parametrize(
    "weights", [{"en": 1}, {"en": 1, "sw": -1}, {"en": 0, "sw": 0}, {"en": 1, "sw": float("nan")}]
)
def test_weights_that_cannot_weigh_are_refused(weights):
    with pytest.raises(DataError):
        majority_vote(panel(en=[[1.0]], sw=[[1.0]]), weights=weights)


def test_nobody_is_judged_by_its_own_vote():
    jury = panel(en=[[0.9, 0.1]], de=[[0.2, 0.8]], sw=[[0.4, 0.6]])
    assert majority_vote(jury).classes.tolist() == [1]
    assert others_vote(jury).tolist() == [[1], [0], [0]]  # de and en tie for sw: 0.9 + 0.2 over 0.1 + 0.8


@given(panels())
def test_the_vote_of_the_others_is_the_vote_without_the_language(found):
    if len(found.languages) < 3:
        return
    for place, language in enumerate(found.languages):
        rest = found.restricted(languages=[other for other in found.languages if other != language])
        assert (others_vote(found)[place] == majority_vote(rest).classes).all()


@given(panels(coarse=True), st.randoms(use_true_random=False))
def test_the_order_of_languages_changes_no_vote(found, random):
    order = list(found.languages)
    random.shuffle(order)
    there = majority_vote(found.restricted(languages=order))
    here = majority_vote(found)
    assert (here.classes == there.classes).all()
    assert np.allclose(here.margin, there.margin)


@given(panels(), st.randoms(use_true_random=False))
def test_items_are_voted_on_one_by_one(found, random):
    order = list(found.ids)
    random.shuffle(order)
    there = majority_vote(found.restricted(items=order)).classes
    assert there.tolist() == majority_vote(found).classes[[found.ids.index(name) for name in order]].tolist()


@given(panels())
def test_every_language_twice_votes_alike(found):
    double = Panel(
        (*found.languages, *(f"{name}-2" for name in found.languages)),
        found.ids,
        np.concatenate([found.probabilities, found.probabilities]),
    )
    here, there = majority_vote(found), majority_vote(double)
    assert (here.classes == there.classes).all()
    assert np.allclose(here.share, there.share)


@given(panels())
def test_margin_and_share_stay_in_their_ranges(found):
    vote = majority_vote(found)
    assert ((vote.margin >= 0) & (vote.margin <= vote.share) & (vote.share <= 1)).all()
    assert (vote.share >= 1 / len(found.languages) - 1e-12).all()
