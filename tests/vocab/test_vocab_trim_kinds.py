"""Every kind of vocabulary, drawn at random, trimmed for random text: the text is cut as before."""

from __future__ import annotations

import json
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from isogloss.core.errors import RecipeError
from isogloss.vocab.count import count_tokens
from isogloss.vocab.merges import Merges
from isogloss.vocab.rules import ByCoverage, ByProbability, BySize
from isogloss.vocab.trim import trim_vocabulary

LETTERS = "abcdeж"
UNKNOWN = "[UNK]"
TEXTS = st.lists(
    st.text(alphabet=LETTERS + LETTERS + "  q.\t", min_size=1, max_size=30).filter(str.strip),
    min_size=1,
    max_size=6,
)
WORDS = st.lists(st.text(alphabet=LETTERS, min_size=2, max_size=6), max_size=40, unique=True)
ROWS = ["the hippopotamus eats hello world", "hello pot, hello hippo"]

METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BERT = {"type": "BertPreTokenizer"}
SPECIAL = {"id": 0, "content": UNKNOWN, "special": True} | dict.fromkeys(
    ("single_word", "lstrip", "rstrip", "normalized"), False
)


def tokenizer(model, splitter, **parts):
    described = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [SPECIAL],
        "normalizer": None,
        "pre_tokenizer": splitter,
        "post_processor": None,
        "decoder": None,
        "model": model,
        **parts,
    }
    return Tokenizer.from_str(json.dumps(described))


def ids_of(pieces):
    return {piece: index for index, piece in enumerate(dict.fromkeys([UNKNOWN, *pieces]))}


@st.composite
def wordpieces(draw):
    words = draw(WORDS)
    letters = draw(st.sets(st.sampled_from(LETTERS)))
    pieces = [*letters, *(f"##{letter}" for letter in draw(st.sets(st.sampled_from(LETTERS)))), *words]
    pieces += [f"##{word}" for word in draw(WORDS)]
    model = {"type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##"}
    return tokenizer({**model, "max_input_chars_per_word": 12, "vocab": ids_of(pieces)}, BERT)


@st.composite
def unigrams(draw):
    words = draw(WORDS)
    pieces = dict.fromkeys(["▁", *draw(st.sets(st.sampled_from(LETTERS))), *words, *(f"▁{w}" for w in words)])
    scores = draw(st.lists(st.integers(-30, -1), min_size=len(pieces), max_size=len(pieces)))
    vocabulary = [[UNKNOWN, 0.0], *([piece, score / 2] for piece, score in zip(pieces, scores, strict=True))]
    return tokenizer({"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": False}, METASPACE)


def random_merges(draw, letters):
    """Pairs of pieces there are, each pair once; a result may be made in several ways."""
    pieces, merges = sorted(letters), []
    for left, right in draw(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), max_size=40)):
        pair = [pieces[left % len(pieces)], pieces[right % len(pieces)]]
        if pair not in merges and len("".join(pair)) <= 12:
            merges.append(pair)
            pieces.append("".join(pair))
    return list(dict.fromkeys(pieces)), merges


def bpe(pieces, merges, splitter, *, unknown=UNKNOWN, **settings_):
    model = {"type": "BPE", "unk_token": unknown, "vocab": ids_of(pieces), "merges": merges}
    return tokenizer({**model, **settings_}, splitter)


@st.composite
def letter_bpes(draw):
    letters = draw(st.sets(st.sampled_from(LETTERS), min_size=1)) | {"▁"}
    splitter = draw(st.sampled_from([METASPACE, None]))
    return bpe(*random_merges(draw, letters), splitter, fuse_unk=draw(st.booleans()))


@st.composite
def byte_bpes(draw):
    letters = "abcdeÐ¶Ġ"  # the bytes of the letters, in ByteLevel's spelling
    pieces, merges = random_merges(draw, letters)
    whole_words = draw(st.lists(st.text(alphabet="abcde", min_size=2, max_size=5), max_size=8, unique=True))
    ignoring = draw(st.booleans())
    extra = [*whole_words, *(f"Ġ{word}" for word in whole_words)] if ignoring else []
    everything = [*sorted(ByteLevel.alphabet()), *pieces, *extra]
    return bpe(everything, merges, BYTES, unknown=None, ignore_merges=ignoring)


@st.composite
def falling_back_bpes(draw):
    pieces, merges = random_merges(draw, draw(st.sets(st.sampled_from(LETTERS), min_size=1)) | {"▁"})
    everything = [*(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    normaliser = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    model = {"type": "BPE", "unk_token": UNKNOWN, "vocab": ids_of(everything), "merges": merges}
    return tokenizer({**model, "byte_fallback": True, "fuse_unk": True}, None, normalizer=normaliser)


KINDS = {
    "wordpiece": wordpieces(),
    "unigram": unigrams(),
    "bpe": letter_bpes(),
    "byte-level bpe": byte_bpes(),
    "bpe falling back to bytes": falling_back_bpes(),
}


def cut(one, text):
    return one.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_trimmed_for_is_cut_as_before(kind):
    @settings(max_examples=150)
    @given(full=KINDS[kind], texts=TEXTS, alphabet=st.sampled_from(["seen", "scripts", "whole"]))
    def holds(full, texts, alphabet):
        trimmed = trim_vocabulary(full, {"x": texts}, rule=ByProbability(0), alphabet=alphabet)
        new = Tokenizer.from_str(trimmed.tokenizer_json)
        assert sorted(new.get_vocab().values()) == list(range(len(trimmed.kept)))
        assert trimmed.lost == {"x": 0.0}
        for text in texts:
            assert trimmed.kept[cut(new, text)].tolist() == cut(full, text), text

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_any_rule_keeps_to_what_it_says_and_gives_a_tokenizer_that_loads(kind):
    @settings(max_examples=40)
    @given(full=KINDS[kind], texts=TEXTS, other=TEXTS, share=st.sampled_from([0.0, 0.05, 0.5, 0.9, 1.0]))
    def holds(full, texts, other, share):
        corpora = {"x": texts, "y": other}
        every = trim_vocabulary(full, corpora, rule=ByCoverage(1.0), alphabet="seen")
        by_coverage = trim_vocabulary(full, corpora, rule=ByCoverage(share), alphabet="seen")
        assert max(by_coverage.lost.values()) <= 1 - share + 1e-9
        assert set(by_coverage.kept) <= set(every.kept)
        for size in (len(by_coverage.kept), len(every.kept), full.get_vocab_size()):
            by_size = trim_vocabulary(full, corpora, rule=BySize(size), alphabet="seen")
            assert len(by_size.kept) <= size
        assert by_size.kept.tolist() == every.kept.tolist()
        for trimmed in (by_coverage, by_size):
            Tokenizer.from_str(trimmed.tokenizer_json).encode_batch(texts)

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_counting_words_once_is_counting_every_token(kind):
    @settings(max_examples=60)
    @given(full=KINDS[kind], texts=TEXTS)
    def holds(full, texts):
        ids = list(chain.from_iterable(cut(full, text) for text in texts))
        size = max(full.get_vocab().values()) + 1
        assert count_tokens(full, {"x": texts})["x"].tolist() == np.bincount(ids, minlength=size).tolist()

    holds()


def test_merges_fire_as_the_library_fires_them():
    @settings(max_examples=150)
    @given(full=letter_bpes(), texts=TEXTS)
    def holds(full, texts):
        model = json.loads(full.to_str())["model"]
        merges = Merges(model)
        used = {piece for text in texts for piece in full.encode(text).tokens if piece != UNKNOWN}
        for piece in used:
            parts = merges.ancestors(piece)
            assert piece in parts
            assert all(len(part) == 1 or any(merges.join(a, b) == part for a in parts for b in parts)
                       for part in parts)  # fmt: skip

    holds()


# What went wrong in the tools before this one.


def hippopotamus():
    """A byte-level vocabulary whose words are reachable only through parts that text does not use."""
    words = ["the", "Ġhippopotamus", "Ġeats", "Ġhello", "Ġworld"]
    pieces, merges = sorted(ByteLevel.alphabet()), []
    for word in words:
        made = word[0]
        for letter in word[1:]:
            merges.append([made, letter])
            made += letter
            pieces.append(made)
    return bpe(pieces, list({tuple(m): m for m in merges}.values()), BYTES, unknown=None), words


def test_every_part_on_the_way_to_a_kept_piece_stays():
    full, words = hippopotamus()
    text = "the hippopotamus eats hello world"
    trimmed = trim_vocabulary(full, {"en": [text]})
    new = Tokenizer.from_str(trimmed.tokenizer_json)
    assert new.encode(text).tokens == words
    assert {"Ġhi", "Ġhippo", "Ġhippopotamu"} <= set(new.get_vocab())


def test_all_bytes_stay_so_nothing_is_ever_unknown():
    full, _ = hippopotamus()
    trimmed = trim_vocabulary(full, {"en": ["the"]})
    new = Tokenizer.from_str(trimmed.tokenizer_json)
    text = "the жук, 字 \x00"
    assert trimmed.kept[cut(new, text)].tolist() == cut(full, text)


def test_ids_of_a_wordpiece_vocabulary_are_renumbered():
    model = {"type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##"}
    vocabulary = {UNKNOWN: 0, "gone": 1, "away": 2, "##x": 3, "hello": 4, "world": 5}
    full = tokenizer({**model, "max_input_chars_per_word": 100, "vocab": vocabulary}, BERT)
    trimmed = trim_vocabulary(full, {"en": ["hello world"]}, alphabet="seen")
    assert Tokenizer.from_str(trimmed.tokenizer_json).encode("hello world").ids == [1, 2]
    assert trimmed.kept.tolist() == [0, 4, 5]


def test_a_word_unknown_before_is_not_spelt_otherwise_after():
    model = {"type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##"}
    vocabulary = {UNKNOWN: 0, "ab": 1, "a": 2, "##bc": 3}
    full = tokenizer({**model, "max_input_chars_per_word": 100, "vocab": vocabulary}, BERT)
    texts = ["abc", "a", "abc abbc"]
    assert full.encode("abc").tokens == [UNKNOWN]
    trimmed = trim_vocabulary(full, {"en": texts})
    assert Tokenizer.from_str(trimmed.tokenizer_json).encode("abc").tokens == [UNKNOWN]


def test_the_lowest_score_stays_because_unknown_letters_are_scored_by_it():
    vocabulary = [[UNKNOWN, 0.0], ["▁", -1.0], ["a", -2.0], ["zzz", -40.0]]
    full = tokenizer({"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": False}, METASPACE)
    trimmed = trim_vocabulary(full, {"en": ["a a"]}, alphabet="seen")
    assert trimmed.kept.tolist() == [0, 1, 2, 3]


def test_whole_words_of_a_vocabulary_that_ignores_merges_stay_whole():
    pieces = [*sorted(ByteLevel.alphabet()), "lo", "Ġlol", "lol"]
    full = bpe(pieces, [["l", "o"]], BYTES, unknown=None, ignore_merges=True)
    assert full.encode("lol lolo").tokens == ["lol", "Ġ", "lo", "lo"]
    trimmed = trim_vocabulary(full, {"x": ["lol lolo"]})
    new = Tokenizer.from_str(trimmed.tokenizer_json)
    assert new.encode("lol lolo").tokens == ["lol", "Ġ", "lo", "lo"]
    assert new.encode("lol lol").tokens == ["lol", "Ġ", "lo", "l"]  # Ġlol went: the text had none


def test_words_that_end_in_a_mark_are_replayed_with_it():
    pieces = ["a", "b", "a</w>", "b</w>", "ab</w>", "aab</w>", "aa"]
    merges = [["a", "b</w>"], ["a", "a"], ["a", "ab</w>"]]
    full = bpe(pieces, merges, BERT, end_of_word_suffix="</w>")
    assert full.encode("aab ab").tokens == ["aab</w>", "ab</w>"]
    trimmed = trim_vocabulary(full, {"x": ["aab"]}, alphabet="seen")
    assert Tokenizer.from_str(trimmed.tokenizer_json).encode("aab").tokens == ["aab</w>"]
    assert "aa" not in Tokenizer.from_str(trimmed.tokenizer_json).get_vocab()


# Letters, prompts, sizes.


def letters_left(alphabet, texts):
    pieces = [["▁", -1.0], *([letter, -2.0] for letter in "aeéőжя字3€")]
    model = {"type": "Unigram", "unk_id": 0, "vocab": [[UNKNOWN, 0.0], *pieces], "byte_fallback": False}
    trimmed = trim_vocabulary(tokenizer(model, METASPACE), {"x": texts}, alphabet=alphabet)
    return set(Tokenizer.from_str(trimmed.tokenizer_json).get_vocab()) - {"▁", UNKNOWN}


def test_the_letters_of_the_languages_scripts_stay():
    # "a" stands for the letters that occur; the lowest score, which stays too, is that of "a".
    assert letters_left("seen", ["a e"]) == set("ae")
    assert letters_left("scripts", ["a e"]) == set("aeéő3€")
    assert letters_left("scripts", ["a e" * 200 + " ж"]) == set("aeéő3€ж")
    assert letters_left("scripts", ["a e", "ж"]) == set("aeéő3€жя")
    assert letters_left("whole", ["a"]) == set("aeéőжя字3€")
    with pytest.raises(RecipeError, match="did you mean 'scripts'"):
        letters_left("script", ["a"])


def test_prompts_and_verbalisers_stay():
    full, _ = hippopotamus()
    kept = trim_vocabulary(full, {"en": ["the"]}, keep=["hippopotamus"])
    assert "Ġhippopotamus" in Tokenizer.from_str(kept.tokenizer_json).get_vocab()


def test_a_size_without_room_for_the_alphabet_is_refused_with_the_least_there_is():
    full, _ = hippopotamus()
    with pytest.raises(RecipeError, match="at least 257"):
        trim_vocabulary(full, {"en": ["the"]}, rule=BySize(100))


@pytest.mark.parametrize(("rule", "value"), [(ByProbability, -0.1), (ByProbability, 2), (ByCoverage, 99)])
def test_shares_outside_their_range_are_refused(rule, value):
    with pytest.raises(RecipeError, match="from 0 to 1"):
        rule(value)
