"""Cosine, matching, CKA and retrieval against plain definitions."""

from __future__ import annotations

import itertools
import math

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.analysis.alignment import (
    LinearCKA,
    TokenComparison,
    centred,
    cka,
    likeness,
    matching,
    mean_cosine_of_all_pairs,
    mean_estimates,
    retrieval,
    row_cosines,
)
from isogloss.core.errors import DataError


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def test_cosines_are_those_of_the_definition():
    one, other = drawn(4, 8), drawn(4, 8, seed=1)
    assert row_cosines(one, other) == pytest.approx([cosine(a, b) for a, b in zip(one, other, strict=True)])
    pairs = [cosine(a, b) for a, b in itertools.product(one, other)]
    assert mean_cosine_of_all_pairs(one, other) == pytest.approx(np.mean(pairs))


def test_a_vector_of_zeros_is_like_nothing():
    assert row_cosines(np.zeros((1, 3)), np.ones((1, 3))) == 0


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 1000))
def test_the_matching_weighs_as_much_as_networkx_finds(rows, columns, seed):
    similarity = drawn(rows, columns, seed=seed)
    graph = networkx.Graph()
    for row, column in itertools.product(range(rows), range(columns)):
        graph.add_edge(row, rows + column, weight=similarity[row, column])
    plain = networkx.max_weight_matching(graph, maxcardinality=True)
    wanted = sum(graph.edges[pair]["weight"] for pair in plain)
    chosen = matching(similarity)
    assert similarity[chosen].sum() == pytest.approx(wanted)
    assert len(chosen[0]) == len(set(chosen[1].tolist())) == min(rows, columns)


def test_clones_are_compared_place_by_place():
    states = drawn(3, 5, 8)
    found = likeness(states, states * 2, "one-to-one")
    assert found.paired == pytest.approx(1.0)
    assert found.floor == pytest.approx(mean_cosine_of_all_pairs(states, states))


def test_matching_finds_the_same_tokens_in_another_order():
    states = drawn(3, 6, 16)
    order = np.random.default_rng(1).permutation(6)
    assert likeness(states, states[:, order], "matching").paired == pytest.approx(1.0)
    assert (likeness(states, states[:, order], "one-to-one").paired < 0.9).all()


def test_one_matching_holds_for_all_states():
    one, other = drawn(3, 4, 8), drawn(3, 6, 8, seed=1)
    mean = np.mean([[[cosine(a, b) for b in other[s]] for a in one[s]] for s in range(3)], axis=0)
    best = max(itertools.permutations(range(6), 4), key=lambda chosen: mean[range(4), chosen].sum())
    wanted = [np.mean([cosine(one[s, t], other[s, u]) for t, u in enumerate(best)]) for s in range(3)]
    assert likeness(one, other, "matching").paired == pytest.approx(wanted)


@pytest.mark.parametrize("pairing", ["one-to-one", "matching"])
def test_sequences_of_one_token_and_of_unequal_length_are_compared(pairing):
    found = likeness(drawn(2, 1, 4), drawn(2, 3, 4, seed=1), pairing)
    assert found.paired.shape == found.floor.shape == (2,)


def compared(pairs, pairing, **more):
    comparison = TokenComparison(pairing, **more)
    for first, second in pairs:
        comparison.add(first, second)
    return comparison.result()


def test_chance_is_the_measure_on_the_sequence_before():
    first = [drawn(2, 4, 8, seed=n) for n in range(3)]
    second = [drawn(2, 4, 8, seed=10 + n) for n in range(3)]
    found = compared(zip(first, second, strict=True), "one-to-one")
    assert np.isnan(found.chance[0]).all()
    assert found.chance[2] == pytest.approx(likeness(first[2], second[1], "one-to-one").paired)
    estimates = found.estimates()
    assert [e.value for e in estimates["cosine"]] == pytest.approx(found.cosine.mean(axis=0))
    assert [e.value for e in estimates["chance"]] == pytest.approx(found.chance[1:].mean(axis=0))


def test_means_are_taken_from_every_token():
    pairs = [(drawn(2, n, 8, seed=n) + 9, drawn(2, n, 8, seed=20 + n) + 9) for n in (3, 5)]
    means = tuple(np.concatenate([pair[side] for pair in pairs], axis=1).mean(axis=1) for side in (0, 1))
    found = compared(pairs, "one-to-one", means=means)
    assert (compared(pairs, "one-to-one").cosine > 0.9).all()
    one, other = pairs[1]
    wanted = row_cosines(one - means[0][:, None], other - means[1][:, None]).mean(axis=1)
    assert found.cosine[1] == pytest.approx(wanted)


def test_one_sequence_has_no_chance():
    found = compared([(drawn(2, 4, 8), drawn(2, 4, 8))], "matching").estimates()
    assert all(math.isnan(e.value) for e in found["chance"])


def test_no_sequence_is_refused():
    with pytest.raises(DataError):
        compared([], "matching")


def test_taking_the_mean_away_shows_what_a_common_direction_hides():
    common = 50 * np.ones(8)
    one, other = drawn(40, 8) + common, drawn(40, 8, seed=1) + common
    assert row_cosines(one, other).mean() > 0.99
    assert abs(row_cosines(centred(one), centred(other)).mean()) < 0.2


def test_mean_estimates_hold_the_mean_between_their_ends():
    for estimate in mean_estimates(drawn(50, 3)):
        assert estimate.low < estimate.value < estimate.high


def test_retrieval_is_right_where_every_text_is_nearest_itself():
    states = drawn(20, 16)
    found = retrieval(states, states + 0.01 * drawn(20, 16, seed=1))
    assert found.accuracy.value == found.reciprocal_rank.value == 1.0


def test_retrieval_ranks_by_hand():
    first = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    second = np.array([[1.0, 0.1], [1.0, 0.9], [0.1, 1.0]])
    found = retrieval(first, second)  # ranks 1, 2, 3
    assert found.accuracy.value == pytest.approx(1 / 3)
    assert found.reciprocal_rank.value == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_a_model_that_says_the_same_of_every_text_finds_nothing():
    found = retrieval(np.ones((10, 4)), np.ones((10, 4)))
    assert found.accuracy.value == 0.0
    assert found.reciprocal_rank.value == pytest.approx(0.1)


def test_retrieval_differs_by_way():
    first, second = drawn(30, 4), drawn(30, 4) + 1.5 * drawn(30, 4, seed=1)
    assert retrieval(first, second).reciprocal_rank != retrieval(second, first).reciprocal_rank


def gram_cka(x, y, *, debiased):
    """As published, with kernels."""
    k, layer = x @ x.T, y @ y.T
    n = len(x)

    def hsic(k, layer):
        if not debiased:
            h = np.eye(n) - 1 / n
            return np.trace(k @ h @ layer @ h)
        k, layer = k - np.diag(np.diag(k)), layer - np.diag(np.diag(layer))
        ones = np.ones(n)
        return (
            np.trace(k @ layer)
            + (ones @ k @ ones) * (ones @ layer @ ones) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (ones @ k @ layer @ ones)
        )

    return hsic(k, layer) / np.sqrt(hsic(k, k) * hsic(layer, layer))


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("rows", [5, 40])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_cka_equals_its_definition_with_kernels(debiased, rows, shift):
    x, y = drawn(rows, 7), drawn(rows, 4, seed=1)
    y[:, 0] += x[:, 0]
    wanted = gram_cka(x, y, debiased=debiased)
    assert cka(x + shift, y - shift, debiased=debiased) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("debiased", [True, False])
def test_cka_of_blocks_is_that_of_the_whole(debiased):
    x, y = drawn(50, 6) + 3, drawn(50, 6, seed=1) @ drawn(6, 6, seed=2)
    measure = LinearCKA()
    for start, end in ((0, 1), (1, 20), (20, 50)):
        measure.add(x[start:end], y[start:end])
    assert measure.value(debiased=debiased) == pytest.approx(cka(x, y, debiased=debiased), rel=1e-9)


@pytest.mark.parametrize("debiased", [True, False])
def test_cka_sees_neither_turns_nor_scales(debiased):
    x = drawn(30, 5)
    turned = 3 * x @ np.linalg.qr(drawn(5, 5, seed=1))[0] + 2
    assert cka(x, turned, debiased=debiased) == pytest.approx(1.0)


def test_the_debiased_cka_of_noise_is_near_zero_where_the_plain_one_is_not():
    values = [cka(drawn(20, 60, seed=n), drawn(20, 60, seed=100 + n)) for n in range(30)]
    assert abs(np.mean(values)) < 0.02
    assert cka(drawn(20, 60), drawn(20, 60, seed=100), debiased=False) > 0.6


def test_cka_of_something_constant_is_undefined():
    assert math.isnan(cka(np.ones((10, 3)), drawn(10, 3), debiased=False))


@pytest.mark.parametrize("function", [cka, retrieval])
@pytest.mark.parametrize("rows", [(0, 0), (3, 4)])
def test_unequal_or_no_rows_are_refused(function, rows):
    with pytest.raises(DataError):
        function(drawn(rows[0], 3), drawn(rows[1], 3))


def test_too_few_rows_for_cka_are_refused():
    with pytest.raises(DataError):
        cka(drawn(3, 2), drawn(3, 2))
