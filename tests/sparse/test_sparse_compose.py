from __future__ import annotations

import dataclasses
import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from tiny_deltas import same_delta, tiny_delta, tiny_tensors

from isogloss.core.errors import ModelError
from isogloss.sparse.compose import add, meetings
from isogloss.sparse.delta import Change, Delta, apply


def one(indices, values, **more):
    return Delta({"w": Change((6,), torch.tensor(indices), torch.tensor(values))}, **more)


@given(st.integers(0, 1000), st.integers(2, 4))
def test_a_sum_does_what_its_deltas_do_together(seed, number):
    deltas = [tiny_delta(seed + place, head=False) for place in range(number)]
    together, apart = tiny_tensors(seed), tiny_tensors(seed)
    apply(add(deltas), together)
    for delta in deltas:
        apply(delta, apart)
    for name in together:
        torch.testing.assert_close(together[name], apart[name], rtol=1e-5, atol=1e-5)


@given(st.integers(0, 1000))
def test_the_order_does_not_matter(seed):
    deltas = [tiny_delta(seed + place, head=False) for place in range(3)]
    assert same_delta(add(deltas), _in_order(add(deltas[::-1]), add(deltas)))


def _in_order(delta, other):
    return dataclasses.replace(delta, changes={name: delta.changes[name] for name in other.changes})


def test_entries_that_meet_are_added_and_others_kept():
    total = add([one([0, 3], [1.0, 2.0]), one([3, 5], [0.5, 7.0])])
    assert total.changes["w"].indices.tolist() == [0, 3, 5]
    assert total.changes["w"].values.tolist() == [1.0, 2.5, 7.0]


def test_a_sum_of_one_is_that_one():
    assert same_delta(add([tiny_delta()]), tiny_delta())


def test_where_deltas_meet_is_told():
    (found,) = meetings([one([0, 3, 4], [1.0, 2.0, -1.0]), one([3, 4], [1.0, 1.0])])
    assert (found.entries, found.share, found.agree) == (2, 1.0, 0.5)
    assert found.cosine == pytest.approx(1 / (6**0.5 * 2**0.5))
    assert found.by_name == {"w": 2}


def test_deltas_that_do_not_meet_say_so():
    (found,) = meetings([one([0], [1.0]), one([3], [1.0])])
    assert (found.entries, found.share, found.cosine) == (0, 0.0, 0.0)
    assert math.isnan(found.agree)


def test_every_two_of_three_are_compared():
    found = meetings([tiny_delta(seed) for seed in range(3)])
    assert [(each.first, each.second) for each in found] == [(0, 1), (0, 2), (1, 2)]


def test_the_unknown_base_of_a_published_delta_fits_and_the_known_one_is_kept():
    assert add([one([0], [1.0]), one([1], [1.0], base="b")]).base == "b"


def test_deltas_of_different_models_do_not_add_up():
    with pytest.raises(ModelError, match="another model"):
        add([one([0], [1.0], base="a"), one([1], [1.0], base="b")])


def test_heads_do_not_add_up():
    with pytest.raises(ModelError, match=r"head\.weight"):
        add([tiny_delta(0), tiny_delta(1)])
    total = add([tiny_delta(0), tiny_delta(1).without_dense()])
    assert torch.equal(total.dense["head.weight"], tiny_delta(0).dense["head.weight"])


def test_shapes_must_agree():
    other = Delta({"w": Change((2, 3), torch.tensor([0]), torch.tensor([1.0]))})
    with pytest.raises(ModelError, match="different shapes"):
        add([one([0], [1.0]), other])
