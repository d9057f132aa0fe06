"""Gradient cosines by streaming, against two whole gradients side by side."""

from __future__ import annotations

import math
import weakref

import numpy as np
import pytest
import torch

from every_family import EVERY, LAYERS, small_batch, small_model
from isogloss.core.errors import ModelError
from isogloss.data.features import IGNORED
from isogloss.evaluate import gradients
from isogloss.evaluate.gradients import gradient_cosines
from isogloss.models.tasks import TaskModel

LANGUAGES = ("en-Latn", "fr-Latn", "sw-Latn")
PAIRS = [("en-Latn", "fr-Latn"), ("en-Latn", "sw-Latn"), ("fr-Latn", "sw-Latn")]


def batch_of(model, seed):
    batch = small_batch(model, seed=seed)
    labels = torch.where(batch["attention_mask"].bool(), batch["input_ids"], IGNORED)
    if model.config.is_encoder_decoder:
        labels = batch.pop("decoder_input_ids").contiguous()
    return batch | {"labels": labels}


def items_of(model, count=2):
    return [{tag: batch_of(model, 10 * n + i) for i, tag in enumerate(LANGUAGES)} for n in range(count)]


def subject_of(model):
    subject = TaskModel(model, None, kind="text")
    return subject, lambda batch: subject(batch).loss


def matrices(subject, value):
    """What each trained parameter has, by name, and what each of the matrices has that some hold together."""
    several = {"Wqkv.weight": (3, 0), "Wi.weight": (2, 0), "c_attn.weight": (3, 1), "c_attn.bias": (3, 0)}
    for name, parameter in subject.named_parameters():
        blocks, axis = next((how for end, how in several.items() if name.endswith(end)), (1, 0))
        if parameter.requires_grad and value(parameter) is not None:
            for number, part in enumerate(value(parameter).chunk(blocks, axis)):
                yield (f"{name}[{number}]" if blocks > 1 else name), part


def naive(subject, loss, item):
    whole = {}
    for tag, batch in item.items():
        subject.zero_grad(set_to_none=True)
        loss(batch).backward()
        whole[tag] = {name: part.clone() for name, part in matrices(subject, lambda p: p.grad)}
    names = [name for name, _ in matrices(subject, lambda p: p)]

    def cosine(pair, name):
        one, other = (whole[tag].get(name) for tag in pair)
        if one is None or other is None or min(one.norm(), other.norm()) < 1e-6:
            return math.nan
        return float((one * other).sum() / one.norm() / other.norm())

    return [[cosine(pair, name) for name in names] for pair in PAIRS]


@pytest.mark.parametrize("family", EVERY)
def test_cosines_equal_those_of_two_whole_gradients(family):
    subject, loss = subject_of(small_model(family))
    items = items_of(subject.model)
    found = gradient_cosines(subject, items, loss=loss, pairs=PAIRS)
    wanted = np.array([naive(subject, loss, item) for item in items])
    np.testing.assert_allclose(found.cosines, wanted, atol=2e-5)
    assert found.error == 0.0


def test_query_key_and_value_are_tensors_of_their_own():
    """GPT-2 keeps them in one; a mean over tensors shall not depend on that."""
    subject, loss = subject_of(small_model("gpt2"))
    found = gradient_cosines(subject, items_of(subject.model, 1), loss=loss, pairs=PAIRS)
    bias = [name for name in found.tensors if ".0.attn.c_attn.bias" in name]
    assert [name[-3:] for name in bias] == ["[0]", "[1]", "[2]"]
    told = found.cosines[0, 0, [found.tensors.index(name) for name in bias]]
    assert np.isnan(told).tolist() == [False, True, False]  # softmax does not see the keys' bias


def test_a_language_agrees_with_itself():
    subject, loss = subject_of(small_model("gpt2"))
    batch = batch_of(subject.model, 0)
    item = {"en-Latn": batch, "fr-Latn": batch, "sw-Latn": batch}
    assert np.nanmin(gradient_cosines(subject, [item], loss=loss, pairs=PAIRS).cosines) > 0.9999


def test_rounding_has_no_direction():
    """The keys' bias adds the same to all of a query's scores, and softmax does not see it."""
    subject, loss = subject_of(small_model("bert"))
    found = gradient_cosines(subject, items_of(subject.model), loss=loss, pairs=PAIRS)
    bias = [name.endswith("key.bias") for name in found.tensors]
    assert np.isnan(found.cosines[..., bias]).all()
    assert np.isfinite(found.by_group(PAIRS[0])["attention"]).all()


def test_no_gradient_is_left_behind_or_held_besides():
    subject, loss = subject_of(small_model("bert"))
    held = []

    def watched(batch):
        held.append(sum(p.grad is not None for p in subject.parameters()))
        value = loss(batch)
        value.register_hook(lambda grad: None)
        return value

    for p in subject.parameters():
        p.grad = torch.ones_like(p)  # of whoever trained before
    gradient_cosines(subject, items_of(subject.model), loss=watched, pairs=PAIRS)
    assert held == [0] * len(held)
    assert all(p.grad is None for p in subject.parameters())
    assert not any(p._post_accumulate_grad_hooks for p in subject.parameters())


@pytest.mark.parametrize("sketch", [None, 8])
def test_no_more_is_held_than_one_gradient_and_one_tensor(sketch, monkeypatch):
    subject, loss = subject_of(small_model("gpt2"))
    seen, held = [], []

    def counting(gradient):
        seen.append(weakref.ref(gradient))
        alive = {tensor.data_ptr(): tensor.numel() for ref in seen if (tensor := ref()) is not None}
        held.append(sum(alive.values()))
        return norm(gradient)

    norm = gradients._norm
    monkeypatch.setattr(gradients, "_norm", counting)
    gradient_cosines(subject, items_of(subject.model, 1), loss=loss, pairs=PAIRS, sketch=sketch)
    sizes = [p.numel() for p in subject.parameters()]
    assert max(held) <= max(sizes) + (sum(sizes) if sketch is None else 0)


def test_one_pass_for_each_first_language_and_for_each_pair():
    subject, loss = subject_of(small_model("bert"))
    calls = []

    def counted(batch):
        calls.append(1)
        return loss(batch)

    gradient_cosines(subject, items_of(subject.model, 1), loss=counted, pairs=PAIRS)
    assert len(calls) == 2 + 3
    calls.clear()
    gradient_cosines(subject, items_of(subject.model, 1), loss=counted, pairs=PAIRS, sketch=16)
    assert len(calls) == 3


def test_a_sketch_is_off_by_no_more_than_it_says():
    subject, loss = subject_of(small_model("gpt2"))
    items = items_of(subject.model, 1)
    exact = gradient_cosines(subject, items, loss=loss, pairs=PAIRS).cosines
    sketches = [
        gradient_cosines(subject, items, loss=loss, pairs=PAIRS, sketch=64, seed=s) for s in range(20)
    ]
    errors = np.stack([one.cosines for one in sketches]) - exact
    assert sketches[0].error == pytest.approx(math.sqrt(2 / 64))
    has_direction = ~np.isnan(exact).any(axis=(0, 1))
    assert np.nanstd(errors[..., has_direction], axis=0).max() < 1.5 * sketches[0].error
    assert abs(np.nanmean(errors)) < 0.01
    sizes = {name: part.numel() for name, part in matrices(subject, lambda p: p)}
    small = [sizes[name] <= 64 for name in sketches[0].tensors]
    assert np.nanmax(np.abs(errors[..., small])) < 1e-5


def test_padding_changes_nothing():
    subject, loss = subject_of(small_model("bert"))
    item = items_of(subject.model, 1)[0]

    def longer(batch):
        more = {"input_ids": 1, "attention_mask": 0, "labels": IGNORED}
        return {
            name: torch.nn.functional.pad(tensor, (0, 5), value=more[name]) for name, tensor in batch.items()
        }

    padded = {tag: longer(batch) for tag, batch in item.items()}
    one, other = (
        gradient_cosines(subject, [which], loss=loss, pairs=PAIRS).cosines for which in (item, padded)
    )
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_dropout_does_not_part_languages():
    subject, loss = subject_of(small_model("bert", hidden_dropout_prob=0.5))
    subject.train()
    batch = batch_of(subject.model, 0)
    pair = [("en-Latn", "fr-Latn")]
    found = gradient_cosines(subject, [{"en-Latn": batch, "fr-Latn": batch}], loss=loss, pairs=pair)
    assert np.nanmin(found.cosines) > 0.9999
    assert subject.training


def test_groups_and_layers_are_means_over_their_tensors():
    subject, loss = subject_of(small_model("llama"))
    found = gradient_cosines(subject, items_of(subject.model), loss=loss, pairs=PAIRS)
    groups = found.by_group(PAIRS[1])
    assert set(groups) == {"attention", "feedforward", "norm", "embedding", "head", "all"}
    inside = [place.part == "attention" for place in found.places]
    assert groups["attention"] == pytest.approx(found.cosines[:, 1][:, inside].mean(axis=1))
    assert groups["all"] == pytest.approx(found.cosines[:, 1].mean(axis=1))
    layers = found.by_layer(PAIRS[0])
    assert list(layers) == list(range(LAYERS))
    assert all(values.shape == (2,) for values in layers.values())


def test_a_frozen_tensor_has_no_part():
    subject, loss = subject_of(small_model("bert"))
    frozen = "model.bert.embeddings.word_embeddings.weight"
    subject.get_parameter(frozen).requires_grad_(False)
    found = gradient_cosines(subject, items_of(subject.model), loss=loss, pairs=PAIRS)
    assert frozen not in found.tensors
    for p in subject.parameters():
        p.requires_grad_(False)
    with pytest.raises(ModelError):
        gradient_cosines(subject, [], loss=loss, pairs=PAIRS)
