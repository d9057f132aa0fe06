from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from isogloss.analysis.ranking import rank_correlation, spearman
from isogloss.analysis.selection import choose
from isogloss.core.errors import DataError
from tiny_panels import simulated

_NUMBERS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=8)


@given(_NUMBERS)
def test_spearman_is_that_of_scipy(pairs):
    first, second = np.array(pairs, dtype=np.float64).T
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert np.isnan(spearman(first, second))
    else:
        assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_scores_that_rank_rightly_correlate():
    jury, truth = simulated([0.95, 0.85, 0.75, 0.65, 0.55, 0.45], items=400)
    correct = jury.choices == truth
    for selector in ("confidence", "agreement", "reliability"):
        found = rank_correlation(jury, selector, correct, same_items=True, draws=100)
        assert found.over_items.value > 0.9
        assert found.over_items.low > 0.5
        assert found.over_items.low <= found.over_items.high <= 1
        assert found.over_languages.low <= found.over_languages.value


def test_random_scores_know_nothing():
    jury, truth = simulated(np.linspace(0.9, 0.3, 20), items=100)
    correct = jury.choices == truth
    values = [
        rank_correlation(jury, "random", correct, seed=seed, draws=10).over_items.value for seed in range(30)
    ]
    assert abs(np.mean(values)) < 0.15
    assert rank_correlation(jury, "random", correct).over_languages.low < 0


def test_labelled_items_may_be_others_and_equal_scores_have_no_correlation():
    jury, _ = simulated([0.9, 0.5, 0.4], items=30)
    other, truth = simulated([0.9, 0.5, 0.4], items=50, seed=1)
    correct = other.choices == truth
    scores = np.array(list(choose(jury, count=1).scores.values()))
    found = rank_correlation(jury, "confidence", correct, draws=20)
    assert found.over_items.value == pytest.approx(spearman(scores, correct.mean(axis=1)))
    assert np.isnan(rank_correlation(jury, "all", correct, draws=20).over_items.low)
    with pytest.raises(DataError, match="labelled items"):
        rank_correlation(jury, "confidence", correct, same_items=True)
    with pytest.raises(DataError, match="shape"):
        rank_correlation(jury, "confidence", correct[0])
