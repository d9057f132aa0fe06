"""Vocabularies of all languages, or of each, from the recipe to the scores in another language."""

from __future__ import annotations

import json

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from isogloss.core.by_language import is_filler
from isogloss.core.errors import ModelError, RecipeError
from isogloss.core.files import write_text
from isogloss.methods.planning import plan
from isogloss.methods.pretrain_vocabulary import TokenizersSpec, given_tokenizer
from isogloss.methods.trim import trim_model
from isogloss.models.backbone import load_tokenizer
from isogloss.vocab.fingerprint import fingerprint
from isogloss.vocab.train import train_vocabulary
from tiny_runs import DISTIL, FINETUNE, PRETRAIN, TINY, logged, ran, tiny

BILINGUAL = PRETRAIN | {
    "objective": "causal",
    "architecture": {"family": "llama", **TINY},
    "vocabulary": {"kind": "unigram", "size": 300, "across": "anchored"},
}
TAGS = ("en-Latn", "fr-Latn")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("bilingual")
    return {
        across: ran(tiny(BILINGUAL, vocabulary__across=across), out)
        for across in ("joint", "disjoint", "anchored")
    }


def pieces(run, tag):
    tokenizer = load_tokenizer(run.folder / "model").of(tag)
    return {token for token in tokenizer.get_vocab() if not is_filler(token)}


def test_a_model_has_a_row_for_each_piece_and_shared_ones_once(runs):
    own = {tag: pieces(runs["anchored"], tag) for tag in TAGS}
    assert all(len(one) == 300 for one in own.values())
    assert {tag: pieces(runs["disjoint"], tag) for tag in TAGS} == own
    rows = {across: run.sizes["model"]["vocabulary"] for across, run in runs.items()}
    specials = len(load_tokenizer(runs["joint"].folder / "model").all_special_ids)
    assert rows == {
        "joint": 300,
        "disjoint": 600 - specials,
        "anchored": len(own["en-Latn"] | own["fr-Latn"]),
    }
    for run in runs.values():
        model = AutoModelForCausalLM.from_pretrained(run.folder / "model")
        assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(run.folder / "model"))


def test_a_model_s_tokenizers_are_joined_again_each_as_its_own_language_s(runs):
    folder = str(runs["disjoint"].folder / "model")
    loaded = load_tokenizer(folder)
    again = given_tokenizer(TokenizersSpec(of={"fr-Latn": folder, "en-Latn": folder}))
    text = "Les enfants lisent une lettre."
    for tag in TAGS:
        assert again.of(tag).tokenize(text) == loaded.of(tag).tokenize(text)
    assert len(again) == len(loaded)  # fillers are no pieces


def test_what_languages_share_is_told_in_pieces_and_in_text(runs):
    found = {across: run.environment.get("anchors") for across, run in runs.items()}
    assert found["joint"] is None
    assert found["disjoint"]["pieces"] == 0
    assert set(found["disjoint"]["share_of_text"].values()) == {0.0}
    told = json.loads((runs["anchored"].folder / "tokenizer" / "anchors.json").read_text(encoding="utf-8"))
    own = {tag: pieces(runs["anchored"], tag) for tag in TAGS}
    specials = set(load_tokenizer(runs["anchored"].folder / "model").all_special_tokens)
    assert set(told) == (own["en-Latn"] & own["fr-Latn"]) - specials
    assert found["anchored"]["pieces"] == len(told) > 0
    assert all(0 < share < 1 for share in found["anchored"]["share_of_text"].values())
    logged_shares = {line["language"]: line["value"] for line in logged(runs["anchored"], "anchored_share")}
    assert logged_shares == found["anchored"]["share_of_text"]


def test_each_language_is_tokenised_and_scored_by_its_own(runs):
    for run in runs.values():
        found = logged(run, "bits_per_byte", split="test")
        assert [line["language"] for line in found] == list(TAGS)
    tokenizer = load_tokenizer(runs["disjoint"].folder / "model")
    ids = {tag: set(tokenizer.of(tag)("La vieille femme chante.")["input_ids"]) for tag in TAGS}
    assert not ids["en-Latn"] & ids["fr-Latn"] - set(tokenizer.all_special_ids)


@pytest.mark.parametrize("across", ["disjoint", "anchored"])
def test_a_task_learnt_in_english_is_scored_in_french(runs, across, tmp_path):
    recipe = tiny(
        FINETUNE,
        task="topic",
        model=str(runs[across].folder / "model"),
        train={"eng": "miniature/train:150"},
    )
    run = ran(recipe, tmp_path)
    assert {line["language"] for line in logged(run, "accuracy", split="test")} == set(TAGS)
    assert load_tokenizer(run.folder / "model").languages == TAGS


def test_pretraining_goes_on_with_the_tokenizers_of_the_model(runs, tmp_path):
    recipe = tiny(
        BILINGUAL,
        without=("architecture", "vocabulary"),
        model=str(runs["anchored"].folder / "model"),
        training__steps=2,
        used_rows_only=True,
    )
    run = ran(recipe, tmp_path)
    before, after = (load_tokenizer(one.folder / "model") for one in (runs["anchored"], run))
    assert fingerprint(before) == fingerprint(after)


def test_masked_models_hide_whole_words_of_either_language(tmp_path):
    recipe = tiny(
        PRETRAIN,
        vocabulary={"kind": "wordpiece", "size": 300, "across": "anchored"},
        architecture={"family": "bert", **TINY},
        masking={"whole_words": True},
        training__steps=3,
    )
    assert logged(ran(recipe, tmp_path), "bits_per_byte", split="test", language="fr-Latn")


def test_tokenizers_that_are_there_are_joined(runs, tmp_path):
    for tag, kind in (("eng", "unigram"), ("fra", "bpe")):
        text = [f"Une maison rouge, a red house, {n}." for n in range(60)]
        train_vocabulary({tag: text}, kind=kind, size=400, objective="causal").save(tmp_path / tag)
    given = {
        "of": {"eng": str(tmp_path / "eng"), "fra": str(tmp_path / "fra")},
        "across": "disjoint",
    }
    recipe = tiny(BILINGUAL, without=("vocabulary",), tokenizer=given, test={}, training__steps=2)
    run = ran(recipe, tmp_path / "runs")
    [planned] = plan(recipe)
    assert planned.vocabulary == run.sizes["model"]["vocabulary"]
    assert load_tokenizer(run.folder / "model").languages == TAGS
    with pytest.raises(ModelError, match="Ġ begins a word"):
        plan(tiny(BILINGUAL, without=("vocabulary",), tokenizer=given | {"across": "anchored"}))


def test_a_plan_counts_the_rows_of_each_language(runs):
    assert [plan(tiny(BILINGUAL, vocabulary__across=across))[0].vocabulary for across in runs] == [
        300,
        600,
        600,
    ]


def test_such_a_model_is_not_trimmed(runs, tmp_path):
    for name in ("learnt", "unseen"):
        write_text(tmp_path / name, f"La vieille femme chante, {name}.\n" * 30)
    text = {name: {"fr-Latn": (str(tmp_path / name),)} for name in ("learnt", "unseen")}
    with pytest.raises(ModelError, match="several languages"):
        trim_model(
            runs["anchored"].folder / "model",
            corpora=text["learnt"],
            held_out=text["unseen"],
            out=tmp_path / "out",
        )


def test_a_student_of_such_a_model_keeps_the_tokenizers_of_its_teacher(runs, tmp_path):
    teacher = str(runs["anchored"].folder / "model")
    recipe = tiny(DISTIL, teacher=teacher, student__vocabulary__trim=False, phase1__training__steps=2)
    run = ran(recipe, tmp_path)
    found, wanted = (load_tokenizer(one.folder / "model") for one in (run, runs["anchored"]))
    assert fingerprint(found) == fingerprint(wanted)
    with pytest.raises(ModelError, match="trim: false"):
        ran(tiny(DISTIL, teacher=teacher), tmp_path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"vocabulary__shares": {"eng": 0.5, "fra": 0.5}}, "no shares"),
        ({"vocabulary__across": "merged"}, "across"),
        ({"clones": {"of": "eng"}}, "vocabularies of each language"),
    ],
)
def test_vocabularies_that_do_not_fit_are_refused(changes, complaint):
    with pytest.raises(RecipeError, match=complaint):
        tiny(BILINGUAL, **changes)
