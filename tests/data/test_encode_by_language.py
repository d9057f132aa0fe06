"""Examples are read by the tokenizer of their language."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from isogloss.core.errors import ModelError
from isogloss.core.tokenizer import special_flags
from isogloss.data.encode import encode
from isogloss.data.labels import inventory
from isogloss.data.masking import Masker, Masking
from isogloss.data.words import word_starts
from isogloss.vocab.merge import joined, own_ids
from tiny_examples import EXAMPLES
from tiny_models import tiny_tokenizer


@pytest.fixture(scope="module")
def several():
    own = {"en-Latn": tiny_tokenizer("unigram"), "fr-Latn": tiny_tokenizer("wordpiece")}
    return joined(own, anchored=False).tokenizer


@pytest.mark.parametrize("purpose", ["train", "predict"])
@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_mixture_is_encoded_as_each_language_alone_in_the_order_it_came(several, kind, purpose):
    tags = ("fr-Latn", "en-Latn", "fr-Latn")
    some = [
        dataclasses.replace(example, language=tags[place % 3])
        for place, example in enumerate([*EXAMPLES[kind]] * 3)
    ]
    settings = {"labels": inventory(some), "max_length": 24, "purpose": purpose}
    found = encode(kind, some, several, **settings)
    assert [one.example for one in found] == sorted(one.example for one in found)
    for place, example in enumerate(some):
        alone = encode(kind, [example], several.of(example.language), **settings)
        assert [dataclasses.replace(one, example=0) for one in found if one.example == place] == alone


def test_an_example_in_a_language_without_a_tokenizer_is_refused(several):
    [example, *_] = EXAMPLES["text"]
    with pytest.raises(ModelError, match="en-Latn, fr-Latn"):
        encode("text", [dataclasses.replace(example, language="sw-Latn")], several, max_length=24)


def test_masking_knows_the_specials_and_the_word_beginnings_of_every_language(several):
    special, starts = special_flags(several), word_starts(several)
    for one in several.each:
        own = own_ids(one)
        assert (special[own] == special_flags(one)[own]).all()
        assert (starts[own] == word_starts(one)[own]).all()
    masker = Masker(several, Masking(probability=1.0, mask=0.0, random=1.0), seed=0)
    french = several.of("fra")("vieille femme maison rouge", add_special_tokens=False)["input_ids"]
    rows = np.array([french] * 200)
    put_in, _ = masker.apply(rows, np.arange(200))
    assert not set(put_in.ravel().tolist()) & set(several.all_special_ids)
    for one in several.each:
        assert own_ids(one)[put_in].any(), "any language's pieces may be put in"
