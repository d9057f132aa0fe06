"""Rows hold what the examples say, whatever the vocabulary: words, answers and bytes are all there."""

from __future__ import annotations

import dataclasses
import itertools
import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import DataError, ModelError
from isogloss.data.encode import encode
from isogloss.data.features import collate
from isogloss.data.labels import LabelIndex, inventory
from isogloss.data.pieces import (
    Word,
    bare_spaces,
    cap_words,
    frame_of,
    padding_id,
    pieces,
    windows,
    word_pieces,
)
from isogloss.data.records import (
    GAP,
    GapExample,
    LabelExample,
    SpanExample,
    TagsExample,
    TextExample,
    TreeExample,
)
from tiny_examples import EXAMPLES
from tiny_models import TOKENIZERS, tiny_tokenizer

WORDS = st.lists(
    st.one_of(
        st.sampled_from(
            ["The", "woman", "Nairobi", "Старая", "кра́сный", "老太太", "ng'ombe", "Hà Nội", "दि"]
        ),
        st.text(min_size=0, max_size=6),
    ),
    max_size=12,
).map(tuple)


@pytest.mark.parametrize("style", TOKENIZERS)
def test_rows_are_framed_as_the_tokenizer_frames_them(style):
    tokenizer = tiny_tokenizer(style)
    frame = frame_of(tokenizer)
    one, two = pieces(tokenizer, ["The old woman", "saw Nairobi"])
    single = tokenizer("The old woman", return_token_type_ids=True)
    pair = tokenizer("The old woman", "saw Nairobi", return_token_type_ids=True)
    assert frame.wrap(one.ids) == (single["input_ids"], single["token_type_ids"])
    assert frame.wrap(one.ids, two.ids) == (pair["input_ids"], pair["token_type_ids"])
    start = frame.offset(one.ids)
    assert pair["input_ids"][start : start + len(two.ids)] == two.ids
    assert frame.wrap([])[0]


@pytest.mark.parametrize("style", ["unigram", "wordpiece", "bytes", "t5"])
def test_words_are_tokenised_as_transformers_does_it(style):
    tokenizer = tiny_tokenizer(style)
    words = ("The", "old", "woman", "saw", "Nairobi", "老太太", "ng'ombe", ".")
    (found,) = word_pieces(tokenizer, [words])
    row = tokenizer(list(words), is_split_into_words=True, add_special_tokens=False)
    assert [token for word in found for token in word.ids] == row["input_ids"]
    assert [i for i, word in enumerate(found) for _ in word.ids] == row.word_ids()


def test_bare_byte_pairs_see_the_space_before_each_word():
    tokenizer = tiny_tokenizer("bytes-bare")
    (found,) = word_pieces(tokenizer, [("saw", "the", "cow")])
    assert [t for w in found for t in w.ids] == tokenizer(" saw the cow")["input_ids"]


@pytest.mark.parametrize("style", TOKENIZERS)
@given(words=WORDS)
def test_every_word_has_a_token_that_is_more_than_a_space(style, words):
    tokenizer = tiny_tokenizer(style)
    (found,) = word_pieces(tokenizer, [words])
    bare = bare_spaces(tokenizer)
    assert len(found) == len(words)
    for word in found:
        assert word.ids
        assert word.ids[word.first] not in bare or set(word.ids) <= bare


def test_words_without_a_subword_become_an_unknown_token():
    tokenizer = tiny_tokenizer("wordpiece")
    (found,) = word_pieces(tokenizer, [("saw", "\u200b", "", "cow")])
    assert [word.ids for word in found[1:3]] == [[tokenizer.unk_token_id]] * 2
    features = encode(
        "tags",
        [TagsExample("a", "en-Latn", ("saw", "\u200b", "", "cow"), ("O", "X", "Y", "O"))],
        tokenizer,
        labels=("O", "X", "Y"),
        max_length=32,
    )
    assert [features[0].labels[position] for _, position in features[0].words] == [0, 1, 2, 0]


@given(st.lists(st.integers(1, 30), max_size=60), st.integers(2, 40))
def test_windows_own_every_word_once_and_fit(lengths, room):
    lengths = [len(word.ids) for word in cap_words([Word([0] * n, 0) for n in lengths], room)]
    found = list(windows(lengths, room))
    assert [i for w in found for i in range(w.own_first, w.own_last)] == list(range(len(lengths)))
    for window in found:
        assert window.first <= window.own_first <= window.own_last <= window.last
        assert sum(lengths[window.first : window.last]) <= room
    if sum(lengths) <= room:
        assert len(found) == 1


def test_words_in_the_middle_of_a_long_sentence_have_context_on_both_sides():
    found = list(windows([1] * 100, 40))
    for before, after in itertools.pairwise(found):
        assert before.last - before.own_last == 5
        assert after.own_first - after.first == 5


@pytest.mark.parametrize("style", TOKENIZERS)
@pytest.mark.parametrize("kind", ["tags", "tree"])
def test_long_sentences_lose_no_word(kind, style):
    tokenizer = tiny_tokenizer(style)
    words = tuple("The old woman saw Nairobi Старая женщина".split()) * 20
    labels = tuple(f"L{i % 3}" for i in range(len(words)))
    example = {
        "tags": TagsExample("a", "en-Latn", words, labels),
        "tree": TreeExample("a", "en-Latn", words, labels, tuple(range(len(words))), labels),
    }[kind]
    features = encode(kind, [example], tokenizer, labels=("L0", "L1", "L2"), max_length=24)
    (expected,) = word_pieces(tokenizer, [words])
    tokens = [one.rows[row][position] for one in features for row, position in one.words]
    assert tokens == [word.ids[word.first] for word in expected]
    assert all(len(row) <= 24 for one in features for row in one.rows)
    if kind == "tags":
        assert [f.first_word for f in features] == sorted({f.first_word for f in features})
        assert [f.labels[p] for f in features for _, p in f.words] == [i % 3 for i in range(len(words))]
        assert all(sum(x != -100 for x in f.labels) == len(f.words) for f in features)
    else:
        assert features[0].labels == list(range(len(words)))


@pytest.mark.parametrize("style", TOKENIZERS)
@pytest.mark.parametrize("max_length", [16, 64])
def test_spans_decode_to_their_answers(style, max_length):
    tokenizer = tiny_tokenizer(style)
    features = encode("span", EXAMPLES["span"], tokenizer, max_length=max_length, stride=6)
    seen = set()
    for one in features:
        start, end = one.labels
        if one.offsets[start][0] >= 0:
            example = EXAMPLES["span"][one.example]
            text = example.context[one.offsets[start][0] : one.offsets[end][1]]
            assert text.strip() == example.answers[0][1]
            seen.add(one.example)
        else:
            assert (start, end) == (0, 0)
    assert len(seen) >= (6 if max_length == 64 else 3)
    if max_length == 64 and "bytes" not in style:
        assert len(seen) == 8


@pytest.mark.parametrize("style", TOKENIZERS)
def test_span_windows_cover_the_whole_context(style):
    tokenizer = tiny_tokenizer(style)
    context = "दिल्ली में लाल घर है। 老太太在北京看见了红房子。 The cafe\u0301 in Paris. " * 6
    example = SpanExample("a", "hi-Deva", "Where?", context, ())
    features = encode("span", [example], tokenizer, max_length=48, purpose="predict")
    covered = {i for one in features for begin, end in one.offsets if begin >= 0 for i in range(begin, end)}
    # NFKC joins a letter and its accent, and the offset then covers the letter alone.
    wanted = (i for i, c in enumerate(context) if not c.isspace() and not unicodedata.combining(c))
    assert covered.issuperset(wanted)
    assert len(features) > 1
    assert all(one.labels is None and one.length <= 48 for one in features)


def test_an_answer_that_is_not_where_it_says_is_an_error():
    example = SpanExample("q1", "en-Latn", "Where?", "In Nairobi.", ((4, "Nairobi"),))
    with pytest.raises(DataError, match="the answer 'Nairobi' is not at 4"):
        encode("span", [example], tiny_tokenizer("unigram"), max_length=32)


@pytest.mark.parametrize("style", ["unigram", "wordpiece", "bytes"])
def test_masked_gaps_ask_for_exactly_the_candidate(style):
    tokenizer = tiny_tokenizer(style)
    for one in encode("gap", EXAMPLES["gap"], tokenizer, max_length=64):
        example = EXAMPLES["gap"][one.example]
        hidden = [label for label in one.labels if label != -100]
        if tokenizer.unk_token_id not in hidden:
            found = tokenizer.decode(hidden).replace(" ", "")
            assert found == example.answers[0].replace(" ", "")
        masks = [token == tokenizer.mask_token_id for token in one.rows[0]]
        assert masks == [label != -100 for label in one.labels]


def test_training_on_gaps_keeps_the_right_candidates_and_long_prompts_keep_their_gap():
    tokenizer = tiny_tokenizer("unigram")
    assert len(encode("gap", EXAMPLES["gap"], tokenizer, max_length=64)) == 8
    long = GapExample("a", "en-Latn", "house " * 50 + GAP + " house" * 50, ("Nairobi",), ("Nairobi",))
    (one,) = encode("gap", [long], tokenizer, max_length=20)
    assert one.length == 20
    assert tokenizer.mask_token_id in one.rows[0]


def test_gaps_for_decoders_score_the_whole_text():
    tokenizer = tiny_tokenizer("bytes-bare")
    one = encode("gap", EXAMPLES["gap"], tokenizer, max_length=64, objective="causal")[0]
    assert one.rows[0][0] == tokenizer.bos_token_id
    assert one.labels == [-100, *one.rows[0][1:]]


def test_gaps_for_encoder_decoders_are_told_after_a_sentinel():
    tokenizer = tiny_tokenizer("t5")
    one = encode("gap", EXAMPLES["gap"], tokenizer, max_length=64, objective="seq2seq")[0]
    assert tokenizer.decode(one.labels).replace(" ", "") == "<extra_id_0>Nairobi<extra_id_1>"
    assert "<extra_id_0>" in tokenizer.decode(one.rows[0])


@pytest.mark.parametrize(
    ("style", "objective"), [("unigram", "masked"), ("bytes-bare", "causal"), ("t5", "seq2seq")]
)
@pytest.mark.parametrize("max_length", [12, 64])
def test_every_token_of_a_text_is_scored_once(style, objective, max_length):
    tokenizer = tiny_tokenizer(style)
    text = "Старая женщина увидела красный дом в Москве. The old woman saw London. "
    features = encode(
        "text", [TextExample("a", "ru-Cyrl", text)], tokenizer, max_length=max_length, objective=objective
    )
    wanted = sorted(pieces(tokenizer, [text])[0].ids)
    extra = {-100, *(tokenizer.convert_tokens_to_ids(f"<extra_id_{i}>") for i in range(20))}
    if style != "t5":
        extra = {-100}
    assert sorted(token for one in features for token in one.labels if token not in extra) == wanted
    assert sum(one.n_bytes for one in features) == len(text.encode())
    assert all(one.length <= max_length for one in features)


def test_of_a_long_pair_the_longer_is_cut_first():
    tokenizer = tiny_tokenizer("wordpiece")
    example = LabelExample("a", "en-Latn", "house " * 40, "old woman", "x")
    (one,) = encode("label", [example], tokenizer, labels=("x",), max_length=20)
    assert one.length == 20
    assert tokenizer.decode(one.rows[0], skip_special_tokens=True).endswith("old woman")


@pytest.mark.parametrize("kind", list(EXAMPLES))
@pytest.mark.parametrize("style", ["unigram", "wordpiece"])
def test_collating_pads_without_touching_content(kind, style):
    tokenizer = tiny_tokenizer(style)
    features = encode(kind, EXAMPLES[kind], tokenizer, labels=inventory(EXAMPLES[kind]), max_length=64)
    pad = padding_id(tokenizer)
    batch = collate(features, pad)
    rows = [row for one in features for row in one.rows]
    assert batch["input_ids"].dtype == torch.long
    for row, ids, mask in zip(rows, batch["input_ids"], batch["attention_mask"], strict=True):
        assert ids[: len(row)].tolist() == row
        assert mask.sum() == len(row)
        assert (ids[len(row) :] == pad).all()
    assert ("token_type_ids" in batch) == (style == "wordpiece")
    if kind == "tree":
        flat = batch["input_ids"].flatten()
        for one, words in zip(features, batch["words"], strict=True):
            chosen = flat[words[words >= 0]].tolist()
            assert chosen == [one.rows[row][position] for row, position in one.words]


def test_prediction_reads_no_gold():
    tokenizer = tiny_tokenizer("unigram")
    for kind in ("label", "choice", "tags", "tree", "span"):
        features = encode(kind, EXAMPLES[kind], tokenizer, max_length=64, purpose="predict")
        assert all(one.labels is None for one in features)
        assert not {"labels", "heads", "start_positions"} & collate(features, 1).keys()


@pytest.mark.parametrize("kind", ["label", "tags", "tree"])
def test_a_label_the_model_does_not_know_is_named(kind):
    example = EXAMPLES[kind][3]
    known = [label for label in inventory(EXAMPLES[kind]) if label not in ("entailment", "B-PER", "root")]
    with pytest.raises(DataError, match=f"{example.id!r} has the label") as error:
        encode(kind, [example], tiny_tokenizer("unigram"), labels=known, max_length=64)
    assert ", ".join(known) in str(error.value)


def test_training_examples_without_gold_are_named():
    blind = [
        ("label", dataclasses.replace(EXAMPLES["label"][1], label=None)),
        ("choice", dataclasses.replace(EXAMPLES["choice"][1], answer=None)),
        ("tags", dataclasses.replace(EXAMPLES["tags"][1], tags=None)),
        ("gap", dataclasses.replace(EXAMPLES["gap"][1], answers=())),
    ]
    for kind, example in blind:
        with pytest.raises(DataError, match=f"{example.id!r} has no gold"):
            encode(kind, [example], tiny_tokenizer("unigram"), labels=("O",), max_length=64)


def test_inventories_are_sorted_with_o_first():
    assert inventory(EXAMPLES["tags"]) == ("O", "B-LOC", "B-PER", "I-PER")
    assert inventory(EXAMPLES["label"]) == ("contradiction", "entailment", "neutral")
    assert inventory(EXAMPLES["text"]) == ()
    with pytest.raises(DataError, match="no labels"):
        LabelIndex(()).number("x", example="a")


def test_what_a_tokenizer_or_a_length_cannot_do_is_said():
    with pytest.raises(ModelError, match="no mask token"):
        encode("gap", EXAMPLES["gap"], tiny_tokenizer("bytes-bare"), max_length=64)
    with pytest.raises(ModelError, match="no sentinels"):
        encode("gap", EXAMPLES["gap"], tiny_tokenizer("unigram"), max_length=64, objective="seq2seq")
    with pytest.raises(DataError, match="max_length 3"):
        encode("tags", EXAMPLES["tags"], tiny_tokenizer("unigram"), labels=("O",), max_length=3)
    with pytest.raises(DataError, match="exactly one"):
        encode(
            "gap",
            [GapExample("a", "en-Latn", "no gap", ("x",), ("x",))],
            tiny_tokenizer("unigram"),
            max_length=9,
        )
    with pytest.raises(ModelError, match="slow tokenizer"):
        frame_of(object())
