"""What vocabularies of several sizes keep is what trimming to these sizes keeps."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from isogloss.vocab.curve import vocabulary_sizes
from isogloss.vocab.rules import BySize
from isogloss.vocab.trim import calibrate, trim_vocabulary
from tiny_models import SENTENCES, tiny_tokenizer

CORPORA = {"en-Latn": list(SENTENCES[:2]), "de-Latn": list(SENTENCES[4:5])}


@pytest.mark.parametrize("style", ["unigram", "wordpiece", "bytes"])
def test_each_size_is_what_trimming_to_it_gives(style):
    tokenizer = tiny_tokenizer(style)
    found = vocabulary_sizes(calibrate(tokenizer, CORPORA))
    sizes = [one.size for one in found]
    assert sizes == sorted(set(sizes))
    assert len(sizes) > 2
    for one in found:
        trimmed = trim_vocabulary(tokenizer, CORPORA, rule=BySize(one.size))
        assert len(trimmed.kept) == one.size
        assert {language: 1 - lost for language, lost in trimmed.lost.items()} == one.kept
        written = Tokenizer.from_str(trimmed.tokenizer_json).to_str(pretty=True)
        assert len(written.encode()) == one.tokenizer_bytes


def test_more_pieces_keep_more_and_all_of_them_everything():
    found = vocabulary_sizes(calibrate(tiny_tokenizer("unigram"), CORPORA))
    kept = [one.least_kept for one in found]
    assert kept == sorted(kept)
    assert found[-1].least_kept == 1
