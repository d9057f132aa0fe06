"""The loss without scores is the loss with scores, in every family."""

from __future__ import annotations

import jaxtyping
import pytest
import torch

import isogloss.losses.vocabulary as portions
from every_family import CAUSAL, MASKED, language_head, small_batch, small_model
from isogloss.models.task_model import TaskModel
from isogloss.models.vocabulary_loss import has_loss_alone

UNKNOWN = ("gemma2",)
"""Its head bounds its scores."""


def text_batch(model, *, seed=0):
    """Three rows of lengths 7, 4 and 1; masked models guess some tokens, causal ones all."""
    batch = small_batch(model, seed=seed)
    real = batch["attention_mask"] == 1
    guessed = (
        real if language_head(model.config.model_type) == "causal" else real & (batch["input_ids"] % 2 == 0)
    )
    return {**batch, "labels": batch["input_ids"].masked_fill(~guessed, -100)}


def losses(model, batch):
    task = TaskModel(model.train(), None, kind="text")
    found = []
    for scores in (True, False):
        model.zero_grad()
        loss = task(batch, scores=scores).loss
        loss.backward()
        found.append((loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    return found


@pytest.mark.parametrize("model_type", [*MASKED, *CAUSAL, "deberta-v2 new"])
def test_value_and_gradients_are_those_with_scores(model_type, monkeypatch):
    monkeypatch.setitem(portions._AT_ONCE, "cpu", 100)
    monkeypatch.setattr(portions, "_FEWEST", 1)
    name, *new = model_type.split()
    model = small_model(name, **({"legacy": False} if new else {}))
    batch = text_batch(model)
    (with_scores, wanted), (alone, found) = losses(model, batch)
    torch.testing.assert_close(alone, with_scores, rtol=1e-5, atol=1e-6)
    assert found.keys() == wanted.keys()
    for key, gradient in wanted.items():
        torch.testing.assert_close(
            found[key], gradient, rtol=1e-3, atol=1e-5, msg=lambda told, key=key: f"{key}: {told}"
        )


@pytest.mark.parametrize("tied", [True, False])
def test_output_layers_of_their_own_and_shared_ones_learn_alike(tied):
    model = small_model("gpt2", tie_word_embeddings=tied)
    (_, wanted), (_, found) = losses(model, text_batch(model))
    for key, gradient in wanted.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_rows_without_a_target_give_nought(model_type):
    model = small_model(model_type)
    batch = text_batch(model)
    batch["labels"] = torch.full_like(batch["labels"], -100)
    loss = TaskModel(model, None, kind="text")(batch, scores=False).loss
    loss.backward()
    assert loss.item() == 0.0


@pytest.mark.parametrize("model_type", [*MASKED, *CAUSAL, "mt5"])
def test_the_heads_that_are_known(model_type):
    known = has_loss_alone(small_model(model_type).config)
    assert known == (model_type not in (*UNKNOWN, "mt5"))


def test_scores_are_given_to_whoever_does_not_refuse_them():
    model = small_model("gpt2")
    task, batch = TaskModel(model, None, kind="text"), text_batch(model)
    assert task(batch).logits["tokens"].shape == (6 + 3, 50)
    assert task(batch, scores=False).logits == {}


@pytest.fixture
def unchecked():
    """The checks of shapes that tests turn on look inside tensors, which a compiler's tracing forbids."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("model_type", ["gpt2", "bert"])
def test_a_compiled_model_gives_the_same_loss_and_gradients(model_type, unchecked):
    model = small_model(model_type).train()
    task, batch = TaskModel(model, None, kind="text"), text_batch(model)
    compiled = torch.compile(task, backend="eager")
    found = []
    for run in (task, compiled):
        loss = run(batch, scores=False).loss
        found.append((loss, *torch.autograd.grad(loss, model.parameters(), allow_unused=True)))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_padded_rows_without_a_mask_are_no_cause_for_a_warning(monkeypatch):
    from transformers.utils import logging

    told = []
    monkeypatch.setattr(logging.get_logger("transformers").handlers[0], "emit", told.append)
    model = small_model("gpt2")
    batch = text_batch(model)
    logging.warning_once.cache_clear()
    model.base_model(batch["input_ids"])
    assert len(told) == 1
    logging.warning_once.cache_clear()
    TaskModel(model, None, kind="text")(batch, scores=False)
    assert len(told) == 1
