"""Hidden states of texts, in every family."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from every_family import CAUSAL, EVERY, LAYERS, small_batch, small_model
from isogloss.evaluate.states import Reading, hidden_states, readings, sentence_states
from isogloss.models.outputs import run
from tiny_models import SENTENCES, tiny_tokenizer

ROWS = [Reading((0, 5, 6, 7, 2), 1, 3), Reading((0, 9, 2), 1, 1), Reading((0, 8, 9, 10, 11, 12, 2), 1, 5)]


@pytest.fixture(params=EVERY)
def model(request):
    return small_model(request.param)


def test_states_do_not_depend_on_the_batch(model):
    together = list(hidden_states(model, ROWS, padding=1))
    alone = [next(hidden_states(model, [row], padding=1)) for row in ROWS]
    assert [states.shape for states in together] == [(LAYERS + 1, row.count, 16) for row in ROWS]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_they_are_those_of_the_model_run_as_it_is(model):
    row = ROWS[2]
    batch = small_batch(model) | {"input_ids": torch.tensor([row.ids])}
    batch |= {"attention_mask": torch.ones_like(batch["input_ids"])}
    if "decoder_input_ids" in batch:
        batch["decoder_input_ids"] = batch["decoder_input_ids"][:1]
    with torch.no_grad():
        kept = run(model, batch, hidden=range(LAYERS + 1)).hidden
    [found] = hidden_states(model, [row], padding=1)
    for number in range(LAYERS + 1):
        np.testing.assert_allclose(found[number], kept[number][0, 1:6], rtol=1e-4, atol=1e-5)


def test_sentence_states_are_the_means_of_token_states(model):
    tokens = hidden_states(model, ROWS, padding=1)
    wanted = np.stack([states.mean(axis=1) for states in tokens], axis=1)
    np.testing.assert_allclose(sentence_states(model, ROWS, padding=1), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 7, 14, 1000])
def test_however_batches_are_cut_each_row_comes_once_in_order(batch_tokens):
    model = small_model("bert")
    found = list(hidden_states(model, ROWS * 3, padding=1, batch_tokens=batch_tokens))
    assert [states.shape[1] for states in found] == [3, 1, 5] * 3


def test_no_row_gives_no_state():
    assert list(hidden_states(small_model("bert"), [], padding=1)) == []


def test_a_row_without_tokens_has_zeros():
    states = sentence_states(small_model("bert"), [Reading((0, 2), 1, 0)], padding=1)
    assert not states.any()


def test_the_model_stays_in_the_mode_it_was_in():
    model = small_model("bert", hidden_dropout_prob=0.5).train()
    one, other = (sentence_states(model, ROWS, padding=1) for _ in range(2))
    assert model.training
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("family", "style"), [("xlm-roberta", "unigram"), ("gpt2", "bytes-bare"), ("t5", "t5")]
)
def test_a_reading_marks_the_texts_own_tokens(family, style):
    tokenizer, model = tiny_tokenizer(style), small_model(family)
    own = tokenizer(SENTENCES[0], add_special_tokens=False)["input_ids"]
    [whole, cut, empty] = [
        readings([text], tokenizer, model, max_length=length)[0]
        for text, length in ((SENTENCES[0], 100), (SENTENCES[0], 5), ("", 100))
    ]
    assert list(whole.ids[whole.first : whole.first + whole.count]) == own
    assert len(cut.ids) == 5
    assert list(cut.ids[cut.first : cut.first + cut.count]) == own[: cut.count]
    assert empty.count == 0
    if family in CAUSAL:
        assert whole.ids[0] == tokenizer.eos_token_id
        assert whole.first == 1
