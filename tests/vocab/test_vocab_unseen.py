"""What a sample has not shown."""

from __future__ import annotations

import numpy as np
import pytest

from isogloss.vocab.unseen import unseen_kinds, unseen_share


def test_a_sample_in_which_nothing_is_rare_has_shown_everything():
    assert unseen_kinds([5, 9, 0, 3]) == 0
    assert unseen_kinds([]) == 0


def test_of_many_singletons_much_is_unseen():
    assert unseen_kinds([1] * 10 + [2] * 4) == 10 * 9 / (2 * 5)
    assert unseen_kinds([1, 1, 1]) == 3


def test_the_estimate_comes_nearer_than_what_was_seen_and_stays_below():
    random = np.random.default_rng(0)
    probabilities = 1 / np.arange(1, 2001)
    counts = random.multinomial(4000, probabilities / probabilities.sum())
    seen = (counts > 0).sum()
    assert seen < seen + unseen_kinds(counts) < 2000
    assert seen + unseen_kinds(counts) > 1.2 * seen


def test_the_share_of_what_was_not_shown_is_that_of_what_was_shown_once():
    assert unseen_share([1, 1, 2, 0, 6]) == 0.2
    assert unseen_share([3, 4]) == 0
    assert unseen_share([]) == 1


def test_on_average_the_share_is_that_of_what_is_still_to_come():
    random = np.random.default_rng(0)
    probabilities = 1 / np.arange(1, 2001)
    probabilities /= probabilities.sum()
    told, true = [], []
    for counts in random.multinomial(1000, probabilities, size=200):
        told.append(unseen_share(counts))
        true.append(probabilities[counts == 0].sum())
    assert np.mean(told) == pytest.approx(np.mean(true), rel=0.02)
