"""Perplexity by sliding windows, against one forward pass for each token."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import isogloss.evaluate.windows as module
from every_family import small_model
from isogloss.core.errors import DataError, ModelError
from isogloss.evaluate.windows import Windows, scored_windows
from isogloss.models.tasks import TaskModel


def stream(length, seed=0):
    return np.random.default_rng(seed).integers(3, 50, length).astype(np.uint16)


def by_hand(model, ids, windows):
    """-log p of each token that counts, by its place: its window begins as far back as it can."""
    found = {}
    for place in range(windows.begins, len(ids)):
        behind = max(0, place - (windows.length - windows.scored + 1))
        start = behind // windows.scored * windows.scored
        with torch.no_grad():
            logits = model.model(torch.from_numpy(ids[start:place].astype(np.int64))[None]).logits[0, -1]
        found[place] = -float(logits.double().log_softmax(-1)[int(ids[place])])
    return found


@pytest.fixture(scope="module")
def model():
    return TaskModel(small_model("gpt2"), None, kind="text")


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("scored", [1, 3, 8])
@pytest.mark.parametrize("length", [9, 10, 17, 30])
def test_each_token_counts_once_with_the_context_of_its_window(model, length, scored, first):
    windows, ids = Windows(8, scored, first), stream(length)
    wanted = by_hand(model, ids, windows)
    found = scored_windows(model, {"en-Latn": ids}, windows, batch_size=2)["en-Latn"]
    assert int(found.tokens.sum()) == len(wanted) == windows.tokens(length)
    assert math.fsum(found.nats) == pytest.approx(math.fsum(wanted.values()), rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(math.fsum(wanted.values()) / len(wanted)), rel=1e-5)
    assert found.bits_per_byte(7) == pytest.approx(math.fsum(wanted.values()) / math.log(2) / 7, rel=1e-5)


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "qwen3"])
def test_other_decoders_are_scored_alike(model_type):
    model, windows, ids = TaskModel(small_model(model_type), None, kind="text"), Windows(8, 3), stream(20)
    found = scored_windows(model, {"x": ids}, windows)["x"]
    assert math.fsum(found.nats) == pytest.approx(math.fsum(by_hand(model, ids, windows).values()), rel=1e-5)


@given(st.integers(1, 40), st.integers(1, 12), st.data(), st.booleans())
def test_windows_and_tokens_are_counted_as_they_are_cut(ids, length, data, first):
    windows = Windows(length, data.draw(st.integers(1, length)), first)
    number = windows.number(ids)
    rows = module._rows(stream(ids), windows, range(number))
    assert rows[2].any(axis=1).all()
    assert int(rows[2].sum()) == windows.tokens(ids)


def test_batches_of_any_size_and_portions_of_the_scores_change_nothing(model, monkeypatch):
    ids, windows = stream(60), Windows(8, 3)
    whole = scored_windows(model, {"x": ids}, windows)["x"]
    monkeypatch.setattr(module, "_MOST_SCORES", 1)
    single = scored_windows(model, {"x": ids}, windows)["x"]
    np.testing.assert_allclose(single.nats, whole.nats, rtol=1e-5)
    np.testing.assert_array_equal(single.tokens, whole.tokens)


def test_each_language_is_scored_by_itself(model):
    streams = {"en-Latn": stream(30, 1), "fr-Latn": stream(40, 2)}
    both = scored_windows(model, streams, Windows(8, 4))
    for tag, ids in streams.items():
        np.testing.assert_allclose(both[tag].nats, scored_windows(model, {tag: ids}, Windows(8, 4))[tag].nats)


def test_a_limit_counts_whole_windows_from_the_beginning(model):
    ids, windows = stream(60), Windows(8, 3)
    whole, some = (scored_windows(model, {"x": ids}, windows, most=most)["x"] for most in (None, 7))
    np.testing.assert_array_equal(some.tokens, [3, 3, 3])
    np.testing.assert_allclose(some.nats, whole.nats[:3], rtol=1e-5)


def test_what_cannot_be_scored_is_refused(model):
    with pytest.raises(DataError, match="context alone"):
        scored_windows(model, {"x": stream(6)}, Windows(8, 3))
    with pytest.raises(ModelError, match="windows of 31 tokens"):
        scored_windows(model, {"x": stream(60)}, Windows(31, 3))
    with pytest.raises(ModelError, match="masked"):
        scored_windows(TaskModel(small_model("bert"), None, kind="text"), {"x": stream(60)}, Windows(8, 3))


def test_the_model_is_left_in_its_mode(model):
    model.train()
    scored_windows(model, {"x": stream(20)}, Windows(8, 3))
    assert model.training
    model.eval()
