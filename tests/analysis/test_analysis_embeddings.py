"""Rows of two languages by frequency, and the word2vec control."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.analysis.embeddings import bin_numbers, row_alignment
from isogloss.analysis.word2vec import word2vec
from isogloss.core.errors import DataError, UserError


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_bins_are_quarters_of_a_decade():
    assert bin_numbers(np.array([0, 1, 1.78, 1.77, 10, 9, 100, 1000])).tolist() == [-1, 0, 1, 0, 4, 3, 8, 12]
    assert bin_numbers(np.array([1, 9, 10, 99, 100]), per_decade=1).tolist() == [0, 0, 1, 1, 2]


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50), st.integers(1, 5))
def test_every_piece_that_was_read_is_in_the_bin_whose_edges_hold_it(counts, per_decade):
    rows = drawn(len(counts), 4)
    found = row_alignment(rows, rows, np.array(counts), per_decade=per_decade)
    assert sum(one.pieces for one in found.bins) == sum(count > 0 for count in counts)
    for one in found.bins:
        assert one.pieces == sum(one.low <= count < one.high for count in counts)


def test_what_came_together_in_frequent_rows_shows_there_alone():
    counts = np.array([10] * 50 + [10_000] * 50)
    first, second = drawn(100, 32), drawn(100, 32, seed=1)
    second[50:] = first[50:] + 0.1 * second[50:]
    found = row_alignment(first, second, counts)
    rare, frequent = found.bins
    assert abs(rare.cosine.value) < 0.1
    assert frequent.cosine.value > 0.95
    assert (rare.low, rare.pieces) == (10, 50)
    assert found.cosine.value == pytest.approx((rare.cosine.value + frequent.cosine.value) / 2)
    assert abs(found.floor) < 0.05


def test_each_bin_has_a_floor_of_its_own():
    """Rare rows that share a direction are alike whatever they mean; frequent ones are not."""
    first, second = drawn(60, 32), drawn(60, 32, seed=1)
    first[:30] += 3
    second[:30] += 3
    rare, frequent, single = row_alignment(
        np.concatenate([first, drawn(1, 32)]),
        np.concatenate([second, drawn(1, 32)]),
        [1] * 30 + [100] * 30 + [10_000],
    ).bins
    plain = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in second[:30]] for a in first[:30]]
    assert rare.floor == pytest.approx(np.mean([plain[i][j] for i in range(30) for j in range(30) if i != j]))
    assert rare.cosine.value == pytest.approx(rare.floor, abs=0.05)
    assert abs(frequent.floor) < 0.05
    assert np.isnan(single.floor)


def test_the_floor_shows_a_direction_that_all_rows_share():
    first, second = drawn(50, 8) + 5, drawn(50, 8, seed=1) + 5
    found = row_alignment(first, second, np.ones(50, dtype=int))
    assert found.floor == pytest.approx(found.cosine.value, abs=0.02)


@pytest.mark.parametrize(("rows", "others", "counts"), [(3, 3, 2), (3, 2, 3), (0, 0, 0)])
def test_rows_that_do_not_belong_together_are_refused(rows, others, counts):
    with pytest.raises(DataError):
        row_alignment(drawn(rows, 4), drawn(others, 4), np.ones(counts, dtype=int))


def cloned_stream():
    """Two languages of 30 words with the same grammar: a word is followed by one of its three successors."""
    draw = np.random.default_rng(0)
    sequences = []
    for number in range(200):
        word, row = int(draw.integers(30)), []
        for _ in range(60):
            row.append(word)
            word = (word + int(draw.integers(1, 4))) % 30
        sequences.append(np.array(row) + 30 * (number % 2))
    return sequences


def test_word2vec_does_not_align_clones():
    found = word2vec(cloned_stream(), size=62, hidden=16, epochs=5, negative=5)
    together = row_alignment(found.input[:30], found.input[30:60], found.counts[:30])
    assert together.cosine.value - together.floor < 0.3
    assert found.counts[60:].sum() == 0
    assert not found.input[60:].any()
    neighbours = row_alignment(found.input[:29], found.input[1:30], found.counts[:29])
    assert neighbours.cosine.value > together.cosine.value + 0.2


def test_word2vec_comes_out_the_same_again():
    one, other = (word2vec(cloned_stream()[:20], size=60, hidden=8, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.input, other.input)
    np.testing.assert_array_equal(one.output, other.output)


def test_a_long_sequence_is_read_to_its_end():
    stream = [np.arange(25_000) % 50]
    stream[0][-1] = 59
    found = word2vec(stream, size=60, hidden=4, negative=1)
    assert found.counts[59] == 1
    assert found.input[59].any()


@pytest.mark.parametrize("stream", [[], [np.array([], dtype=int)], [np.array([1, 99])]])
def test_streams_without_tokens_or_beyond_the_vocabulary_are_refused(stream):
    with pytest.raises(DataError):
        word2vec(stream, size=60)


def test_without_gensim_the_line_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim", None)
    monkeypatch.delitem(sys.modules, "gensim.models", raising=False)
    with pytest.raises(UserError, match=r"pip install 'isogloss\[word2vec\]'"):
        word2vec([np.array([1])], size=2)
