"""Decoded trees are the best there are, with one root."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.models.trees import best_tree, decode_trees


def is_single_rooted_tree(heads):
    def reaches_root(word):
        seen = set()
        while word != 0 and word not in seen:
            seen.add(word)
            word = heads[word - 1]
        return word == 0

    return sum(head == 0 for head in heads) == 1 and all(
        reaches_root(word) for word in range(1, len(heads) + 1)
    )


def all_trees(n):
    return [h for h in itertools.product(range(n + 1), repeat=n) if is_single_rooted_tree(h)]


TREES = {n: all_trees(n) for n in range(1, 6)}


def total(scores, heads):
    return sum(scores[word, head] for word, head in enumerate(heads))


@st.composite
def arc_scores(draw):
    n = draw(st.integers(1, 5))
    numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-50, 50, allow_nan=False, width=32))
    return np.array(draw(st.lists(numbers, min_size=n * (n + 1), max_size=n * (n + 1)))).reshape(n, n + 1)


def test_there_are_as_many_single_rooted_trees_as_cayley_says():
    assert [len(TREES[n]) for n in range(1, 6)] == [n ** (n - 1) for n in range(1, 6)]


@given(arc_scores())
def test_no_single_rooted_tree_scores_higher(scores):
    n = len(scores)
    best = max(total(scores, tree) for tree in TREES[n])
    for heads in (best_tree(scores).tolist(), decode_trees(scores[None], [n])[0]):
        assert is_single_rooted_tree(heads)
        assert total(scores, heads) == pytest.approx(best, abs=1e-9)


@given(st.integers(0, 10_000), st.integers(6, 40))
def test_long_sentences_have_one_root_too(seed, n):
    scores = np.random.default_rng(seed).normal(size=(n, n + 1))
    scores[:, 0] += 5
    assert is_single_rooted_tree(decode_trees(scores[None], [n])[0])


def test_padding_is_not_read():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 6, 7))
    padded = np.full((3, 9, 10), 99.0)
    padded[:, :6, :7] = scores
    assert decode_trees(padded, [6, 6, 6]) == decode_trees(scores, [6, 6, 6])
    assert decode_trees(padded, [0, 1, 4])[:2] == [[], [0]]
    assert len(decode_trees(padded, [0, 1, 4])[2]) == 4


def test_an_empty_batch_and_a_sentence_of_no_words_decode_to_nothing():
    assert decode_trees(np.zeros((0, 0, 1)), []) == []
    assert decode_trees(np.zeros((2, 0, 1)), [0, 0]) == [[], []]
