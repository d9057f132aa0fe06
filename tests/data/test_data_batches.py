from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import default_collate

from isogloss.core.errors import DataError, RecipeError
from isogloss.data.batches import LanguageModelBatches, WholeFileBatches, layout_for
from isogloss.data.buckets import BucketedBatches
from isogloss.data.masking import Masking
from isogloss.data.mixture import Mixture
from isogloss.data.tokens import token_file
from isogloss.vocab.merge import joined, own_ids
from tiny_models import SENTENCES, tiny_tokenizer

TOKENIZER = tiny_tokenizer("unigram")
TEXTS = {"en-Latn": SENTENCES[:2] * 6, "ru-Cyrl": SENTENCES[5:7], "sw-Latn": SENTENCES[8:10] * 3}
SHARES = {"en-Latn": 0.5, "ru-Cyrl": 0.3, "sw-Latn": 0.2}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    cache = tmp_path_factory.mktemp("tokens")
    return {
        language: token_file(
            texts,
            TOKENIZER,
            cache=cache,
            corpus_key=language,
            tokenizer_key="t",
            separator=TOKENIZER.sep_token_id,
        )
        for language, texts in TEXTS.items()
    }


def made(files, *, seed=0, **changes) -> LanguageModelBatches:
    settings = {"length": 16, "batch_size": 4, **changes}
    return LanguageModelBatches(files, Mixture(SHARES, seed=seed), TOKENIZER, **settings)


def test_what_is_put_in_the_place_of_a_token_is_a_piece_of_its_own_language(tmp_path):
    """Of languages with vocabularies of their own; the reader of the other language says nothing here."""
    own = {"en-Latn": tiny_tokenizer("unigram"), "ru-Cyrl": tiny_tokenizer("wordpiece")}
    joint = joined(own, anchored=False).tokenizer
    files = {
        tag: token_file(
            TEXTS[tag],
            joint.of(tag),
            cache=tmp_path,
            corpus_key=tag,
            tokenizer_key=tag,
            separator=joint.sep_token_id,
        )
        for tag in own
    }
    mixture = Mixture({"en-Latn": 0.5, "ru-Cyrl": 0.5}, seed=0)
    masking = Masking(probability=0.9, mask=0.0, random=1.0)
    batches = LanguageModelBatches(files, mixture, joint, length=16, batch_size=8, masking=masking)
    pieces = {number: own_ids(joint.of(tag)) for number, tag in enumerate(own)}
    seen = 0
    for batch in (batches[index] for index in range(5)):
        put_in = (batch["labels"] != -100) & (batch["labels"] != batch["input_ids"])
        for row, language in enumerate(batch["language"].tolist()):
            ids = batch["input_ids"][row][put_in[row]].numpy()
            assert pieces[language][ids].all()
            seen += len(ids)
    assert seen > 100


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def unmasked(batch) -> torch.Tensor:
    return torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])


@pytest.mark.parametrize("objective", ["masked", "causal"])
@pytest.mark.parametrize("monolingual", [False, True])
def test_a_batch_depends_on_seed_and_index_alone(files, objective, monolingual):
    forward = [made(files, objective=objective, monolingual=monolingual)[i] for i in range(30)]
    jumping = made(files, objective=objective, monolingual=monolingual)
    for index in (29, 3, 0, 17):
        assert same(jumping[index], forward[index])
    assert not same(made(files, seed=1, objective=objective, monolingual=monolingual)[3], forward[3])


def test_masked_rows_are_framed_and_their_masks_hide_what_the_labels_say(files):
    batch = made(files)[0]
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {
        "input_ids": (4, 16), "attention_mask": (4, 16), "labels": (4, 16), "language": (4,)
    }  # fmt: skip
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())
    for row, attended in zip(unmasked(batch), batch["attention_mask"], strict=True):
        length = int(attended.sum())
        assert row[0] == TOKENIZER.cls_token_id
        assert row[length - 1] == TOKENIZER.sep_token_id
        assert (row[length:] == TOKENIZER.pad_token_id).all()
        assert (attended[:length] == 1).all()


def test_the_language_of_a_row_is_the_language_of_its_text(files):
    batches = made(files)
    for index in range(10):
        batch = batches[index]
        for row, language in zip(unmasked(batch), batch["language"], strict=True):
            text = " ".join(TEXTS[batches.languages[int(language)]])
            words = TOKENIZER.decode(row, skip_special_tokens=True).split()
            assert all(word in text for word in words)


def test_monolingual_batches_hold_one_language_and_the_mixture_is_over_batches(files):
    batches = made(files, monolingual=True, batch_size=2)
    languages = [batches[index]["language"] for index in range(400)]
    assert all(len(set(row.tolist())) == 1 for row in languages)
    counts = Counter(int(row[0]) for row in languages)
    assert counts[0] / 400 == pytest.approx(0.5, abs=0.07)
    assert counts[2] / 400 == pytest.approx(0.2, abs=0.07)


@pytest.mark.parametrize("monolingual", [False, True])
def test_each_epoch_of_a_language_has_every_sequence_once(files, monolingual):
    batches = made(files, monolingual=monolingual)
    stream: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for index in range(60):
        for language, sequence in zip(*batches._plan(index), strict=True):
            stream[int(language)].append(int(sequence))
    for language, name in enumerate(batches.languages):
        size = batches.layout.sequences(files[name])
        epochs = len(stream[language]) // size
        assert epochs >= 1
        for epoch in range(epochs):
            assert sorted(stream[language][epoch * size : (epoch + 1) * size]) == list(range(size))


@pytest.mark.parametrize("objective", ["masked", "causal"])
@pytest.mark.parametrize("length", [4, 11, 400])
def test_a_pass_over_a_file_has_the_tokens_that_are_announced(files, objective, length):
    shape = {"length": length, "batch_size": 2, "objective": objective}
    announced = LanguageModelBatches(files, Mixture(dict.fromkeys(files, 1.0), seed=0), TOKENIZER, **shape)
    for language, file in files.items():
        whole = WholeFileBatches(file, TOKENIZER, seed=0, **shape)
        counted = sum(int(whole[index]["attention_mask"].sum()) for index in range(len(whole)))
        assert announced.tokens_in_a_pass()[language] == counted


def test_a_whole_file_of_masked_text_read_back_is_the_stream(files):
    file = files["en-Latn"]
    batches = WholeFileBatches(file, TOKENIZER, length=11, batch_size=3, seed=0, language=4)
    read: list[int] = []
    for index in range(len(batches)):
        batch = batches[index]
        assert set(batch["language"].tolist()) == {4}
        for row, attended in zip(unmasked(batch), batch["attention_mask"], strict=True):
            read += row[1 : int(attended.sum()) - 1].tolist()
    assert read == file.ids[1:].tolist()
    with pytest.raises(IndexError):
        batches[len(batches)]


@pytest.mark.parametrize("length", [2, 3, 16, 1000])
def test_a_causal_pass_predicts_every_token_of_the_file_exactly_once(files, length):
    file = files["ru-Cyrl"]
    batches = WholeFileBatches(file, TOKENIZER, length=length, batch_size=4, seed=0, objective="causal")
    predicted: list[int] = []
    for batch in (batches[index] for index in range(len(batches))):
        for labels in batch["labels"]:
            predicted += [label for label in labels[1:].tolist() if label != -100]
    assert predicted == file.ids[1:].tolist()


def test_causal_labels_are_the_inputs_and_padding_is_ignored(files):
    batches = made(files, objective="causal", length=7)
    for index in range(20):
        batch = batches[index]
        attended = batch["attention_mask"] == 1
        assert torch.equal(batch["labels"][attended], batch["input_ids"][attended])
        assert (batch["labels"][~attended] == -100).all()


def test_causal_batches_work_for_a_tokenizer_without_padding(tmp_path):
    tokenizer = tiny_tokenizer("bytes-bare")
    file = token_file(
        SENTENCES,
        tokenizer,
        cache=tmp_path,
        corpus_key="c",
        tokenizer_key="t",
        separator=tokenizer.eos_token_id,
    )
    mixture = Mixture({"en-Latn": 1.0}, seed=0)
    batches = LanguageModelBatches(
        {"en-Latn": file}, mixture, tokenizer, length=32, batch_size=2, objective="causal"
    )
    ends = sum(int((batches[i]["labels"] == tokenizer.eos_token_id).sum()) for i in range(len(batches)))
    assert ends >= len(SENTENCES) - 4


def test_masking_of_the_same_sequence_changes_from_epoch_to_epoch_but_not_between_passes(files):
    file = files["ru-Cyrl"]
    one_row = {"length": 64, "batch_size": 1, "masking": Masking(probability=0.5)}
    batches = LanguageModelBatches(files, Mixture({"ru-Cyrl": 1.0}, seed=0), TOKENIZER, **one_row)
    sequences = batches.layout.sequences(file)
    masked = [batches[index]["input_ids"].tolist() for index in range(4 * sequences)]
    assert len({str(row) for row in masked}) == 4 * sequences
    first, again = (WholeFileBatches(file, TOKENIZER, seed=3, **one_row)[0] for _ in range(2))
    assert same(first, again)


def test_a_length_without_room_and_a_language_without_a_file_are_refused(files):
    with pytest.raises(RecipeError, match="at least 3 for a masked model"):
        layout_for(TOKENIZER, length=2, objective="masked")
    with pytest.raises(RecipeError, match="at least 2 for a causal model"):
        layout_for(TOKENIZER, length=1, objective="causal")
    with pytest.raises(RecipeError, match="no tokens for tr-Latn"):
        LanguageModelBatches(files, Mixture({"tr-Latn": 1.0}, seed=0), TOKENIZER, length=8, batch_size=1)


def bucketed(lengths, *, batch_size=4, seed=0) -> BucketedBatches[int]:
    items = list(range(len(lengths)))
    return BucketedBatches(
        items,
        lambda chosen: {"item": default_collate(chosen)},
        lengths=lengths,
        batch_size=batch_size,
        seed=seed,
    )


@given(
    lengths=st.lists(st.integers(1, 99), min_size=1, max_size=500),
    batch_size=st.integers(1, 9),
    epoch=st.integers(0, 5),
)
def test_an_epoch_of_buckets_holds_every_example_once(lengths, batch_size, epoch):
    batches = bucketed(lengths, batch_size=batch_size)
    drawn = [place for m in range(len(batches)) for place in batches.places(epoch * len(batches) + m)]
    assert sorted(drawn) == list(range(len(lengths)))


def test_a_bucketed_batch_depends_on_seed_epoch_and_place_alone():
    lengths = [(7 * n) % 50 + 1 for n in range(300)]
    forward = [bucketed(lengths)[index]["item"].tolist() for index in range(200)]
    jumping = bucketed(lengths)
    assert [jumping[index]["item"].tolist() for index in (199, 3, 80)] == [forward[i] for i in (199, 3, 80)]
    assert forward[:75] != forward[75:150]
    assert forward != [bucketed(lengths, seed=1)[index]["item"].tolist() for index in range(200)]


def test_buckets_waste_little_padding():
    lengths = [(n * 7919) % 400 + 1 for n in range(2000)]
    batches = bucketed(lengths, batch_size=16)
    rows = [[lengths[place] for place in batches.places(m)] for m in range(len(batches))]
    padded = sum(max(row) * len(row) for row in rows)
    assert sum(lengths) / padded > 0.95


def test_no_examples_are_refused():
    with pytest.raises(DataError, match="no example"):
        bucketed([])
