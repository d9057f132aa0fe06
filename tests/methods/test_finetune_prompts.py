"""Through a prompt a pretrained model is scored as it is, tuned, trimmed and taken apart like any other."""

from __future__ import annotations

import pytest
import yaml

from isogloss.core.errors import DataError, ModelError, RecipeError
from isogloss.methods.deltas import tuned_model
from isogloss.methods.planning import plan
from isogloss.methods.prompts import pieces_needed
from isogloss.methods.scoring import evaluate_files
from isogloss.methods.trim import trim_model
from isogloss.models.backbone import load_tokenizer
from isogloss.models.tasks import load_task_model, saved_prompt
from tiny_runs import FINETUNE, logged, ran, tiny

NLI = {
    "patterns": {"eng": "{text} {pair} The <mask>.", "fra": "{text} {pair} Le <mask>."},
    "verbalisers": {
        "eng": {"entailment": "child", "neutral": "woman", "contradiction": "teacher"},
        "fra": {"entailment": "enfant", "neutral": "femme", "contradiction": "professeur"},
    },
}
COPA = {
    "patterns": "{premise} {question} <mask>",
    "verbalisers": {"cause": "Why?", "effect": "And?"},
    "score": "mean",
}
DATA = ["eng=miniature/test:8", "fra=miniature/test:8"]


def recipe(model, task="nli", prompt=NLI, **changes):
    return tiny(FINETUNE, model=str(model), task=task, prompt=prompt, **changes)


@pytest.fixture(scope="module")
def tuned(model, tmp_path_factory):
    return ran(recipe(model, used_rows_only=True), tmp_path_factory.mktemp("prompted"))


def test_a_run_learns_through_the_prompt_and_its_model_scores_as_it_did_there(tuned):
    assert logged(tuned, "loss", split="train", step=3)
    loaded, _ = load_task_model(tuned.folder / "model")
    assert loaded.prompt.words("fr-Latn")["neutral"] == "femme"
    assert loaded.head is None
    found = evaluate_files(tuned.folder / "model", task="nli", data=DATA)
    for language, scores in found.scores.items():
        [line] = logged(tuned, "accuracy", split="test", language=language, model="model")
        assert line["value"] == pytest.approx(scores["accuracy"], abs=1e-9)


def test_plans_count_the_language_model_and_no_head_of_classes(tuned, model):
    [planned] = plan(recipe(model))
    [row] = [row for row in planned.rows if row.what == "parameters"]
    assert int(row.value.replace(",", "")) == tuned.sizes["model"]["parameters"]


def test_a_pretrained_model_is_scored_as_it_is(model, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(NLI, allow_unicode=True))
    found = evaluate_files(model, task="nli", data=DATA, prompt=str(file))
    assert set(found.scores) == {"en-Latn", "fr-Latn"}
    assert len(found.predictions["fr-Latn"][0].probabilities) == 3


def test_alternatives_are_chosen_from_with_the_shipped_prompt(model):
    found = evaluate_files(model, task="copa", data=DATA, prompt="copa")
    assert 0 <= found.scores["en-Latn"]["accuracy"] <= 1


def test_a_recipe_takes_a_shipped_prompt_by_name_and_holds_it_whole(model):
    read = recipe(model, prompt="nli")
    assert read.prompt.words("de-Latn")["neutral"] == "vielleicht"
    assert "patterns" in read.model_dump()["prompt"]


@pytest.mark.parametrize("task", ["nli", "copa"])
def test_a_prompted_model_is_tuned_sparsely_and_exported_from_its_delta(model, tmp_path, task):
    prompt = NLI if task == "nli" else COPA
    run = ran(recipe(model, task, prompt, sparse={"density": 0.05}), tmp_path)
    [delta] = (run.folder / "deltas").iterdir()
    again, _ = tuned_model(model, [delta])
    assert again.prompt == load_task_model(run.folder / "model")[0].prompt


def test_a_task_teacher_has_to_be_asked_by_the_same_prompt(tuned, model, tmp_path):
    teacher = {"model": str(tuned.folder / "model")}
    with pytest.raises(ModelError, match="same prompt"):
        ran(tiny(FINETUNE, model=str(model), task="nli", teacher=teacher), tmp_path / "headed")
    run = ran(recipe(model, teacher=teacher), tmp_path / "same")
    assert logged(run, "logits", split="train", step=3)


def test_the_words_of_a_prompt_and_what_fills_it_stay_when_a_vocabulary_is_trimmed(tuned, model, tmp_path):
    needed = pieces_needed(recipe(model))
    assert {"femme", "  Le femme.", "teacher"} <= set(needed)
    alternatives = pieces_needed(recipe(model, "copa", COPA))
    assert {"Why?", "Amina repaired the beds."} <= set(alternatives)
    out = tmp_path / "trimmed"
    places = {"en-Latn": ("miniature/train:20",), "fr-Latn": ("miniature/train:20",)}
    held = {"en-Latn": ("miniature/test:5",)}
    trim_model(tuned.folder / "model", corpora=places, held_out=held, out=out)
    full, small = load_tokenizer(tuned.folder / "model"), load_tokenizer(out)
    assert len(small) < len(full)
    assert saved_prompt(out) == load_task_model(tuned.folder / "model")[0].prompt
    for word in ("child", "woman", "teacher", "enfant", "femme", "professeur"):
        assert small.tokenize(word) == full.tokenize(word)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pooling": "mean"}, "pooling, prompt: not together"),
        ({"task": "ner"}, "kind 'tags'"),
        ({"task": "paraphrase"}, "'0' has no verbaliser"),
        ({"prompt": "nil"}, "did you mean 'nli'"),
        ({"prompt": {"patterns": "{text}"}}, "exactly one <mask>"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(model, changes, words):
    with pytest.raises(RecipeError, match=words):
        recipe(model, **changes)


def test_a_tuned_model_is_not_asked_by_another_prompt_nor_one_in_a_language_without(tuned, model, tmp_path):
    with pytest.raises(ModelError, match="has learnt a task, and a prompt"):
        evaluate_files(tuned.folder / "model", task="nli", data=DATA, prompt="nli")
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(NLI))
    with pytest.raises(DataError, match="no pattern in de-Latn"):
        evaluate_files(model, task="nli", data=["deu=miniature/test:8"], prompt=str(file))
