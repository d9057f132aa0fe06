from __future__ import annotations

import dataclasses

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from tiny_deltas import SHAPES, tiny_delta, tiny_tensors

from isogloss.core.errors import ModelError
from isogloss.sparse.delta import apply
from isogloss.sparse.wardrobe import Wardrobe, bytes_of_copies

PRECISIONS = [torch.float32, torch.bfloat16, torch.float16]
DELTAS = {
    "fi-Latn": tiny_delta(0, head=False),
    "et-Latn": tiny_delta(1),
    "sw-Latn": tiny_delta(2, density=0.01, head=False),
    "en-Latn": None,
}


def bits(tensors):
    return {name: tensor.detach().clone().view(torch.uint8) for name, tensor in tensors.items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def dressed(language, dtype=torch.float32):
    """What a model that never wore another delta is with this one."""
    tensors = tiny_tensors(dtype=dtype)
    if DELTAS.get(language) is not None:
        apply(DELTAS[language], tensors)
    return bits(tensors)


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("dtype", PRECISIONS)
@given(languages=st.lists(st.sampled_from([*DELTAS, None]), max_size=8))
def test_after_any_changes_the_model_is_as_if_it_had_worn_nothing_else(dtype, copies, languages):
    tensors = tiny_tensors(dtype=dtype)
    wardrobe = Wardrobe(tensors, DELTAS, copies=copies)
    for language in languages:
        wardrobe.wear(language)
        assert wardrobe.wearing == language
        assert same(bits(tensors), dressed(language, dtype))
    wardrobe.wear(None)
    assert same(bits(tensors), dressed(None, dtype))


@pytest.mark.parametrize("copies", [False, True])
def test_what_is_on_already_costs_nothing(copies, monkeypatch):
    tensors = tiny_tensors()
    wardrobe = Wardrobe(tensors, DELTAS, copies=copies)
    wardrobe.wear("et-Latn")
    before = {name: (tensor._version, tensor.data_ptr()) for name, tensor in tensors.items()}
    wardrobe.wear("et-Latn")
    assert {name: (tensor._version, tensor.data_ptr()) for name, tensor in tensors.items()} == before


def test_only_what_the_deltas_touch_is_written():
    tensors = tiny_tensors()
    wardrobe = Wardrobe(tensors, DELTAS)
    before = tensors["bias"]._version
    for language in DELTAS:
        wardrobe.wear(language)
    assert tensors["bias"]._version == before


@pytest.mark.parametrize("copies", [False, True])
def test_heads_are_worn_where_the_model_s_head_is_in_the_wardrobe(copies):
    whole = tiny_tensors()
    body = {name: tensor for name, tensor in whole.items() if name in SHAPES}
    Wardrobe(body, DELTAS, copies=copies).wear("et-Latn")
    assert torch.equal(whole["head.weight"], tiny_tensors()["head.weight"])
    whole = tiny_tensors()
    Wardrobe(whole, DELTAS, copies=copies).wear("et-Latn")
    assert torch.equal(whole["head.weight"], DELTAS["et-Latn"].dense["head.weight"])


@pytest.mark.parametrize("copies", [False, True])
def test_a_module_sees_what_is_on_wherever_it_went_meanwhile(copies):
    """Moving replaces the storage of a parameter; here by one of another precision."""
    module = torch.nn.Linear(4, 4, bias=False)
    module.weight.data = torch.ones(4, 4)
    change = dataclasses.replace(tiny_delta().changes["layers.0.weight"])
    delta = dataclasses.replace(tiny_delta(head=False), changes={"weight": change})
    wardrobe = Wardrobe(dict(module.named_parameters()), {"fi-Latn": delta}, copies=copies)
    wardrobe.wear("fi-Latn")
    module.to(torch.bfloat16)
    on = module.weight.detach().clone()
    wardrobe.wear(None)
    assert torch.equal(module.weight, torch.ones(4, 4, dtype=torch.bfloat16))
    wardrobe.wear("fi-Latn")
    assert module.weight.dtype == torch.bfloat16
    assert torch.equal(module.weight, on)


def test_the_bytes_of_copies_are_those_of_the_tensors_that_deltas_touch():
    tensors = tiny_tensors()
    own = {tensor.untyped_storage().data_ptr() for tensor in tensors.values()}
    wardrobe = Wardrobe(tensors, DELTAS, copies=True)
    held = {
        tensor.data_ptr(): tensor.nbytes
        for outfit in wardrobe._outfits.values()
        for tensor in outfit.values()
        if tensor.data_ptr() not in own
    }
    assert bytes_of_copies(tensors, DELTAS) == sum(held.values()) > 0


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("what", ["base", "vocabulary"])
def test_a_delta_of_another_model_is_refused_by_its_language(what, copies):
    with pytest.raises(ModelError, match="delta of fi-Latn"):
        Wardrobe(tiny_tensors(), DELTAS, copies=copies, **{what: "c" * 64})


@pytest.mark.parametrize("copies", [False, True])
def test_a_delta_that_does_not_fit_is_refused_before_anything_is_on(copies):
    tensors = {**tiny_tensors(), "layers.1.weight": torch.zeros(4, 5)}
    with pytest.raises(ModelError, match=r"layers\.1\.weight"):
        Wardrobe(tensors, DELTAS, copies=copies)


def test_a_language_that_is_not_in_the_wardrobe_is_refused_and_nothing_changes():
    tensors = tiny_tensors()
    wardrobe = Wardrobe(tensors, DELTAS)
    wardrobe.wear("fi-Latn")
    with pytest.raises(ModelError, match="did you mean 'fi-Latn'"):
        wardrobe.wear("fi_Latn")
    assert same(bits(tensors), dressed("fi-Latn"))
