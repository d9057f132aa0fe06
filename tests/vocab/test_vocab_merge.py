"""Vocabularies moved into a larger id space, and several joined in one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from isogloss.core.by_language import is_filler
from isogloss.core.errors import ModelError
from isogloss.vocab.fingerprint import fingerprint
from isogloss.vocab.folder import wrapped
from isogloss.vocab.merge import anchors, joined, own_ids, placed
from isogloss.vocab.train import train_vocabulary
from tiny_models import SENTENCES, TOKENIZERS, tiny_tokenizer

STRANGE = (
    "",
    " two  spaces ",
    "<s> literal <unk> <mask> [SEP] <|endoftext|> <extra_id_3>",
    "▁ Ġ ##s ▁a▁b x▁y \ufdd0 12 \ufdd0",
    "漢字 😀 \u0915\u094d\u0937 \x07",
    "a" * 300,
)
TEXTS = st.one_of(
    st.sampled_from([*SENTENCES, *STRANGE]),
    st.text(max_size=30),
    st.text(alphabet="aeht sloﬁﷰ\ufdd01 2▁Ġ#<>", max_size=30),
)


def trained(texts, kind="unigram", size=300, objective="masked"):
    found = train_vocabulary({"all": texts}, kind=kind, size=size, objective=objective)
    return wrapped(found.tokenizer_json, roles=found.roles, max_length=64)


ENGLISH = [f"The old teacher saw {n} small houses near the central station." for n in range(30)]
FRENCH = [f"Le vieux fermier a vu {n} petites tables à la station centrale." for n in range(30)]


def moved(style, more=37, seed=0):
    tokenizer = tiny_tokenizer(style)
    size = len(tokenizer) + more
    places = np.random.default_rng(seed).permutation(size)[: len(tokenizer)]
    return tokenizer, placed(tokenizer, places, size), places


@pytest.mark.parametrize("style", TOKENIZERS)
@settings(deadline=None, max_examples=60)
@given(text=TEXTS, other=TEXTS)
def test_a_placed_tokenizer_cuts_any_text_as_its_own_does_and_decodes_it_again(style, text, other):
    tokenizer, found, places = moved(style)
    for texts in ((text,), (text, other)):
        old, new = tokenizer(*texts), found(*texts)
        assert new["input_ids"] == places[old["input_ids"]].tolist() if old["input_ids"] else True
        assert {name: row for name, row in new.items() if name != "input_ids"} == {
            name: row for name, row in old.items() if name != "input_ids"
        }
    for skip in (True, False):
        assert found.decode(new["input_ids"], skip_special_tokens=skip) == tokenizer.decode(
            old["input_ids"], skip_special_tokens=skip
        )


@pytest.mark.parametrize("style", TOKENIZERS)
def test_a_placed_tokenizer_fills_its_space_and_keeps_roles_and_settings(style, tmp_path):
    tokenizer, found, places = moved(style)
    assert len(found) == len(tokenizer) + 37
    assert sorted(found.get_vocab().values()) == list(range(len(found)))
    for role in ("pad", "unk", "mask", "bos", "eos", "cls", "sep"):
        old = getattr(tokenizer, f"{role}_token_id")
        assert getattr(found, f"{role}_token_id") == (None if old is None else places[old])
    assert sorted(found.all_special_ids) == sorted(places[tokenizer.all_special_ids])
    assert found.model_max_length == tokenizer.model_max_length
    assert found.model_input_names == tokenizer.model_input_names
    found.save_pretrained(tmp_path)
    assert fingerprint(AutoTokenizer.from_pretrained(tmp_path)) == fingerprint(found)


@pytest.mark.parametrize("style", TOKENIZERS)
def test_fillers_fit_no_text_not_even_their_own_names(style):
    _, found, _ = moved(style)
    ids = {index for token, index in found.get_vocab().items() if is_filler(token)}
    assert len(ids) == 37
    assert set(np.flatnonzero(~own_ids(found)).tolist()) == ids
    names = [found.convert_ids_to_tokens(index) for index in ids]
    for text in (*names, " ".join(names), "".join(names)):
        assert not ids & set(found(text)["input_ids"])


def test_tokens_added_outside_the_vocabulary_move_with_it():
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tiny_tokenizer("unigram").backend_tokenizer.to_str()),
        unk_token="<unk>",
        pad_token="<pad>",
    )
    tokenizer.add_tokens([AddedToken("<user>", special=True), AddedToken("plain", normalized=True)])
    places = np.arange(len(tokenizer))[::-1] + 5
    found = placed(tokenizer, places, len(tokenizer) + 9)
    for text in ("<user> says plain things", "implain", "The <user>"):
        assert found(text)["input_ids"] == places[tokenizer(text)["input_ids"]].tolist()
    tokenizer.add_tokens([AddedToken("alone", single_word=True)])
    with pytest.raises(ModelError, match="whole words"):
        placed(tokenizer, np.arange(len(tokenizer)), len(tokenizer))


def test_a_list_of_words_moves_as_well_and_two_ids_never_meet():
    words = Tokenizer(models.WordLevel({"<unk>": 0, "red": 1, "house": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
    found = placed(tokenizer, np.array([4, 0, 2]), 6)
    assert found("red green house")["input_ids"] == [0, 4, 2]
    with pytest.raises(AssertionError, match="two ids"):
        placed(tokenizer, np.zeros(3, dtype=np.int64), 6)


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "bpe"])
@pytest.mark.parametrize("objective", ["masked", "causal"])
def test_joined_tokenizers_cut_as_their_own_within_a_space_without_unused_rows(anchored, kind, objective):
    own = {"en-Latn": trained(ENGLISH, kind, objective=objective)}
    own["fr-Latn"] = trained(FRENCH, kind, objective=objective)
    joint = joined(own, anchored=anchored)
    used = np.zeros(joint.size, dtype=int)
    for tag, tokenizer in own.items():
        found = joint.tokenizer.of(tag)
        assert len(found) == joint.size
        for text in (*ENGLISH[:2], *FRENCH[:2], *STRANGE):
            old, new = tokenizer(text)["input_ids"], found(text)["input_ids"]
            assert new == [int(joint.places[tag][index]) for index in old]
            assert found.decode(new) == tokenizer.decode(old)
        used[joint.places[tag]] += 1
        assert len(set(joint.places[tag].tolist())) == len(tokenizer)
    assert used.min() == 1
    specials = set(own["en-Latn"].all_special_ids)
    assert (joint.places["en-Latn"] == np.arange(len(own["en-Latn"]))).all()
    assert set(np.flatnonzero(used == 2)) >= specials
    assert joint.size == sum(map(len, own.values())) - int((used == 2).sum())
    shared = anchors(joint.tokenizer)
    assert int(shared.sum()) == int((used == 2).sum()) - len(specials)
    assert shared.any() == anchored


def test_anchored_pieces_are_exactly_those_spelt_alike():
    own = {"en-Latn": trained(ENGLISH), "fr-Latn": trained(FRENCH), "de-Latn": trained(FRENCH + ENGLISH)}
    joint = joined(own, anchored=True)
    assert joint.size == len(set().union(*(one.get_vocab() for one in own.values())))
    ids = {}
    for tag, one in own.items():
        for token, index in one.get_vocab().items():
            assert ids.setdefault(token, joint.places[tag][index]) == joint.places[tag][index]


def test_special_tokens_without_a_role_are_no_anchors():
    def words(*own):
        vocabulary = {token: index for index, token in enumerate(["<unk>", *own])}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.add_special_tokens([AddedToken("<r0>", special=True), AddedToken("<r1>", special=True)])
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")

    together = joined({"en-Latn": words("red"), "fr-Latn": words("rouge")}, anchored=False)
    assert not anchors(together.tokenizer).any()
    assert together.size == 1 + 2 + 2  # unknown, two reserved, a word of each


def test_vocabularies_of_different_kinds_share_special_tokens_by_their_role():
    own = {"en-Latn": tiny_tokenizer("unigram"), "fr-Latn": tiny_tokenizer("wordpiece")}
    own["sw-Latn"] = tiny_tokenizer("bytes")
    joint = joined(own, anchored=False)
    for role in ("pad", "unk", "mask", "cls", "sep"):
        assert len({getattr(joint.tokenizer.of(tag), f"{role}_token_id") for tag in own}) == 1
    assert joint.size == sum(map(len, own.values())) - 2 * 5
    with pytest.raises(ModelError, match="different ways"):
        joined(own, anchored=True)


def test_one_token_in_two_roles_meets_two_tokens_without_becoming_one():
    own = {"en-Latn": trained(ENGLISH, objective="causal"), "fr-Latn": trained(FRENCH, objective="masked")}
    for order in (own, dict(reversed(own.items()))):
        joint = joined(order, anchored=False)
        for tag, one in order.items():
            assert len(set(joint.places[tag].tolist())) == len(one)
        assert len({joint.tokenizer.of(tag).eos_token_id for tag in order}) == 1
