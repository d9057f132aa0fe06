from __future__ import annotations

import copy
import errno
import os
import shutil

import numpy as np
import pytest

import isogloss.core.tokenizer as core_tokenizer
from isogloss.core.errors import CheckpointError, DataError, ModelError
from isogloss.data.tokens import TokenFile, token_file
from tiny_models import SENTENCES, tiny_tokenizer

TOKENIZER = tiny_tokenizer("unigram")
SEPARATOR = TOKENIZER.sep_token_id


def write(tmp_path, texts, tokenizer=TOKENIZER, **changes) -> TokenFile:
    keys = {"corpus_key": "corpus", "tokenizer_key": "tokenizer", "separator": SEPARATOR, **changes}
    return token_file(texts, tokenizer, cache=tmp_path, **keys)


def test_the_stream_is_separator_then_each_document_and_a_separator(tmp_path):
    file = write(tmp_path, SENTENCES)
    expected = [SEPARATOR]
    for text in SENTENCES:
        expected += [*TOKENIZER(text, add_special_tokens=False)["input_ids"], SEPARATOR]
    assert file.ids.tolist() == expected
    assert file.count == len(expected) - 1
    assert file.bytes == sum(len(text.encode()) for text in SENTENCES)
    assert file.dtype == "uint16"


def test_boundaries_cut_the_documents_out_again(tmp_path):
    file = write(tmp_path, ["", *SENTENCES, "  "])
    assert file.documents == len(SENTENCES)
    for place, text in enumerate(SENTENCES):
        document = file.ids[file.boundaries[place] : file.boundaries[place + 1] - 1]
        assert document.tolist() == TOKENIZER(text, add_special_tokens=False)["input_ids"]


def test_a_corpus_of_several_batches_is_written_in_order_and_reports_its_progress(tmp_path):
    seen = []
    texts = [SENTENCES[n % len(SENTENCES)] for n in range(2500)]
    file = write(tmp_path, iter(texts), progress=lambda documents, tokens: seen.append((documents, tokens)))
    assert [documents for documents, _ in seen] == [1000, 2000, 2500]
    assert seen[-1] == (file.documents, file.count)
    last = file.ids[file.boundaries[-2] : file.boundaries[-1] - 1].tolist()
    assert last == TOKENIZER(texts[-1], add_special_tokens=False)["input_ids"]


def test_long_documents_are_tokenised_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(core_tokenizer, "_CHARACTERS", 100)
    seen = []
    texts = [SENTENCES[0] * 3] * 20
    write(tmp_path, iter(texts), progress=lambda documents, tokens: seen.append(documents))
    assert max(np.diff([0, *seen])) <= -(-100 // len(texts[0]))
    assert seen[-1] == 20


def test_a_second_call_reuses_the_file_and_does_not_touch_the_corpus(tmp_path):
    first = write(tmp_path, SENTENCES)
    assert write(tmp_path, untouchable()) == first


def untouchable():
    raise AssertionError("tokenised again")
    yield ""


def test_a_file_of_another_cache_is_taken_over_and_stays_when_the_other_goes(tmp_path):
    there = write(tmp_path / "one", SENTENCES)
    ids = there.ids.tolist()
    here = write(tmp_path / "two", untouchable(), others=[tmp_path / "absent", tmp_path / "one"])
    assert here.folder.parent == tmp_path / "two"
    shutil.rmtree(tmp_path / "one")
    assert TokenFile.open(here.folder).ids.tolist() == ids


def test_a_disk_without_hard_links_gets_a_copy(tmp_path, monkeypatch):
    there = write(tmp_path / "one", SENTENCES)

    def refuse(*_):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    here = write(tmp_path / "two", untouchable(), others=[tmp_path / "one"])
    assert here.ids.tolist() == there.ids.tolist()


def test_a_damaged_file_of_another_cache_is_not_taken_over(tmp_path):
    there = write(tmp_path / "one", SENTENCES)
    ids = there.ids.tolist()
    (there.folder / "tokens.bin").write_bytes(b"\x00\x00")
    assert write(tmp_path / "two", SENTENCES, others=[tmp_path / "one"]).ids.tolist() == ids
    assert [path.name for path in (tmp_path / "two").iterdir()] == [there.folder.name]


@pytest.mark.parametrize("change", [{"corpus_key": "x"}, {"tokenizer_key": "x"}, {"separator": 0}])
def test_another_corpus_tokenizer_or_separator_makes_another_file(tmp_path, change):
    assert write(tmp_path, SENTENCES).folder != write(tmp_path, SENTENCES[:3], **change).folder


def test_an_interrupted_tokenisation_leaves_nothing(tmp_path):
    def breaking():
        yield from SENTENCES
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, breaking())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("texts", [[], ["", "   "]])
def test_an_empty_corpus_is_refused_and_leaves_nothing(tmp_path, texts):
    with pytest.raises(DataError, match="corpus is empty"):
        write(tmp_path, texts)
    assert list(tmp_path.iterdir()) == []


def test_a_shortened_file_is_refused(tmp_path):
    file = write(tmp_path, SENTENCES)
    (file.folder / "tokens.bin").write_bytes(b"\x00\x00")
    with pytest.raises(CheckpointError, match=r"tokens\.bin holds 2 bytes"):
        TokenFile.open(file.folder)
    with pytest.raises(CheckpointError, match="not a whole token file"):
        TokenFile.open(tmp_path / "nowhere")


def test_ids_above_65535_are_stored_in_32_bits(tmp_path):
    file = write(tmp_path, SENTENCES, separator=70_000)
    assert file.dtype == "uint32"
    assert file.ids[0] == file.ids[-1] == 70_000


def test_truncation_and_padding_set_on_the_tokenizer_do_not_reach_the_file(tmp_path):
    short = copy.deepcopy(TOKENIZER)
    short(SENTENCES[0], truncation=True, max_length=4, padding="max_length")
    assert np.array_equal(write(tmp_path / "a", SENTENCES, short).ids, write(tmp_path / "b", SENTENCES).ids)


def test_a_copy_is_the_same_file_not_the_same_bytes_again(tmp_path):
    file = write(tmp_path, SENTENCES)
    assert file.ids is not None
    assert copy.copy(file) == file
    assert file.__reduce__()[1] == (file.folder,)


def test_a_tokenizer_without_tokenizer_json_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no tokenizers library"):
        write(tmp_path, SENTENCES, tokenizer=object())
