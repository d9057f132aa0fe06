from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from isogloss.core.errors import DataError, ModelError
from isogloss.vocab.count import count_tokens
from isogloss.vocab.fertility import fertility
from isogloss.vocab.fingerprint import fingerprint
from isogloss.vocab.folder import save_tokenizer
from isogloss.vocab.rules import ByProbability
from isogloss.vocab.train import train_vocabulary
from isogloss.vocab.trim import trim_vocabulary

EN = ["the old house stands near the river", "a river runs by the house", "the new house is near"]
SW = ["nyumba ya zamani iko karibu na mto", "mto unapita karibu na nyumba", "nyumba mpya iko karibu"]
DE = ["das alte haus steht am fluss", "ein fluss fließt am haus vorbei", "häuser stehen nah"]
VOCABULARY = train_vocabulary({"en": EN * 5, "sw": SW * 5, "de": DE * 5}, kind="unigram", size=150)
FULL = VOCABULARY.tokenizer()
WORDS = st.text(alphabet="aehiorstuvnkmyb äßжq", min_size=0, max_size=40)


def changed(**parts) -> Tokenizer:
    return Tokenizer.from_str(json.dumps({**json.loads(VOCABULARY.tokenizer_json), **parts}))


def same_cut(old: Tokenizer, trimmed, text: str, *, special: bool = True) -> bool:
    new = Tokenizer.from_str(trimmed.tokenizer_json).encode(text, add_special_tokens=special).ids
    return trimmed.kept[new].tolist() == old.encode(text, add_special_tokens=special).ids


def test_text_of_the_kept_languages_is_cut_as_before_and_the_rest_is_gone():
    trimmed = trim_vocabulary(FULL, {"en": EN, "sw": SW}, alphabet="seen")
    assert len(trimmed.kept) < FULL.get_vocab_size()
    assert all(same_cut(FULL, trimmed, text) for text in EN + SW)
    assert trimmed.lost == {"en": 0.0, "sw": 0.0}
    new = Tokenizer.from_str(trimmed.tokenizer_json)
    assert new.token_to_id("ß") is None
    assert fertility(new, {"de": DE})["de"].unknown_rate > 0


def test_ids_are_contiguous_in_the_old_order_and_name_the_same_pieces():
    trimmed = trim_vocabulary(FULL, {"sw": SW})
    new = Tokenizer.from_str(trimmed.tokenizer_json)
    assert sorted(new.get_vocab().values()) == list(range(len(trimmed.kept)))
    assert (np.diff(trimmed.kept) > 0).all()
    assert [new.id_to_token(i) for i in range(len(trimmed.kept))] == [
        FULL.id_to_token(int(old)) for old in trimmed.kept
    ]
    model = json.loads(trimmed.tokenizer_json)["model"]
    assert model["vocab"][model["unk_id"]][0] == "<unk>"


@settings(max_examples=60)
@given(corpus=st.lists(WORDS, min_size=1, max_size=8).filter(lambda texts: any(t.strip() for t in texts)))
def test_any_text_trimmed_for_is_cut_as_before(corpus):
    trimmed = trim_vocabulary(FULL, {"x": corpus}, rule=ByProbability(0))
    assert all(same_cut(FULL, trimmed, text) for text in corpus)
    assert trimmed.lost == {"x": 0.0}


@settings(max_examples=40)
@given(
    corpus=st.lists(WORDS, min_size=1, max_size=5).filter(lambda texts: any(t.strip() for t in texts)),
    threshold=st.sampled_from([0.0, 0.01, 0.2, 1.0]),
)
def test_trimming_again_for_the_same_text_changes_nothing(corpus, threshold):
    once = trim_vocabulary(FULL, {"x": corpus}, rule=ByProbability(threshold))
    again = trim_vocabulary(
        Tokenizer.from_str(once.tokenizer_json), {"x": corpus}, rule=ByProbability(threshold)
    )
    assert set(again.kept.tolist()) <= set(range(len(once.kept)))
    if threshold == 0:
        assert again.tokenizer_json == once.tokenizer_json


def test_trimming_to_everything_gives_the_same_tokenizer():
    trimmed = trim_vocabulary(
        FULL, {"all": [piece.replace("▁", " ") for piece in FULL.get_vocab()]}, rule=ByProbability(0)
    )
    if len(trimmed.kept) == FULL.get_vocab_size():
        assert fingerprint(Tokenizer.from_str(trimmed.tokenizer_json)) == fingerprint(FULL)
    assert len(trimmed.kept) > 0.8 * FULL.get_vocab_size()


def test_a_high_threshold_drops_rare_tokens_says_how_many_and_keeps_the_letters():
    trimmed = trim_vocabulary(FULL, {"en": EN, "sw": SW}, rule=ByProbability(0.1))
    new = Tokenizer.from_str(trimmed.tokenizer_json)
    counts = count_tokens(FULL, {"en": EN})["en"]
    gone = np.setdiff1d(np.arange(len(counts)), trimmed.kept)
    assert trimmed.lost["en"] == pytest.approx(counts[gone].sum() / counts.sum())
    assert 0 < trimmed.lost["en"] < 1
    assert fertility(new, {"en": EN, "sw": SW})["sw"].unknown == 0


def test_the_lowest_scored_piece_and_all_special_tokens_stay():
    trimmed = trim_vocabulary(FULL, {"en": ["a"]})
    scores = [score for _, score in json.loads(VOCABULARY.tokenizer_json)["model"]["vocab"]]
    assert any(scores[old] == min(scores) for old in trimmed.kept)
    new = Tokenizer.from_str(trimmed.tokenizer_json)
    for token in ("<s>", "<pad>", "</s>", "<unk>", "<mask>"):
        assert new.token_to_id(token) is not None


@pytest.mark.parametrize(
    "processor",
    [
        {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True,
         "add_prefix_space": False},
        {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]},
        {"type": "Sequence", "processors": [json.loads(VOCABULARY.tokenizer_json)["post_processor"]]},
        None,
    ],
)  # fmt: skip
def test_post_processors_get_the_new_ids(processor):
    moved = json.loads(VOCABULARY.tokenizer_json)
    old = changed(post_processor=processor)
    trimmed = trim_vocabulary(old, {"sw": SW})
    assert all(same_cut(old, trimmed, text) for text in SW)
    assert moved["added_tokens"]


def test_special_tokens_at_the_end_move_up():
    described = json.loads(VOCABULARY.tokenizer_json)
    size = len(described["model"]["vocab"])
    late = {**described["added_tokens"][-1], "content": "<late>", "id": size}
    old = changed(added_tokens=[*described["added_tokens"], late])
    trimmed = trim_vocabulary(old, {"sw": SW})
    assert trimmed.kept[-1] == size
    new = Tokenizer.from_str(trimmed.tokenizer_json)
    assert new.token_to_id("<late>") == len(trimmed.kept) - 1
    assert same_cut(old, trimmed, "mto <late> mto")


def test_byte_pieces_stay_where_the_vocabulary_falls_back_to_bytes():
    described = json.loads(VOCABULARY.tokenizer_json)
    bytes_ = [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]
    model = {**described["model"], "vocab": [*described["model"]["vocab"], *bytes_], "byte_fallback": True}
    old = changed(model=model)
    trimmed = trim_vocabulary(old, {"sw": SW})
    new = Tokenizer.from_str(trimmed.tokenizer_json)
    assert all(new.token_to_id(piece) is not None for piece, _ in bytes_)
    assert same_cut(old, trimmed, "mto 字")


def test_a_trimmed_folder_loads_with_transformers(tmp_path):
    trimmed = trim_vocabulary(FULL, {"sw": SW})
    save_tokenizer(tmp_path, trimmed.tokenizer_json, roles=VOCABULARY.roles)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert len(loaded) == len(trimmed.kept)
    assert trimmed.kept[loaded(SW[0])["input_ids"]].tolist() == FULL.encode(SW[0]).ids


def test_other_models_are_refused_by_name():
    word_level = {"type": "WordLevel", "vocab": {"<unk>": 0, "the": 1}, "unk_token": "<unk>"}
    with pytest.raises(ModelError, match=r"a WordLevel vocabulary[\s\S]*Unigram"):
        trim_vocabulary(changed(model=word_level, added_tokens=[], post_processor=None), {"en": EN})


def test_a_language_without_text_is_refused():
    with pytest.raises(DataError, match="sw text is empty"):
        trim_vocabulary(FULL, {"en": EN, "sw": []})


def test_something_without_a_tokenizer_json_is_refused():
    with pytest.raises(ModelError, match="a str, which has no tokenizers library"):
        trim_vocabulary("bert", {"en": EN})


def test_fertility_counts_what_can_be_counted_by_eye():
    counts = fertility(FULL, {"en": ["the river", "жж"]})["en"]
    assert (counts.words, counts.characters, counts.bytes) == (3, 11, 13)
    assert (
        counts.unknown == FULL.encode("жж", add_special_tokens=False).ids.count(FULL.token_to_id("<unk>")) > 0
    )
    assert counts.tokens_per_word == counts.tokens / 3
    assert counts.tokens_per_byte == counts.tokens / 13
    with pytest.raises(DataError, match="empty"):
        fertility(FULL, {"en": [""]})


def test_a_fingerprint_ignores_padding_and_sees_every_piece():
    padded = Tokenizer.from_str(VOCABULARY.tokenizer_json)
    padded.enable_padding(length=5)
    padded.enable_truncation(4)
    assert fingerprint(padded) == fingerprint(FULL)
    assert fingerprint(Tokenizer.from_str(trim_vocabulary(FULL, {"sw": SW}).tokenizer_json)) != fingerprint(
        FULL
    )
