from __future__ import annotations

import math

import pytest

from isogloss.core.errors import RecipeError
from isogloss.training.selection import is_better, score

SCORES = {"en-Latn": 0.9, "sw-Latn": 0.3}


@pytest.mark.parametrize(
    ("select", "expected"),
    [("macro", 0.6), ("worst", 0.3), ("worst-1", 0.3), ("worst-2", 0.6), ("fair", 0.45), ("en-Latn", 0.9)],
)
def test_a_score_is_the_mean_the_worst_or_one_language(select, expected):
    assert score(SCORES, select=select) == pytest.approx(expected)


def test_the_worst_perplexity_is_the_highest():
    assert score(SCORES, select="worst", higher_is_better=False) == -0.9


@pytest.mark.parametrize("select", ["macro", "worst", "worst-2", "fair", "sw-Latn"])
def test_nan_is_the_worst_of_all(select):
    assert score({"en-Latn": 0.9, "sw-Latn": math.nan}, select=select) == -math.inf


def test_the_two_highest_perplexities_are_the_worst_two():
    scores = {"en-Latn": 2.0, "sw-Latn": 8.0, "tr-Latn": 4.0}
    assert score(scores, select="worst-2", higher_is_better=False) == -6.0
    assert score(scores, select="fair", higher_is_better=False) == pytest.approx(-(5 * 8 + 3 * 4 + 2) / 9)


def test_the_worst_of_more_languages_than_there_are_is_refused():
    with pytest.raises(RecipeError, match="at most worst-2"):
        score(SCORES, select="worst-3")


def test_fair_prefers_the_even_of_two_equal_means_but_no_levelling_down():
    even, uneven = {"a": 0.6, "b": 0.6, "c": 0.6}, {"a": 0.9, "b": 0.6, "c": 0.3}
    low = {"a": 0.3, "b": 0.3, "c": 0.3}
    fairness = [score(scores, select="fair") for scores in (even, uneven, low)]
    assert fairness == sorted(fairness, reverse=True)


def test_a_language_that_is_not_evaluated_is_named():
    with pytest.raises(RecipeError, match="de-Latn is not evaluated"):
        score(SCORES, select="de-Latn")


def test_an_empty_evaluation_is_refused():
    with pytest.raises(RecipeError, match="no number"):
        score({}, select="macro")


def test_a_tie_keeps_the_earlier():
    assert is_better(0.5, None)
    assert is_better(0.6, 0.5)
    assert not is_better(0.5, 0.5)
