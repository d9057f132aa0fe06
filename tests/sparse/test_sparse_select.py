from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as arrays

from isogloss.core.errors import RecipeError, UserError
from isogloss.sparse import select as module
from isogloss.sparse.select import count, select, shares

SHAPES = st.lists(st.sampled_from([(), (1,), (7,), (3, 5), (2, 2, 3), (0,), (4, 0)]), min_size=1, max_size=5)


@st.composite
def movements(draw):
    """Tensors of few different values, so that many tie, and some numbers from all over the range."""
    values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 1e-40, -1e-40, 65504.0]) | st.floats(
        -(2.0**100), 2.0**100, width=32
    )
    return {
        f"tensor {place}": torch.from_numpy(draw(arrays.arrays("float32", shape, elements=values)))
        for place, shape in enumerate(draw(SHAPES))
    }


def from_zero(moved):
    return {name: torch.zeros_like(tensor) for name, tensor in moved.items()}


def by_sorting(moved, entries):
    """What the definition says: sort all movements, the largest first, earlier ones before later."""
    flat = torch.cat([tensor.reshape(-1).abs() for tensor in moved.values()])
    chosen = flat.argsort(descending=True, stable=True)[:entries].sort().values
    found, offset = {}, 0
    for name, tensor in moved.items():
        here = chosen[(chosen >= offset) & (chosen < offset + tensor.numel())] - offset
        found[name], offset = here, offset + tensor.numel()
    return found


def lists(found):
    return {name: positions.tolist() for name, positions in found.items()}


@given(movements(), st.data())
def test_exactly_the_k_largest_are_selected_and_ties_go_by_position(moved, data):
    size = sum(tensor.numel() for tensor in moved.values())
    entries = data.draw(st.integers(0, size))
    assert lists(select(moved, from_zero(moved), entries)) == lists(by_sorting(moved, entries))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_chunks_and_precision_do_not_change_what_is_selected(monkeypatch, dtype):
    monkeypatch.setattr(module, "_CHUNK", 7)
    generator = torch.Generator().manual_seed(0)
    start = {name: torch.randn(13, 11, generator=generator).to(dtype) for name in "abc"}
    now = {
        name: tensor + torch.randn(13, 11, generator=generator).to(dtype) for name, tensor in start.items()
    }
    moved = {name: now[name].float() - start[name].float() for name in now}
    assert lists(select(now, start, 100)) == lists(by_sorting(moved, 100))


def test_entries_that_did_not_move_fill_up_from_the_front():
    moved = {"first": torch.tensor([0.0, 0.0, 3.0]), "second": torch.tensor([0.0, -1.0])}
    assert lists(select(moved, from_zero(moved), 4)) == {"first": [0, 1, 2], "second": [1]}


def test_positions_rise_and_are_short_integers():
    moved = {"one": torch.randn(50, 50)}
    positions = select(moved, from_zero(moved), 1000)["one"]
    assert positions.dtype == torch.int32
    assert (positions.diff() > 0).all()


def test_groups_get_their_number_each():
    moved = {"a": torch.full((4,), 9.0), "b": torch.tensor([1.0, 2.0, 3.0]), "c": torch.tensor([5.0, 0.0])}
    found = select(moved, from_zero(moved), {"x": 2, "y": 1}, groups={"a": "x", "b": "y", "c": "x"})
    assert lists(found) == {"a": [0, 1], "b": [2], "c": []}


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 50), min_size=1), st.data())
def test_shares_add_up_and_are_within_one_of_proportion(sizes, data):
    total = sum(sizes.values())
    entries = data.draw(st.integers(0, total))
    given_out = shares(sizes, entries)
    assert sum(given_out.values()) == entries
    for name, size in sizes.items():
        assert 0 <= given_out[name] <= size
        assert abs(given_out[name] - entries * size / max(1, total)) < 1


def test_a_density_is_rounded_down_as_published():
    assert count(0.08, 177_853_440) == 14_228_275
    assert count(0.01, 3) == 1


@pytest.mark.parametrize("entries", [-1, 4])
def test_more_entries_than_there_are_is_refused(entries):
    moved = {"a": torch.ones(3)}
    with pytest.raises(RecipeError, match="from 0 to 3"):
        select(moved, from_zero(moved), entries)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_model_that_diverged_is_refused(value):
    moved = {"a": torch.tensor([1.0, value])}
    with pytest.raises(UserError, match="NaN or infinite"):
        select(moved, from_zero(moved), 1)
