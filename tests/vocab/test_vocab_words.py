"""Counting distinct words once gives the counts of whole texts, in bounded memory."""

from __future__ import annotations

import json
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from isogloss.vocab import words
from isogloss.vocab.count import count_tokens
from isogloss.vocab.train import train_vocabulary
from isogloss.vocab.words import cuts_at_spaces, tallied

TEXT = ["The old woman's house, 12 km from ¨here¨.", "Старая ӝенщина: \u200bдом ﬁne ½ ﷺ"]
ALPHABET = "aThe's1.,¨ӝ \u200b\u00a0\u3000\t\n字ﬁ½ﷺ\ufffd  "
KINDS = [
    (kind, normaliser)
    for kind in ("unigram", "wordpiece", "bpe")
    for normaliser in ("nfc", "nfkc", "lowercase")
]


@pytest.mark.parametrize(("kind", "normaliser"), KINDS)
def test_words_counted_once_count_like_whole_texts(kind, normaliser):
    full = train_vocabulary({"x": TEXT * 9}, kind=kind, size=420, normaliser=normaliser).tokenizer()
    assert cuts_at_spaces(json.loads(full.to_str()))
    size = full.get_vocab_size()

    @settings(max_examples=60)
    @given(texts=st.lists(st.text(alphabet=ALPHABET, max_size=25), max_size=4))
    def holds(texts):
        texts = [*texts, "a"]
        ids = list(
            chain.from_iterable(e.ids for e in full.encode_batch_fast(texts, add_special_tokens=False))
        )
        assert count_tokens(full, {"x": texts})["x"].tolist() == np.bincount(ids, minlength=size).tolist()

    holds()


@given(texts=st.lists(st.text(alphabet="ab \t", max_size=12), max_size=30), limit=st.sampled_from([1, 9, 99]))
def test_batches_lose_nothing_and_stay_small(texts, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "_DISTINCT", limit)
        patch.setattr(words, "_BATCH", limit)
        patch.setattr(words, "_TOGETHER", 2)
        found = list(tallied(texts, cut=True))
    parts = ((chunk, times) for tally in found for chunk, times in zip(*tally, strict=True))
    letters = "".join(chunk * times for chunk, times in parts)
    assert sorted(letters) == sorted("".join(texts))
    for chunks, _ in found:
        assert sum(map(len, chunks)) < limit + 26


def changed(**parts):
    described = json.loads(train_vocabulary({"x": TEXT}, kind="unigram", size=80).tokenizer_json)
    return described | parts


SPLIT = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}


@pytest.mark.parametrize(
    "parts",
    [
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Punctuation", "behavior": "Isolated"}},
        {"normalizer": {"type": "Prepend", "prepend": "▁"}},
        {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}},
        {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}},
        {"pre_tokenizer": SPLIT},
        {"pre_tokenizer": {**METASPACE, "split": False}},
    ],
)  # fmt: skip
def test_texts_stay_whole_where_words_might_not_be_cut_alike(parts):
    described = changed(**parts)
    Tokenizer.from_str(json.dumps(described))
    assert not cuts_at_spaces(described)


def test_an_added_token_that_reaches_over_a_space_keeps_texts_whole():
    described = changed()
    for change in ({"content": "old woman"}, {"rstrip": True}):
        token = {**described["added_tokens"][0], **change}
        assert not cuts_at_spaces({**described, "added_tokens": [token]})
