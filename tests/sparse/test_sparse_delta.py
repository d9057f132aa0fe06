from __future__ import annotations

import dataclasses

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from tiny_deltas import same_delta, tiny_delta, tiny_tensors

from isogloss.core.errors import CheckpointError, ModelError
from isogloss.sparse.delta import Change, Delta, apply, check_fits, fingerprint
from isogloss.sparse.storage import load_delta, save_delta

PRECISIONS = [torch.float32, torch.bfloat16, torch.float16]


def bits(tensors):
    return {name: tensor.clone().view(torch.uint8) for name, tensor in tensors.items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("dtype", PRECISIONS)
@given(seed=st.integers(0, 1000), times=st.integers(1, 5))
def test_what_is_put_on_comes_off_to_the_bit(dtype, seed, times):
    tensors = tiny_tensors(seed, dtype=dtype)
    before = bits(tensors)
    for turn in range(times):
        applied = apply(tiny_delta(seed + turn), tensors)
        assert not same(bits(tensors), before)
        applied.revert()
        assert same(bits(tensors), before)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_subtracting_would_not_bring_every_value_back(dtype):
    tensors = tiny_tensors(dtype=dtype)
    before, delta = bits(tensors), tiny_delta(head=False)
    opposite = {n: Change(c.shape, c.indices, -c.values) for n, c in delta.changes.items()}
    apply(delta, tensors)
    apply(Delta(opposite), tensors)
    assert not same(bits(tensors), before)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_deltas_worn_over_one_another_come_off_in_the_opposite_order(dtype):
    tensors = tiny_tensors(dtype=dtype)
    before = bits(tensors)
    worn = [apply(tiny_delta(seed), tensors) for seed in range(4)]
    for applied in reversed(worn):
        applied.revert()
    assert same(bits(tensors), before)


def test_taking_off_twice_does_nothing_the_second_time():
    tensors = tiny_tensors()
    applied = apply(tiny_delta(), tensors)
    applied.revert()
    tensors["bias"] += 1
    now = bits(tensors)
    applied.revert()
    assert same(bits(tensors), now)


def test_values_are_added_where_they_belong_and_dense_tensors_take_the_places():
    tensors = {"a": torch.zeros(2, 3), "head": torch.zeros(2)}
    change = Change((2, 3), torch.tensor([1, 5]), torch.tensor([0.5, -2.0]))
    apply(Delta({"a": change}, {"head": torch.ones(2)}), tensors)
    assert tensors["a"].tolist() == [[0, 0.5, 0], [0, 0, -2]]
    assert tensors["head"].tolist() == [1, 1]


def test_a_parameter_that_requires_gradients_can_wear_a_delta():
    weight = torch.nn.Parameter(torch.zeros(3))
    apply(Delta({"w": Change((3,), torch.tensor([2]), torch.tensor([1.0]))}), {"w": weight})
    assert weight.tolist() == [0, 0, 1]
    assert weight.requires_grad


@pytest.mark.parametrize("change", ["absent", "shape"])
def test_a_delta_that_does_not_fit_changes_nothing(change):
    tensors = tiny_tensors()
    if change == "absent":
        del tensors["head.weight"]
    else:
        tensors["layers.1.weight"] = torch.zeros(4, 5)
    before = bits(tensors)
    with pytest.raises(ModelError, match="delta"):
        apply(tiny_delta(), tensors)
    assert same(bits(tensors), before)


def test_a_delta_comes_back_from_its_file(tmp_path):
    delta = dataclasses.replace(tiny_delta(), about={"task": "ner", "labels": '["O", "Ж"]'})
    save_delta(tmp_path / "deltas" / "ner.safetensors", delta)
    loaded = load_delta(tmp_path / "deltas" / "ner.safetensors", base="b" * 64, vocabulary="v" * 64)
    assert same_delta(delta, loaded)


def test_an_empty_delta_of_unknown_base_comes_back_too(tmp_path):
    save_delta(tmp_path / "d.safetensors", Delta({}))
    loaded = load_delta(tmp_path / "d.safetensors", base="b" * 64)
    assert (loaded.base, loaded.vocabulary, loaded.entries) == (None, None, 0)


@pytest.mark.parametrize("what", ["base", "vocabulary"])
def test_a_delta_of_another_model_is_refused_with_both_fingerprints(tmp_path, what):
    save_delta(tmp_path / "d.safetensors", tiny_delta())
    with pytest.raises(ModelError) as refused:
        load_delta(tmp_path / "d.safetensors", **{what: "c" * 64})
    assert ("b" if what == "base" else "v") * 12 in str(refused.value)
    assert "c" * 12 in str(refused.value)
    assert "d.safetensors" in str(refused.value)


@pytest.mark.parametrize(
    "indices", [[-1, 2], [0, 40], [3, 3], [5, 2]], ids=["negative", "beyond", "twice", "falling"]
)
def test_positions_that_a_tensor_does_not_have_are_refused(tmp_path, indices):
    change = Change((10, 4), torch.tensor(indices), torch.ones(2))
    save_delta(tmp_path / "d.safetensors", Delta({"embeddings.weight": change}))
    with pytest.raises(CheckpointError, match="positions"):
        load_delta(tmp_path / "d.safetensors")


def test_files_that_are_no_deltas_are_refused(tmp_path):
    from safetensors.torch import save_file

    (tmp_path / "text.safetensors").write_text("nothing of the kind")
    save_file({"weight": torch.ones(2)}, tmp_path / "model.safetensors")
    for name in ("absent", "text", "model"):
        with pytest.raises(CheckpointError, match=r"no such file|not a delta"):
            load_delta(tmp_path / f"{name}.safetensors")


def test_a_fingerprint_knows_names_shapes_and_values_and_no_order():
    tensors = tiny_tensors()
    known = fingerprint(tensors)
    assert fingerprint(dict(reversed(tensors.items()))) == known
    assert fingerprint({**tensors, "bias": tensors["bias"].view(1, 3)}) != known
    assert fingerprint({("Bias" if n == "bias" else n): t for n, t in tensors.items()}) != known
    tensors["bias"][0] = torch.nextafter(tensors["bias"][0], torch.tensor(1e9))
    assert fingerprint(tensors) != known


def test_half_precision_weights_keep_their_fingerprint_when_loaded_in_full():
    tensors = tiny_tensors(dtype=torch.bfloat16)
    assert fingerprint(tensors) == fingerprint({name: tensor.float() for name, tensor in tensors.items()})


def test_an_unknown_fingerprint_fits_any():
    check_fits(tiny_delta(base=None), base="x", vocabulary=None)
    check_fits(tiny_delta(), base=None, vocabulary="v" * 64)
