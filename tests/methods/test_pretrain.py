"""Pretraining, from the recipe to the run folder."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

import isogloss.methods.pretrain as pretrain_module
from isogloss.core.errors import DataError, IsoglossWarning, RecipeError
from isogloss.core.run import open_run
from isogloss.methods.check import check
from isogloss.methods.deltas import apply_deltas
from isogloss.methods.scoring import evaluate_files
from isogloss.methods.sources import corpora, note_data
from isogloss.methods.text import tokenised
from isogloss.models.anatomy import anatomy
from isogloss.models.backbone import load_model
from tiny_models import tiny_tokenizer
from tiny_runs import PRETRAIN, TINY, logged, ran, tiny


def test_a_run_leaves_a_model_that_transformers_loads(pretrained):
    folder = pretrained.folder / "model"
    model = AutoModelForMaskedLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.vocab_size == len(tokenizer) == 500
    with torch.no_grad():
        logits = model(**tokenizer("The farmer sells a <mask>.", return_tensors="pt")).logits
    assert logits.shape[-1] == 500


def test_every_part_of_the_run_folder_is_there(pretrained):
    names = {path.name for path in pretrained.folder.iterdir()}
    assert {"recipe.yaml", "environment.json", "metrics.jsonl", "status.json", "sizes.json"} <= names
    assert {"report.html", "card.md", "model", "checkpoints", "tokenizer"} <= names
    assert pretrained.status["state"] == "finished"
    assert pretrained.environment["data"].keys() == {"en-Latn", "fr-Latn"}


def test_a_run_does_not_go_on_with_another_text(tmp_path):
    text = tmp_path / "eng.txt"
    text.write_text("The farmer sells a horse.\n" * 50, encoding="utf-8")
    recipe = tiny(PRETRAIN, corpora={"eng": str(text)}, mixture={}, dev={}, test={}, vocabulary__size=64)
    with open_run(tmp_path / "run", recipe) as run:
        note_data(run, corpora(recipe.corpora))
        note_data(run, corpora(recipe.corpora))
        text.write_text("The farmer buys a horse.\n" * 50, encoding="utf-8")
        with pytest.raises(DataError, match="the text of en-Latn is another than when this run began"):
            note_data(run, corpora(recipe.corpora))


def test_a_vocabulary_that_a_small_language_kept_small_is_told(tmp_path):
    few = {"eng": "miniature/train:400", "fra": "miniature/train:1"}
    with pytest.warns(
        IsoglossWarning, match=r"instead of 500 for en-Latn, fr-Latn: .* bounds what the others"
    ):
        ran(tiny(PRETRAIN, corpora=few, test={}, training__steps=1), tmp_path)


def test_going_on_by_another_objective_is_refused_before_training(pretrained, tmp_path):
    base = {key: value for key, value in PRETRAIN.items() if key not in ("architecture", "vocabulary")}
    recipe = tiny(base, model=str(pretrained.folder / "model"), objective="causal")
    with pytest.raises(RecipeError, match=r"a modernbert, is masked[\s\S]*--set objective=masked"):
        check(recipe)


def test_half_a_token_file_of_a_killed_process_is_cleared_away(tmp_path):
    with open_run(tmp_path, tiny(PRETRAIN)) as run:
        left = run.folder / "tokens/abc.tmp-12345678"
        left.mkdir(parents=True)
        files = tokenised(corpora({"en-Latn": ("miniature/test:5",)}), tiny_tokenizer("unigram"), run)
        assert [path.name for path in left.parent.iterdir()] == [files["en-Latn"].folder.name]


def test_losses_dev_scores_and_test_scores_are_logged_by_language(pretrained):
    assert [line["step"] for line in logged(pretrained, "loss", split="train")] == [1, 2, 3, 4, 5, 6]
    dev = logged(pretrained, "loss", split="dev")
    assert [(line["step"], line.get("language")) for line in dev] == [
        (step, language) for step in (3, 6) for language in ("en-Latn", "fr-Latn", None)
    ]
    for metric in ("perplexity", "bits_per_byte"):
        test = logged(pretrained, metric, split="test", model="model")
        assert [line["language"] for line in test] == ["en-Latn", "fr-Latn"]
    assert dev[2]["value"] == pytest.approx((dev[0]["value"] + dev[1]["value"]) / 2)


def test_requested_and_realised_shares_are_logged(pretrained):
    requested = {
        line["language"]: line["value"] for line in logged(pretrained, "requested_share", phase="pretrain")
    }
    assert requested == {"en-Latn": pytest.approx(0.8), "fr-Latn": pytest.approx(0.2)}
    realised = logged(pretrained, "share", phase="pretrain")
    assert sum(line["value"] for line in realised[-2:]) == pytest.approx(1.0)


def test_evaluate_gives_the_logged_scores_again(pretrained):
    found = evaluate_files(
        pretrained.folder / "model",
        task="lm",
        data=["eng=miniature/test:5", "fra=miniature/test:5"],
    )
    for language, scores in found.scores.items():
        for metric, value in scores.items():
            [line] = logged(pretrained, metric, split="test", language=language)
            assert line["value"] == pytest.approx(value, rel=1e-6)


def test_pretraining_goes_on_from_a_model_with_its_tokenizer(model, tmp_path):
    recipe = tiny(
        PRETRAIN,
        without=("architecture", "vocabulary"),
        model=str(model),
        training__steps=3,
        as_name="again",
    )
    run = ran(recipe, tmp_path)
    before, after = (AutoTokenizer.from_pretrained(folder) for folder in (model, run.folder / "model"))
    assert before.get_vocab() == after.get_vocab()
    old = AutoModelForMaskedLM.from_pretrained(model).state_dict()
    new = AutoModelForMaskedLM.from_pretrained(run.folder / "model").state_dict()
    distance = max(float((old[name] - new[name]).abs().max()) for name in old)
    assert 0 < distance < 0.05
    assert run.sizes.keys() == {"again"}


@pytest.mark.parametrize(
    ("family", "kind", "objective"),
    [("bert", "wordpiece", "masked"), ("gpt2", "bpe", "causal"), ("llama", "unigram", "causal")],
)
def test_other_vocabularies_families_and_objectives_pretrain(family, kind, objective, tmp_path):
    recipe = tiny(
        PRETRAIN,
        architecture={"family": family, **TINY},
        vocabulary={"kind": kind, "size": 400},
        objective=objective,
        training__steps=3,
    )
    run = ran(recipe, tmp_path)
    auto = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
    assert auto.from_pretrained(run.folder / "model").config.model_type == family
    assert run.sizes["model"]["vocabulary"] == 400
    assert logged(run, "bits_per_byte", split="test", language="fr-Latn")


def on_used_rows(model, **changes):
    return tiny(
        PRETRAIN,
        without=("architecture", "vocabulary", "mixture"),
        model=str(model),
        corpora={"fra": "miniature/train:20"},
        used_rows_only=True,
        training__steps=4,
        training__weight_decay=0.1,
        **changes,
    )


@pytest.mark.parametrize("sparse", [None, {"density": 0.05}])
def test_rows_that_the_text_does_not_use_stay_as_they_were_to_the_bit(model, tmp_path, sparse):
    run = ran(on_used_rows(model, sparse=sparse), tmp_path)
    before, after = (load_model(folder, "masked") for folder in (model, run.folder / "model"))
    moved = (anatomy(before).embedding.weight != anatomy(after).embedding.weight).any(1)
    trained = run.environment["rows"]["trained"]
    assert 0 < int(moved.sum()) <= trained < run.environment["rows"]["of"] == 500
    assert after.config.vocab_size == 500
    assert logged(run, "loss", split="dev", language="fr-Latn")
    assert logged(run, "bits_per_byte", split="test", language="fr-Latn")
    if sparse:
        apply_deltas(model, [run.folder / "deltas" / "fr-Latn.safetensors"], tmp_path / "again")
        wanted, found = after.state_dict(), load_model(tmp_path / "again", "masked").state_dict()
        assert all(torch.equal(tensor, found[name]) for name, tensor in wanted.items())


def test_stopped_on_the_rows_in_use_a_run_ends_with_the_same_model_bit_for_bit(model, tmp_path, monkeypatch):
    recipe = on_used_rows(model, training__checkpoint_every=1)
    wanted = load_model(ran(recipe, tmp_path / "whole").folder / "model", "masked").state_dict()
    original, calls = pretrain_module.aligned_labels, []

    def stopping(labels, objective):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(labels, objective)

    monkeypatch.setattr(pretrain_module, "aligned_labels", stopping)
    with pytest.raises(KeyboardInterrupt):
        ran(recipe, tmp_path)
    found = load_model(ran(recipe, tmp_path).folder / "model", "masked").state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in wanted.items())


def test_a_new_model_has_no_rows_to_leave_out():
    with pytest.raises(RecipeError, match="used_rows_only"):
        tiny(PRETRAIN, used_rows_only=True)


def test_running_a_finished_recipe_again_changes_no_file(pretrained):
    before = {path: path.stat().st_mtime_ns for path in pretrained.folder.rglob("*")}
    again = ran(tiny(PRETRAIN), pretrained.folder.parent)
    assert again.folder == pretrained.folder
    assert {path: path.stat().st_mtime_ns for path in pretrained.folder.rglob("*")} == before


def test_a_report_that_a_kill_prevented_is_written_the_next_time(pretrained):
    page = pretrained.folder / "report.html"
    page.unlink()
    ran(tiny(PRETRAIN), pretrained.folder.parent)
    assert "<html" in page.read_text(encoding="utf-8")


def test_a_faulty_test_file_is_found_before_the_training(tmp_path):
    (tmp_path / "test.jsonl").write_text('{"text": "one"}\n{"text": \n', encoding="utf-8")
    with pytest.raises(DataError) as caught:
        ran(tiny(PRETRAIN, test={"eng": str(tmp_path / "test.jsonl")}), tmp_path / "runs")
    assert caught.value.where == f"{tmp_path / 'test.jsonl'}:2"
    assert not list((tmp_path / "runs").glob("*/metrics.jsonl"))
