"""Fine-tuning for every kind of task, from the recipe to a folder that loads again."""

from __future__ import annotations

import json

import pytest
import transformers

from isogloss.core.errors import DataError, ModelError, RecipeError
from isogloss.methods.planning import plan
from isogloss.methods.scoring import evaluate_files
from isogloss.models.tasks import load_task_model
from tiny_runs import FINETUNE, logged, ran, tiny

TASKS = {
    "nli": {"accuracy", "macro_f1"},
    "topic": {"accuracy", "macro_f1"},
    "paraphrase": {"accuracy", "macro_f1"},
    "copa": {"accuracy"},
    "cloze": {"accuracy", "mrr"},
    "ner": {"span_f1", "accuracy"},
    "pos": {"accuracy"},
    "parsing": {"uas", "las"},
    "qa": {"em", "f1"},
}
STOCK = {
    "nli": "AutoModelForSequenceClassification",
    "cloze": "AutoModelForMaskedLM",
    "ner": "AutoModelForTokenClassification",
    "qa": "AutoModelForQuestionAnswering",
}


@pytest.fixture(scope="module")
def finetuned(model, tmp_path_factory):
    """From a task's name to its finished run, each made once."""
    runs = {}

    def run(task):
        if task not in runs:
            more = {"train__eng": "miniature/train:150"} if task == "topic" else {}
            recipe = tiny(FINETUNE, model=str(model), task=task, **more)
            runs[task] = ran(recipe, tmp_path_factory.mktemp(task))
        return runs[task]

    return run


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_is_logged_for_every_language(finetuned, task):
    run = finetuned(task)
    scored = [line for line in run.metrics if line["phase"] == "evaluate"]
    assert {line["metric"] for line in scored} == TASKS[task]
    assert {line["language"] for line in scored} == {"en-Latn", "fr-Latn"}
    assert len(scored) == 2 * len(TASKS[task])
    assert logged(run, "loss", split="train", step=3)


@pytest.mark.parametrize("task", TASKS)
def test_the_saved_model_scores_as_it_did_in_its_run(finetuned, task):
    run = finetuned(task)
    found = evaluate_files(
        run.folder / "model", task=task, data=["eng=miniature/test:8", "fra=miniature/test:8"]
    )
    for language, scores in found.scores.items():
        for metric, value in scores.items():
            [line] = logged(run, metric, split="test", language=language, model="model")
            assert line["value"] == pytest.approx(value, abs=1e-9), metric


@pytest.mark.parametrize("task", TASKS)
def test_plans_know_the_parameters_to_the_last_one(finetuned, model, task):
    run = finetuned(task)
    more = {"train__eng": "miniature/train:150"} if task == "topic" else {}
    [planned] = plan(tiny(FINETUNE, model=str(model), task=task, **more))
    [row] = [row for row in planned.rows if row.what == "parameters"]
    assert int(row.value.replace(",", "")) == run.sizes["model"]["parameters"]
    loaded, _ = load_task_model(run.folder / "model")
    assert run.sizes["model"]["parameters"] == sum(p.numel() for p in loaded.parameters())


@pytest.mark.parametrize("task", STOCK)
def test_transformers_alone_loads_models_with_stock_heads(finetuned, task):
    folder = finetuned(task).folder / "model"
    auto = getattr(transformers, STOCK[task])
    _, report = auto.from_pretrained(folder, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_sample_predictions_are_kept_per_language(finetuned):
    samples = finetuned("ner").samples
    assert {line["language"] for line in samples} == {"en-Latn", "fr-Latn"}
    assert all({"input", "gold", "predicted"} <= line.keys() for line in samples)


def test_models_beside_are_scored_on_the_same_tests(finetuned, model, tmp_path):
    other = finetuned("nli").folder / "model"
    run = ran(tiny(FINETUNE, model=str(model), task="nli", beside={"before": str(other)}, seed=1), tmp_path)
    for language in ("en-Latn", "fr-Latn"):
        [again] = logged(run, "accuracy", split="test", language=language, model="before")
        [first] = logged(finetuned("nli"), "accuracy", split="test", language=language)
        assert again["value"] == first["value"]
        assert logged(run, "accuracy", split="test", language=language, model="model")


def test_a_model_beside_of_another_kind_is_refused_before_training(finetuned, model, tmp_path):
    recipe = tiny(
        FINETUNE, model=str(model), task="ner", beside={"other": str(finetuned("nli").folder / "model")}
    )
    with pytest.raises(ModelError, match="asked to do ner"):
        ran(recipe, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_missing_test_file_is_found_before_training(model, tmp_path):
    recipe = tiny(FINETUNE, model=str(model), task="ner", test={"fra": str(tmp_path / "none.tsv")})
    with pytest.raises(DataError, match=r"none\.tsv  \(test\.fr-Latn\)"):
        ran(recipe, tmp_path)


def test_a_test_file_without_answers_is_found_before_training(model, tmp_path):
    blind = tmp_path / "blind.tsv"
    blind.write_text("Anton\nging\n")
    recipe = tiny(FINETUNE, model=str(model), task="ner", test={"deu": str(blind)})
    with pytest.raises(DataError, match="1 examples of ner in de-Latn, and none with an answer") as caught:
        ran(recipe, tmp_path / "runs")
    assert caught.value.where == str(blind)
    assert not list((tmp_path / "runs").glob("*/checkpoints"))


def test_a_label_that_training_does_not_show_is_found_before_training(model, tmp_path):
    for name, label in (("train", "sport"), ("test", "sports")):
        (tmp_path / f"{name}.tsv").write_text(f"text\tlabel\na word\t{label}\nanother\ttravel\n")
    recipe = tiny(
        FINETUNE,
        without=("dev",),
        model=str(model),
        task="topic",
        train={"eng": str(tmp_path / "train.tsv")},
        test={"eng": str(tmp_path / "test.tsv")},
    )
    with pytest.raises(DataError, match=r"label 'sports'.*\n.*\n.*did you mean 'sport'"):
        ran(recipe, tmp_path / "runs")
    [folder] = (tmp_path / "runs").iterdir()
    assert not (folder / "checkpoints").exists()
    assert json.loads((folder / "status.json").read_text())["state"] == "failed"


def test_choosing_by_a_language_without_dev_is_refused_before_training(model, tmp_path):
    recipe = tiny(FINETUNE, model=str(model), task="ner", training__select="swa")
    with pytest.raises(RecipeError, match="sw-Latn, in which nothing is evaluated"):
        ran(recipe, tmp_path)


def test_scores_that_a_killed_process_had_written_are_not_there_twice(finetuned, model, tmp_path):
    recipe = tiny(FINETUNE, model=str(model), task="nli", seed=5)
    first = ran(recipe, tmp_path)
    status = first.folder / "status.json"
    status.write_text(json.dumps({**json.loads(status.read_text()), "state": "running"}))
    again = ran(recipe, tmp_path)
    assert len(logged(again, "accuracy", split="test")) == 2
    assert len(again.samples) == len(first.samples)
