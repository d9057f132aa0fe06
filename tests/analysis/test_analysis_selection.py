from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.analysis.panel import Panel
from isogloss.analysis.selection import SELECTORS, choose, score_lines, stability
from isogloss.core.errors import RecipeError
from tiny_panels import panel, panels, simulated

JURY = panel(
    en=[[0.9, 0.1], [0.2, 0.8]],
    de=[[0.7, 0.3], [0.3, 0.7]],
    sw=[[0.6, 0.4], [0.6, 0.4]],
)


def test_confidence_is_the_mean_probability_of_the_voted_class():
    found = choose(JURY)
    assert found.scores == pytest.approx({"en": 0.85, "de": 0.7, "sw": 0.5})
    assert found.normalised == pytest.approx({"en": 0.85 / 2.05, "de": 0.7 / 2.05, "sw": 0.5 / 2.05})
    assert (found.teachers, found.students) == (("en", "de"), ("sw",))
    assert found.threshold == pytest.approx(1 / 3)
    assert (found.selector, found.normalisation) == ("confidence", "sum")


def test_softmax_divides_exponentials():
    found = choose(JURY, normalisation="softmax")
    powers = np.exp([0.85, 0.7, 0.5])
    assert list(found.normalised.values()) == pytest.approx(list(powers / powers.sum()))


@pytest.mark.parametrize(
    ("selector", "scores"),
    [
        ("agreement-own", {"en": 1.0, "de": 1.0, "sw": 0.5}),
        # For en the second item is a tie of de and sw, which 0.7 + 0.4 decides over 0.3 + 0.6.
        ("agreement", {"en": 1.0, "de": 1.0, "sw": 0.5}),
        ("confidence-others", {"en": 0.85, "de": 0.7, "sw": 0.5}),
        ("all", {"en": 1.0, "de": 1.0, "sw": 1.0}),
    ],
)
def test_each_selector_is_as_computed_by_hand(selector, scores):
    found = choose(JURY, selector, count=None if selector == "all" else 1)
    assert found.scores == pytest.approx(scores)


def test_of_two_languages_the_surer_always_agrees_with_a_vote_that_counts_its_own():
    pair = panel(en=[[0.9, 0.1], [0.1, 0.9]], sw=[[0.4, 0.6], [0.4, 0.6]])
    assert choose(pair, "agreement-own").scores == {"en": 1.0, "sw": 0.5}
    assert choose(pair, "agreement", count=1).scores == {"en": 0.5, "sw": 0.5}


def test_with_all_nobody_learns():
    found = choose(JURY, "all")
    assert (found.teachers, found.students) == (("de", "en", "sw"), ())


def test_named_teachers_teach():
    found = choose(JURY, ["sw"])
    assert (found.teachers, found.students, found.selector) == (("sw",), ("de", "en"), "list")


def test_a_count_takes_the_highest_and_has_no_threshold():
    found = choose(JURY, count=1)
    assert (found.teachers, found.students, found.threshold) == (("en",), ("de", "sw"), None)


def test_equal_scores_go_by_name_where_a_count_is_asked():
    even = panel(sw=[[0.6, 0.4]], de=[[0.6, 0.4]], en=[[0.6, 0.4]])
    assert choose(even, count=2).teachers == ("de", "en")


def test_a_threshold_may_be_given():
    assert choose(JURY, threshold=0.4).teachers == ("en",)


def test_nobody_to_teach_or_to_learn_is_refused_with_everybodys_scores():
    with pytest.raises(RecipeError, match=r"nobody teaches at the threshold 0\.9000") as caught:
        choose(JURY, threshold=0.9)
    assert all(f"{score:.4f}" in str(caught.value) for score in (0.85, 0.7, 0.5))
    assert "lower threshold" in caught.value.fix
    even = panel(sw=[[0.6, 0.4]], de=[[0.6, 0.4]])
    with pytest.raises(RecipeError, match="nobody learns") as caught:
        choose(even)
    assert "higher threshold" in caught.value.fix


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"selector": "confidense"}, "did you mean 'confidence'"),
        ({"selector": ["xx"]}, "xx is not among"),
        ({"selector": []}, "empty list"),
        ({"selector": ["en"], "count": 1}, "settled already"),
        ({"selector": "all", "threshold": 0.1}, "settled already"),
        ({"count": 1, "threshold": 0.1}, "one of the two"),
        ({"count": 3}, "count: 3 of 3 languages"),
        ({"count": 0}, "count: 0 of 3 languages"),
    ],
)
def test_rules_that_decide_nothing_are_refused(arguments, message):
    with pytest.raises(RecipeError, match=message):
        choose(JURY, **arguments)
    with pytest.raises(RecipeError, match=message):
        stability(JURY, **arguments, draws=2)


def test_random_teachers_follow_the_seed_and_the_name_alone():
    first = choose(JURY, "random", count=1, seed=3)
    assert first == choose(JURY, "random", count=1, seed=3)
    turned = choose(JURY.restricted(languages=["sw", "en", "de"]), "random", count=1, seed=3)
    assert turned.scores == first.scores
    assert len({choose(JURY, "random", count=1, seed=seed).teachers for seed in range(20)}) == 3


@pytest.mark.parametrize(
    "selector", ["confidence", "confidence-others", "agreement", "agreement-own", "reliability"]
)
def test_each_selector_finds_the_languages_that_are_right(selector):
    jury, _ = simulated([0.9, 0.85, 0.8, 0.4, 0.45], items=200)
    assert set(choose(jury, selector).teachers) == {"l0", "l1", "l2"}


def test_reliability_sees_through_a_collapsed_majority_and_the_vote_does_not():
    able, truth = simulated([0.85, 0.8, 0.75, 0.7], items=400)
    stuck = np.tile([0.02, 0.94, 0.02, 0.02], (5, len(truth), 1))
    names = (*able.languages, *(f"stuck{place}" for place in range(5)))
    jury = Panel(names, able.ids, np.concatenate([able.probabilities, stuck]))
    assert set(choose(jury, "reliability").teachers) == set(able.languages)
    for selector in ("confidence", "agreement"):
        assert not set(choose(jury, selector).teachers) & set(able.languages)


@given(panels(), st.sampled_from(sorted(SELECTORS)), st.randoms(use_true_random=False))
def test_scores_follow_neither_the_order_of_languages_nor_of_items(found, selector, random):
    languages, ids = list(found.languages), list(found.ids)
    random.shuffle(languages)
    random.shuffle(ids)
    count = None if selector == "all" else 1
    rule = {"count": count, "source": found.languages[0]}
    here = choose(found, selector, **rule)
    there = choose(found.restricted(languages=languages, items=ids), selector, **rule)
    assert here.teachers == there.teachers
    assert here.scores == pytest.approx({name: there.scores[name] for name in here.scores}, abs=1e-6)


@given(panels(), st.sampled_from(sorted(SELECTORS)))
def test_scores_are_shares_and_normalised_ones_sum_to_one(found, selector):
    count = None if selector == "all" else 1
    source = found.languages[0]
    chosen = choose(found, selector, count=count, normalisation="softmax", source=source)
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in chosen.scores.values())
    assert sum(chosen.normalised.values()) == pytest.approx(1)
    assert sorted(chosen.teachers + chosen.students) == sorted(found.languages)


def test_a_clear_choice_is_stable_and_a_close_one_is_not():
    jury, _ = simulated([0.95, 0.7, 0.7, 0.2], items=150)
    found = stability(jury, count=2, draws=200)
    assert found.shares["l0"] == 1.0
    assert found.shares["l3"] == 0.0
    assert 0.02 < found.shares["l1"] < 0.98
    assert sum(found.shares.values()) == pytest.approx(2)
    assert found.scores["l0"].low < found.scores["l0"].value < found.scores["l0"].high
    assert 0 < found.unchanged < 1


def test_the_same_seed_gives_the_same_stability():
    jury, _ = simulated([0.9, 0.6, 0.6])
    assert stability(jury, draws=50, seed=1) == stability(jury, draws=50, seed=1)
    assert stability(jury, draws=50, seed=1) != stability(jury, draws=50, seed=2)


@pytest.mark.parametrize("selector", sorted(SELECTORS))
def test_every_selector_has_a_stability(selector):
    jury, _ = simulated([0.9, 0.6, 0.4], items=40)
    found = stability(jury, selector, draws=20, source=jury.languages[0])
    assert found.draws == 20
    assert all(0 <= share <= 1 for share in found.shares.values())
    scores = choose(jury, selector, source=jury.languages[0]).scores
    assert {name: estimate.value for name, estimate in found.scores.items()} == pytest.approx(scores)


def test_scores_can_be_read_as_lines():
    assert score_lines(choose(JURY))[2] == "sw  0.5000  0.2439  learns"
