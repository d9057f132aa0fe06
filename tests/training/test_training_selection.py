from __future__ import annotations

import math

import pytest

from isogloss.core.errors import RecipeError
from isogloss.training.selection import is_better, score

SCORES = {"en-Latn": 0.9, "sw-Latn": 0.3}


@pytest.mark.parametrize(("select", "expected"), [("macro", 0.6), ("worst", 0.3), ("en-Latn", 0.9)])
def test_a_score_is_the_mean_the_worst_or_one_language(select, expected):
    assert score(SCORES, select=select) == pytest.approx(expected)


def test_the_worst_perplexity_is_the_highest():
    assert score(SCORES, select="worst", higher_is_better=False) == -0.9


@pytest.mark.parametrize("select", ["macro", "worst", "sw-Latn"])
def test_nan_is_the_worst_of_all(select):
    assert score({"en-Latn": 0.9, "sw-Latn": math.nan}, select=select) == -math.inf


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
