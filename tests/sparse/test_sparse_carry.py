from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from tiny_deltas import SHAPES, same_delta, tiny_delta, tiny_tensors

from isogloss.core.errors import ModelError
from isogloss.sparse.carry import Origin, carry
from isogloss.sparse.delta import apply

SMALL = {"base": "s" * 64, "vocabulary": "t" * 64}


def same_tensors(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@given(st.integers(0, 1000), st.lists(st.integers(0, 9), unique=True, min_size=1))
def test_slicing_a_model_that_wears_a_delta_and_carrying_it_are_the_same(seed, rows):
    large, delta = tiny_tensors(seed), tiny_delta(seed, head=False)
    kept = torch.tensor(rows)

    def small():
        return {
            "embeddings.weight": large["embeddings.weight"][kept].clone(),
            "layers.0.weight": large["layers.1.weight"].clone(),
        }

    carried, losses = carry(
        delta,
        {
            "embeddings.weight": Origin("embeddings.weight", (len(rows), 4), kept),
            "layers.0.weight": Origin("layers.1.weight", (4, 4)),
        },
        **SMALL,
    )
    worn = small()
    apply(carried, worn)
    apply(delta, large)
    assert same_tensors(worn, small())
    assert losses.carried == carried.entries
    assert losses.carried + losses.entries == delta.entries
    assert (carried.base, carried.vocabulary) == (SMALL["base"], SMALL["vocabulary"])
    assert all((change.indices.diff() > 0).all() for change in carried.changes.values())


def test_what_was_lost_is_told_by_tensor_and_in_movement():
    delta = tiny_delta()
    _, losses = carry(
        delta,
        {"embeddings.weight": Origin("embeddings.weight", (1, 4), torch.tensor([7]))},
        **SMALL,
        dense={},
    )
    fates = {fate.name: fate for fate in losses.fates}
    assert fates["layers.0.weight"].carried == 0
    assert "layer" in fates["layers.0.weight"].why
    assert "row" in fates["embeddings.weight"].why
    assert 0 < losses.movement_kept < 1
    assert losses.dense == ("head.weight",)


def test_a_whole_model_carries_everything():
    delta = tiny_delta()
    origins = {name: Origin(name, shape) for name, shape in SHAPES.items()}
    carried, losses = carry(delta, origins, base=delta.base, vocabulary=delta.vocabulary)
    assert same_delta(carried, delta)
    assert (losses.entries, losses.movement_kept) == (0, 1.0)


def test_rows_that_are_new_get_nothing():
    delta = tiny_delta(density=1.0)
    rows = torch.tensor([-1, 2])
    carried, _ = carry(delta, {"embeddings.weight": Origin("embeddings.weight", (2, 4), rows)}, **SMALL)
    assert carried.changes["embeddings.weight"].indices.tolist() == [4, 5, 6, 7]


def test_a_head_of_another_shape_is_lost():
    _, losses = carry(tiny_delta(), {}, **SMALL, dense={"head.weight": (3, 4)})
    assert losses.dense == ("head.weight",)


def test_another_width_is_refused():
    with pytest.raises(ModelError, match="another width"):
        carry(tiny_delta(), {"layers.0.weight": Origin("layers.0.weight", (4, 2))}, **SMALL)


def test_tensors_computed_anew_are_named():
    origins = {"layers.0.weight": Origin("layers.1.weight", (4, 4), changed=True)}
    _, losses = carry(tiny_delta(), origins, **SMALL)
    assert losses.changed == ("layers.0.weight",)
