"""Audits of small models of every kind: what is measured, against what it ought to be, and what is not."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from isogloss.core.config import Document
from isogloss.core.errors import DataError, RecipeError
from isogloss.core.tokenizer import backend_of
from isogloss.data.miniature import sentences
from isogloss.methods.audit import FILE, AuditRecipe
from isogloss.methods.table import resolve
from isogloss.models.backbone import load_model, load_tokenizer, save_model
from isogloss.models.families import family_of
from tiny_models import FAMILIES, STYLES, tiny_model, tiny_tokenizer
from tiny_runs import PRETRAIN, logged, ran, tiny

TAGS = ("en-Latn", "fr-Latn", "sw-Latn")
AUDIT = {
    "method": "audit",
    "aligned": {tag: "miniature/test:24" for tag in TAGS},
    "sentences": 16,
    "gradients": 2,
}


def facts_of(run):
    return json.loads((run.folder / FILE).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def audit(topics, model, tmp_path_factory):
    """The tiny pretrained model, with the scores of what it was tuned to."""
    recipe = tiny(
        AUDIT,
        model=str(model),
        tuned=str(topics),
        task="topic",
        test={tag: "miniature/test:10" for tag in TAGS},
        text={"en-Latn": "miniature/dev:20"},
    )
    return ran(recipe, tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def facts(audit):
    return facts_of(audit)


def test_everything_that_can_be_measured_is(facts):
    assert facts["skipped"] == {}
    assert facts["languages"] == list(TAGS)
    everywhere = {"tokens_per_word", "unknown_rate", "rows_used", "bits_per_byte", "score"}
    against_the_source = {"premium", "parity", "retrieval", "cosine", "cka", "gradient", "behind"}
    for name in everywhere:
        assert set(facts["measures"][name]) == set(TAGS), name
    for name in against_the_source:
        assert set(facts["measures"][name]) == set(TAGS[1:]), name


def test_the_file_holds_no_nan(audit):
    json.loads((audit.folder / FILE).read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_the_premium_is_that_of_counting_by_hand(facts, model):
    backend = backend_of(load_tokenizer(model))
    rows = {tag: list(sentences(tag, "test", 24)) for tag in TAGS}
    lengths = {
        tag: [len(backend.encode(text, add_special_tokens=False).ids) for text in rows[tag]] for tag in TAGS
    }
    premium, low, high = facts["measures"]["premium"]["sw-Latn"]  # of 16 of the 24
    assert low < premium < high
    assert premium == pytest.approx(sum(lengths["sw-Latn"]) / sum(lengths["en-Latn"]), rel=0.1)


def test_text_stands_beside_aligned_sentences_and_these_stand_in_for_it(facts):
    assert facts["read"]["stand_ins"] == ["fr-Latn", "sw-Latn"]
    assert facts["read"]["lines"] == {"en-Latn": 20, "fr-Latn": 16, "sw-Latn": 16}
    assert facts["read"]["aligned"] == 16


def test_bits_per_byte_of_a_language_are_those_of_evaluate(facts, model):
    from isogloss.methods.scoring import evaluate_files

    found = evaluate_files(model, task="lm", data=["eng=miniature/dev:20"])
    # The audit reads 16 of these 20 lines.
    value, low, high = facts["measures"]["bits_per_byte"]["en-Latn"]
    assert low < value < high
    assert value == pytest.approx(found.scores["en-Latn"]["bits_per_byte"], rel=0.1)


def test_vocabulary_arithmetic_is_what_trimming_does(facts, model, tmp_path):
    from isogloss.methods.trim import trim_model
    from isogloss.vocab.rules import ByProbability

    found = facts["vocabulary"]
    whole = load_model(model, "masked")
    assert found["parameters"]["now"] == whole.num_parameters()
    texts = {"en-Latn": ("miniature/dev:20",)}
    trimmed = trim_model(
        model, corpora=texts, held_out=texts, out=tmp_path / "small", rule=ByProbability(0.0)
    )
    kept = len(load_tokenizer(tmp_path / "small"))
    assert trimmed.parameters[1] == whole.num_parameters() - (found["rows"] - kept) * found["per_row"]


def test_rows_used_are_those_of_the_text(facts, model):
    backend = backend_of(load_tokenizer(model))
    used = Counter(
        index
        for text in sentences("en-Latn", "dev", 20)
        for index in backend.encode(text, add_special_tokens=False).ids
    )
    assert facts["vocabulary"]["used"]["en-Latn"] == len(used)
    assert facts["vocabulary"]["tokens"]["en-Latn"] == sum(used.values())


def test_layers_are_all_states_and_the_best_is_named(facts, model):
    layers = facts["layers"]
    assert layers["states"] == load_model(model, "masked").config.num_hidden_layers + 1
    for key in ("retrieval", "to_source", "from_source", "cosine", "cka"):
        assert all(len(states) == layers["states"] for states in layers[key].values()), key
    best = layers["best"]
    assert facts["measures"]["retrieval"]["fr-Latn"] == layers["retrieval"]["fr-Latn"][best]
    means = [sum(layers["retrieval"][tag][state][0] for tag in TAGS[1:]) for state in range(layers["states"])]
    assert means[best] == max(means)


def test_every_number_is_logged_with_its_language(audit, facts):
    for name, by_language in facts["measures"].items():
        lines = logged(audit, name, split="audit")
        assert {line["language"]: line["value"] for line in lines} == pytest.approx(
            {tag: triple[0] for tag, triple in by_language.items()}
        )
    assert logged(audit, "accuracy", split="test", task="topic", language="sw-Latn")


def test_how_far_behind_is_the_difference_of_the_scores(facts):
    score, behind = facts["measures"]["score"], facts["measures"]["behind"]
    for tag, (value, low, high) in behind.items():
        assert value == pytest.approx(score["en-Latn"][0] - score[tag][0])
        assert low <= value <= high
    assert facts["task"]["spread"]["transfer_gap"][0] == pytest.approx(
        sum(value for value, _, _ in behind.values()) / 2
    )


def test_the_page_and_the_card_lie_in_the_folder(audit):
    page = (audit.folder / "report.html").read_text(encoding="utf-8")
    assert "What to try" in page
    assert "## Audit" in (audit.folder / "card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_any_family_can_be_audited(family, tmp_path):
    kind = family_of(family).kind
    auto = {
        "encoder": AutoModelForMaskedLM,
        "decoder": AutoModelForCausalLM,
        "encoder-decoder": AutoModelForSeq2SeqLM,
    }[kind]
    tokenizer = tiny_tokenizer(STYLES[family])
    save_model(tiny_model(family, auto, tokenizer), tokenizer, tmp_path / "model")
    recipe = tiny(AUDIT, model=str(tmp_path / "model"), sentences=8, gradients=1)
    found = facts_of(ran(recipe, tmp_path / "runs"))
    assert found["skipped"].keys() == {"task"}
    assert all(math.isfinite(value) for value, *_ in found["measures"]["parity"].values())


def test_a_base_model_says_nothing_of_likelihood_and_the_rest_is_measured(tmp_path):
    tokenizer = tiny_tokenizer(STYLES["modernbert"])
    save_model(tiny_model("modernbert", AutoModel, tokenizer), tokenizer, tmp_path / "model")
    found = facts_of(ran(tiny(AUDIT, model=str(tmp_path / "model"), sentences=8), tmp_path / "runs"))
    assert "head" in found["skipped"]["bits"]
    assert found["measures"].keys() >= {"premium", "retrieval", "cosine"}
    assert not found["measures"].keys() & {"bits_per_byte", "parity", "gradient"}


def test_a_task_model_is_audited_with_its_own_scores(topics, tmp_path):
    recipe = tiny(AUDIT, model=str(topics), task="topic", test={tag: "miniature/test:10" for tag in TAGS})
    found = facts_of(ran(recipe, tmp_path))
    assert found["skipped"].keys() == {"bits"}
    assert found["measures"]["behind"].keys() == {"fr-Latn", "sw-Latn"}
    assert found["model"]["language_model"] is False


def test_text_alone_leaves_out_what_needs_translations(model, tmp_path):
    recipe = tiny(AUDIT, without=("aligned",), model=str(model), text={"eng": "miniature/test:10"})
    found = facts_of(ran(recipe, tmp_path))
    assert found["skipped"].keys() == {"alignment", "task"}
    assert "premium" not in found["measures"]
    assert found["advice"] == []


def test_few_sentences_are_not_searched(model, tmp_path):
    for tag in TAGS:
        (tmp_path / f"{tag}.txt").write_text("".join(f"{line}\n" for line in sentences(tag, "test", 3)))
    files = {tag: str(tmp_path / f"{tag}.txt") for tag in TAGS}
    found = facts_of(ran(tiny(AUDIT, model=str(model), aligned=files), tmp_path / "runs"))
    assert "3 aligned sentences are too few" in found["skipped"]["alignment"]
    assert found["measures"]["premium"]


def test_a_model_with_the_same_weights_for_two_languages_finds_every_translation(model, tmp_path):
    """Sentences of one language under two names: everything is equal."""
    lines = "".join(f"{line}\n" for line in sentences("en-Latn", "test", 20))
    for tag in ("eng", "fra"):
        (tmp_path / f"{tag}.txt").write_text(lines, encoding="utf-8")
    files = {tag: str(tmp_path / f"{tag}.txt") for tag in ("eng", "fra")}
    found = facts_of(ran(tiny(AUDIT, model=str(model), aligned=files), tmp_path / "runs"))["measures"]
    for name in ("premium", "parity", "retrieval", "cka", "cosine", "gradient"):
        assert found[name]["fr-Latn"][0] == pytest.approx(1.0, abs=1e-4), name


def test_a_language_s_own_tokenizer_reads_it(tmp_path):
    """A clone costs what its original costs, in rows of its own, and nothing can be trimmed."""
    corpora = {"eng": "miniature/train:40"}
    mixture = {"kind": "fixed", "shares": {"eng": 0.6, "eng-x-2": 0.4}}
    clones = {"of": "eng", "count": 2}
    pretraining = tiny(PRETRAIN, without=("dev", "test"), corpora=corpora, mixture=mixture, clones=clones)
    base = ran(pretraining, tmp_path)
    aligned = {tag: "miniature/test:10" for tag in ("eng", "eng-x-2")}
    recipe = tiny(AUDIT, model=str(base.folder / "model"), aligned=aligned, sentences=8, gradients=1)
    found = facts_of(ran(recipe, tmp_path))
    assert found["measures"]["premium"]["en-Latn-x-2"] == [1.0, 1.0, 1.0]
    assert (
        found["measures"]["tokens_per_word"]["en-Latn-x-2"] == found["measures"]["tokens_per_word"]["en-Latn"]
    )
    assert found["vocabulary"]["used"]["en-Latn-x-2"] == found["vocabulary"]["used"]["en-Latn"]
    assert found["vocabulary"]["kept"] is None


def test_without_files_it_is_the_embedded_world_and_says_so(model):
    recipe = AuditRecipe.model_validate({"method": "audit", "model": str(model)})
    assert recipe.aligned["sw-Latn"] == ("miniature/test:200",)
    assert len(recipe.aligned) == 6
    assert recipe.source == "en-Latn"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aligned": {"eng": "a.txt"}}, "a second"),
        ({"task": "topic"}, "give both"),
        ({"test": {"eng": "a.tsv"}}, "give both"),
        ({"tuned": "x"}, "name the `task`"),
        ({"task": "lm", "test": {"eng": "a.txt"}}, "measures anyway"),
        ({"source": "deu"}, "not among the languages of `aligned`"),
        ({"source": "deu", "text": {"eng": "a.txt"}, "aligned": {}}, "not among the languages of `text`"),
        ({"aligned": {"engl1sh": "a.txt", "fra": "b.txt"}}, "unknown language"),
        ({"sentences": 2}, "at least 8"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes, said):
    with pytest.raises(RecipeError) as refused:
        resolve(Document(AUDIT | {"model": "m"} | changes))
    assert said in refused.value.message()


def test_the_source_is_english_where_there_is_english_else_the_first():
    assert resolve(Document(AUDIT | {"model": "m"})).source == "en-Latn"
    others = {"fra": "a.txt", "swa": "b.txt"}
    assert resolve(Document(AUDIT | {"model": "m", "aligned": others})).source == "fr-Latn"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"aligned": {"eng": "nowhere.txt", "fra": "nowhere2.txt"}}, DataError),
        ({"text": {"eng": "nowhere.txt"}}, DataError),
        ({"max_length": 4096}, RecipeError),
    ],
)
def test_what_is_missing_is_said_before_anything_is_read(model, changes, error, tmp_path):
    with pytest.raises(error):
        ran(tiny(AUDIT | changes, model=str(model)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_scores_of_another_model_are_not_taken_for_its_own(model, topics, tmp_path):
    other = shutil.copytree(topics, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"vocab_size": 9999}))
    recipe = tiny(AUDIT, model=str(model), task="topic", test={"eng": "miniature/test:8"}, tuned=str(other))
    with pytest.raises(RecipeError, match=r"other has 2 layers of .* and 9,999 rows"):
        ran(recipe, tmp_path / "runs")


def test_the_model_is_left_as_it_was(model, tmp_path):
    before = load_model(model, "masked").state_dict()
    ran(tiny(AUDIT, model=str(model)), tmp_path)
    after = load_model(model, "masked").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
