from __future__ import annotations

import subprocess
import sys

import pytest
from transformers import AutoConfig, AutoTokenizer, XLMRobertaConfig

from isogloss.core.errors import DataError, RecipeError
from isogloss.vocab.fertility import fertility
from isogloss.vocab.fingerprint import fingerprint
from isogloss.vocab.sample import plan_sampling, sampled
from isogloss.vocab.train import train_vocabulary
from isogloss.vocab.unigram import train_unigram

CORPORA = {
    "en-Latn": [f"The teacher saw {n} small houses near the old river." for n in range(40)],
    "ru-Cyrl": [f"Учитель видел {n} маленьких домов у старой реки." for n in range(40)],
    "sw-Latn": ["Mwalimu aliona nyumba ndogo karibu na mto wa zamani."] * 10,
}
KINDS = ("unigram", "wordpiece", "bpe")
TRAIN_TWICE = """
import hashlib
from isogloss.vocab.train import train_vocabulary
corpora = {"a": [f"wood would {n} grow as old wolves do" for n in range(99)], "b": ["где то там тогда"] * 9}
for kind in ("unigram", "wordpiece", "bpe"):
    print(hashlib.sha256(train_vocabulary(corpora, kind=kind, size=300).tokenizer_json.encode()).hexdigest())
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objective", ["masked", "causal"])
def test_a_saved_vocabulary_loads_with_transformers_and_has_its_special_tokens(tmp_path, kind, objective):
    vocabulary = train_vocabulary(CORPORA, kind=kind, size=400, objective=objective)
    vocabulary.save(tmp_path, max_length=64)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.model_max_length == 64
    roles = {"masked": ("pad", "mask", "cls", "sep", "unk"), "causal": ("eos", "pad")}[objective]
    ids = [getattr(loaded, f"{role}_token_id") for role in roles]
    assert None not in ids
    assert len(set(ids)) == len(ids)
    assert fingerprint(loaded) == fingerprint(vocabulary.tokenizer())
    text = "The old river. Учитель видел."
    row, bare = loaded(text)["input_ids"], loaded(text, add_special_tokens=False)["input_ids"]
    framed = [loaded.cls_token_id, *bare, loaded.sep_token_id] if objective == "masked" else bare
    assert row == framed
    assert loaded.decode(bare) == text


def test_a_saved_vocabulary_is_taken_as_it_stands_beside_another_models_configuration(tmp_path):
    vocabulary = train_vocabulary(CORPORA, kind="unigram", size=300)
    vocabulary.save(tmp_path)
    XLMRobertaConfig(vocab_size=300).save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).model_type == "xlm-roberta"
    assert fingerprint(AutoTokenizer.from_pretrained(tmp_path)) == fingerprint(vocabulary.tokenizer())


def test_two_processes_train_the_same_vocabularies():
    runs = [
        subprocess.run([sys.executable, "-c", TRAIN_TWICE], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(set(runs[0].split())) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_kept_and_training_text_has_no_unknown_token(kind):
    vocabulary = train_vocabulary(CORPORA, kind=kind, size=350)
    assert vocabulary.tokenizer().get_vocab_size() <= 350
    for counts in fertility(vocabulary.tokenizer(), CORPORA).values():
        assert counts.unknown == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_share_buys_a_language_fewer_tokens_per_word(kind):
    few, many = (
        fertility(train_vocabulary(CORPORA, kind=kind, size=330, shares=shares).tokenizer(), CORPORA)
        for shares in ({"en-Latn": 0.05, "ru-Cyrl": 0.95}, {"en-Latn": 0.95, "ru-Cyrl": 0.05})
    )
    assert many["en-Latn"].tokens_per_word <= few["en-Latn"].tokens_per_word
    assert few["ru-Cyrl"].tokens_per_word <= many["ru-Cyrl"].tokens_per_word


def test_realised_shares_are_the_requested_ones():
    shares = {"en-Latn": 0.5, "ru-Cyrl": 0.25, "sw-Latn": 0.25}
    assert train_vocabulary(CORPORA, kind="bpe", size=300, shares=shares).shares == pytest.approx(shares)


def test_sampling_without_a_budget_repeats_no_text_and_reads_the_scarcest_language_whole():
    plan = plan_sampling(CORPORA)
    assert max(plan.passes.values()) == pytest.approx(1)
    assert plan.passes["sw-Latn"] == pytest.approx(1)


def test_sampling_with_a_budget_reads_short_languages_again():
    plan = plan_sampling(CORPORA, budget=3 * 1500)
    text = list(sampled(CORPORA, plan, seed=0))
    assert plan.passes["sw-Latn"] == pytest.approx(1500 / plan.sizes["sw-Latn"])
    swahili = sum(len(t) for t in text if t.startswith("Mwalimu"))
    assert 1000 <= swahili <= 2100
    assert text == list(sampled(CORPORA, plan, seed=0))
    assert text != list(sampled(CORPORA, plan, seed=1))


def test_bytes_give_cyrillic_fewer_letters_than_characters_do():
    by_letter, by_byte = (plan_sampling(CORPORA, unit=unit, budget=600) for unit in ("characters", "bytes"))
    assert by_byte.passes["ru-Cyrl"] < 0.7 * by_letter.passes["ru-Cyrl"]


@pytest.mark.parametrize("shares", [{"xx": 1.0}, {"en-Latn": 0.0}, {"en-Latn": -1.0, "ru-Cyrl": 2.0}])
def test_shares_that_do_not_fit_the_corpora_are_refused(shares):
    with pytest.raises(RecipeError, match="shares"):
        plan_sampling(CORPORA, shares=shares)


def test_an_empty_language_is_refused():
    with pytest.raises(DataError, match="no text in sw-Latn"):
        train_vocabulary({"en-Latn": ["word"], "sw-Latn": []}, kind="unigram", size=100)
    with pytest.raises(DataError, match="no word"):
        train_vocabulary({"en-Latn": ["   "]}, kind="unigram", size=100)


@pytest.mark.parametrize(
    ("kind", "needed"), [("unigram", "at least"), ("wordpiece", "at least"), ("bpe", "261")]
)
def test_a_size_below_the_alphabet_is_refused(kind, needed):
    with pytest.raises(RecipeError, match=needed):
        train_vocabulary(CORPORA, kind=kind, size=20)


def test_coverage_leaves_the_rarest_letters_out():
    corpora = {"en-Latn": ["abba " * 200, "ж"]}
    whole, most = (
        train_vocabulary(corpora, kind="unigram", size=50, coverage=c).tokenizer() for c in (1.0, 0.99)
    )
    assert whole.token_to_id("ж") is not None
    assert most.token_to_id("ж") is None
    assert most.encode("ж", add_special_tokens=False).ids[-1] == most.token_to_id("<unk>")


def test_lower_case_is_a_choice():
    plain, lower = (
        train_vocabulary(CORPORA, kind="wordpiece", size=350, normaliser=n).tokenizer()
        for n in ("nfkc", "lowercase")
    )
    assert lower.encode("THE river").ids == lower.encode("the RIVER").ids
    assert plain.encode("THE river").ids != plain.encode("the river").ids


def test_unigram_prefers_whole_frequent_words_and_its_probabilities_sum_to_about_one():
    pieces = train_unigram({"▁house": 500, "▁housing": 40, "▁mouse": 300, "▁mousing": 5}, size=16)
    assert 12 <= len(pieces) <= 16
    names = [piece for piece, _ in pieces]
    assert {"▁house", "▁mouse"} <= set(names[:4])
    assert set("▁housemingu") <= set(names)
    assert 0.9 < sum(2.718281828**score for _, score in pieces) < 1.1
    assert [score for _, score in pieces] == sorted((score for _, score in pieces), reverse=True)


def test_unigram_does_not_depend_on_the_order_of_the_words():
    words = {f"▁w{n % 7}or{n}d": n + 1 for n in range(60)}
    assert train_unigram(words, size=40) == train_unigram(dict(reversed(words.items())), size=40)


def test_unigram_takes_a_single_letter_and_words_longer_than_it_looks_at():
    assert [piece for piece, _ in train_unigram({"a": 1}, size=5)] == ["a"]
    pieces = train_unigram({"あいうえお" * 30: 3, "い": 1}, size=30)
    assert {piece for piece, _ in pieces} >= set("あいうえお")
