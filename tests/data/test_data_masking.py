from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer, models

from isogloss.core.errors import ModelError
from isogloss.data.masking import Masker, Masking
from isogloss.data.words import word_starts
from tiny_models import SENTENCES, tiny_tokenizer

TOKENIZER = tiny_tokenizer("unigram")
SPECIAL = set(TOKENIZER.all_special_ids)
ROWS = np.array(
    TOKENIZER(list(SENTENCES), padding="max_length", max_length=40, truncation=True)["input_ids"] * 20
)
DRAWS = np.arange(len(ROWS))
ORDINARY = ~np.isin(ROWS, list(SPECIAL))


def masker(seed: int = 0, **masking) -> Masker:
    return Masker(TOKENIZER, Masking(**masking), seed=seed)


def test_a_row_is_masked_alike_whatever_rows_are_beside_it():
    inputs, labels = masker().apply(ROWS, DRAWS)
    for place in (0, 7, len(ROWS) - 1):
        alone = masker().apply(ROWS[place : place + 1], DRAWS[place : place + 1])
        assert np.array_equal(alone[0][0], inputs[place])
        assert np.array_equal(alone[1][0], labels[place])


def test_other_draws_and_other_seeds_mask_otherwise():
    labels = masker().apply(ROWS, DRAWS)[1]
    assert (labels != masker().apply(ROWS, DRAWS + len(ROWS))[1]).any()
    assert (labels != masker(seed=1).apply(ROWS, DRAWS)[1]).any()


def test_labels_are_the_tokens_that_were_there_and_the_rest_is_untouched():
    inputs, labels = masker().apply(ROWS, DRAWS)
    chosen = labels != -100
    assert np.array_equal(labels[chosen], ROWS[chosen])
    assert np.array_equal(inputs[~chosen], ROWS[~chosen])


def test_special_tokens_are_never_chosen_and_never_put_in():
    inputs, labels = masker(probability=1.0, mask=0.0, random=1.0).apply(ROWS, DRAWS)
    assert np.array_equal(labels != -100, ORDINARY)
    assert not np.isin(inputs[ORDINARY], list(SPECIAL)).any()
    assert np.array_equal(inputs[~ORDINARY], ROWS[~ORDINARY])


def test_the_shares_are_those_of_bert():
    many = np.tile(ROWS, (10, 1))
    inputs, labels = masker().apply(many, np.arange(len(many)))
    chosen = labels != -100
    assert chosen.sum() / ORDINARY.sum() / 10 == pytest.approx(0.15, abs=0.01)
    masked = inputs[chosen] == TOKENIZER.mask_token_id
    kept = inputs[chosen] == many[chosen]
    assert masked.mean() == pytest.approx(0.8, abs=0.02)
    assert kept.mean() == pytest.approx(0.1, abs=0.02)


def test_masks_alone_are_a_choice():
    inputs, labels = masker(probability=0.3, mask=1.0, random=0.0).apply(ROWS, DRAWS)
    assert (inputs[labels != -100] == TOKENIZER.mask_token_id).all()


def test_each_row_with_text_has_something_to_guess_and_rows_without_have_nothing():
    short = np.array([[0, 50, 2, 1], [0, 2, 1, 1], [1, 1, 1, 1], [60, 61, 62, 63]])
    labels = masker(probability=1e-9).apply(short, np.arange(4))[1]
    assert (labels != -100).sum(axis=1).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("style", ["unigram", "wordpiece", "bytes"])
def test_whole_words_are_hidden_together(style):
    tokenizer = tiny_tokenizer(style)
    rows = np.array(tokenizer(list(SENTENCES[:11]) * 9, padding="longest")["input_ids"])
    whole = Masker(tokenizer, Masking(whole_words=True, probability=0.3), seed=0)
    labels = whole.apply(rows, np.arange(len(rows)))[1]
    starts, special = word_starts(tokenizer)[rows], np.isin(rows, tokenizer.all_special_ids)
    pairs = ~starts[:, 1:] & ~special[:, 1:] & ~special[:, :-1]
    chosen = labels != -100
    assert pairs.sum() > 100
    assert np.array_equal(chosen[:, 1:][pairs], chosen[:, :-1][pairs])
    assert 0.2 < chosen.sum() / (~special).sum() < 0.4
    assert not chosen[special].any()


@pytest.mark.parametrize("style", ["unigram", "wordpiece", "bytes", "bytes-bare", "t5"])
def test_word_beginnings_put_spaces_where_the_text_has_them(style):
    tokenizer = tiny_tokenizer(style)
    starts = word_starts(tokenizer)
    text = "Старая женщина aliona kırmızı Haus"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    beginnings = starts[ids]
    beginnings[0] = True
    words = np.split(ids, np.flatnonzero(beginnings)[1:])
    assert [tokenizer.decode(word).strip() for word in words] == text.split()


def test_letters_of_scripts_without_spaces_are_words_of_their_own():
    for style in ("unigram", "wordpiece"):
        tokenizer = tiny_tokenizer(style)
        ids = tokenizer("老太太在北京", add_special_tokens=False)["input_ids"]
        assert word_starts(tokenizer)[ids][1:].all()
    byte_level = tiny_tokenizer("bytes")
    ids = byte_level("老太太", add_special_tokens=False)["input_ids"]
    assert word_starts(byte_level)[ids][1:].sum() == 3


def test_whole_word_tokenizers_have_nothing_but_words_and_marked_ends_are_refused():
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    assert word_starts(words).tolist() == [True, True]
    ends = Tokenizer(models.BPE({"a": 0, "a</w>": 1}, [], end_of_word_suffix="</w>"))
    with pytest.raises(ModelError, match="marks word ends"):
        word_starts(ends)


def test_a_tokenizer_without_a_mask_is_refused():
    with pytest.raises(ModelError, match="without a mask token"):
        Masker(tiny_tokenizer("bytes-bare"), Masking(), seed=0)


@pytest.mark.parametrize("wrong", [{"mask": 0.9, "random": 0.2}, {"probability": 0.0}, {"whole_word": True}])
def test_impossible_masking_is_refused(wrong):
    with pytest.raises(ValidationError):
        Masking(**wrong)
