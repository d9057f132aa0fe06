"""The certificate counts every sentence and tells every kind of difference apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from isogloss.core.errors import DataError, ModelError
from isogloss.vocab.certificate import Example, certify
from isogloss.vocab.fertility import fertility
from isogloss.vocab.rules import ByProbability
from isogloss.vocab.train import train_vocabulary
from isogloss.vocab.trim import trim_vocabulary

EN = ["the old house stands near the river", "a river runs by the house", "the new house is near"]
RU = ["старый дом стоит у реки", "река течёт мимо дома"]
KINDS = ("unigram", "wordpiece", "bpe")
FULL = {
    kind: train_vocabulary({"en": EN * 5, "ru": RU * 5}, kind=kind, size=400).tokenizer() for kind in KINDS
}
WORDS = st.text(alphabet="aehiorstuvnd рдекжq", min_size=1, max_size=40).filter(str.strip)


def unigram(pieces, **changes):
    vocabulary = [["[UNK]", 0.0], ["▁", -1.0], *([piece, -2.0] for piece in pieces), ["lowest", -9.0]]
    model = {"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": False, **changes}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    parts = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
    described = {**parts, "version": "1.0", "added_tokens": [], "pre_tokenizer": metaspace, "model": model}
    return Tokenizer.from_str(json.dumps(described))


@pytest.mark.parametrize("kind", KINDS)
def test_text_that_was_counted_is_identical_and_costs_the_same(kind):
    trimmed = trim_vocabulary(FULL[kind], {"en": EN})
    found = certify(FULL[kind], trimmed, {"en": EN}).languages["en"]
    assert (found.share, found.lost, found.new_unknown, found.differences) == (1.0, 0.0, 0, {})
    assert found.before == found.after == fertility(FULL[kind], {"en": EN})["en"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_says_is_what_both_tokenizers_do(kind):
    full = FULL[kind]
    trimmed = trim_vocabulary(full, {"en": EN[:1]}, rule=ByProbability(0.05), alphabet="seen")
    new = Tokenizer.from_str(trimmed.tokenizer_json)

    @settings(max_examples=40)
    @given(texts=st.lists(WORDS, min_size=1, max_size=5))
    def holds(texts):
        found = certify(full, trimmed, {"x": texts}).languages["x"]
        cuts = [(full.encode(t, add_special_tokens=False), new.encode(t, add_special_tokens=False))
                for t in texts]  # fmt: skip
        same = [trimmed.kept[b.ids].tolist() == a.ids for a, b in cuts]
        assert (found.sentences, found.identical) == (len(texts), sum(same))
        assert found.before == fertility(full, {"x": texts})["x"]
        assert found.after == fertility(new, {"x": texts})["x"]
        kept = set(trimmed.kept.tolist())
        gone = sum(index not in kept for a, _ in cuts for index in a.ids)
        assert found.lost == pytest.approx(gone / found.before.tokens)
        assert bool(found.differences) == (not all(same))

    holds()


def test_every_kind_of_difference_has_its_name_and_an_example():
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]

    def differences(full, counted, held_out, **how):
        trimmed = trim_vocabulary(full, {"x": counted}, alphabet="seen", **how)
        return certify(full, trimmed, {"x": [held_out]}).languages["x"].differences

    found = differences(unigram(["ab", "a", "b", "ж"]), ["a b"], "a ab ж")
    assert set(found) == {"spelt in smaller pieces", "unknown now"}
    assert found["spelt in smaller pieces"].examples == [Example("ab", ("ab",), ("a", "b"))]
    assert found["unknown now"].places == 1
    found = differences(unigram(["abc", "de", "ab", "cde"]), ["abc de"], "abc abcde abcde")
    assert {kind: (one.places, len(one.examples)) for kind, one in found.items()} == {
        "spelt in other pieces": (2, 1)
    }
    found = differences(unigram(["ж", "a", *bytes_], byte_fallback=True), ["a"], "a ж")
    assert found["spelt in bytes"].examples[0].after == ("<0xD0>", "<0xB6>")


def test_a_share_below_what_is_required_is_refused_with_the_languages_that_fall_short():
    trimmed = trim_vocabulary(FULL["unigram"], {"en": EN}, alphabet="seen")
    certificate = certify(FULL["unigram"], trimmed, {"en": EN, "ru": RU})
    certificate.require(0.0)
    with pytest.raises(ModelError, match=r"ru 0\.000 %\n[\s\S]*99\.900 % or more"):
        certificate.require(0.999)
    assert certificate.languages["ru"].new_unknown > 0


def test_it_is_written_as_json_with_what_it_compared():
    trimmed = trim_vocabulary(FULL["bpe"], {"en": EN})
    told = json.loads(json.dumps(certify(FULL["bpe"], trimmed, {"en": EN}).to_json()))
    assert (told["entries"], told["kept"]) == (FULL["bpe"].get_vocab_size(), len(trimmed.kept))
    assert told["original"] != told["trimmed"]
    assert told["languages"]["en"]["identical_share"] == 1.0
    assert told["languages"]["en"]["before"]["tokens_per_word"] >= 1


def test_empty_text_is_refused():
    trimmed = trim_vocabulary(FULL["bpe"], {"en": EN})
    with pytest.raises(DataError, match="held-out en text is empty"):
        certify(FULL["bpe"], trimmed, {"en": []})
