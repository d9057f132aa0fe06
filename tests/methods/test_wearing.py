"""A task learnt on a model that wears the source's delta, and tested in what each language wears (LT-SFT)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from isogloss.core.errors import DataError, ModelError, RecipeError
from isogloss.data.miniature import task_examples
from isogloss.evaluate.suite import evaluate
from isogloss.methods.deltas import read_delta, tuned_model
from isogloss.models.backbone import load_model, load_tokenizer
from isogloss.models.portions import portions
from isogloss.models.tasks import load_task_model
from isogloss.sparse.delta import fingerprint
from isogloss.sparse.select import count
from tiny_runs import DISTIL, FINETUNE, PRETRAIN, logged, ran, tiny

SECOND = {"steps": 4, "batch_size": 4, "learning_rate": 2e-2, "log_every": 1}


def language_delta(model, tag, folder):
    recipe = tiny(
        PRETRAIN,
        without=("architecture", "vocabulary", "mixture", "dev"),
        model=str(model),
        corpora={tag: "miniature/train:60"},
        training__steps=3,
        training__learning_rate=2e-2,
        sparse={"density": 0.05, "training": SECOND},
    )
    (path,) = (ran(recipe, folder).folder / "deltas").iterdir()
    return str(path)


@pytest.fixture(scope="module")
def deltas(model, tmp_path_factory):
    return {tag: language_delta(model, tag, tmp_path_factory.mktemp(tag)) for tag in ("eng", "fra")}


def recipe(model, deltas, **changes):
    test = {tag: "miniature/test:8" for tag in ("eng", "fra", "rus")}
    sparse = {"density": 0.05, "training": SECOND}
    return tiny(
        FINETUNE,
        **{"model": str(model), "task": "ner", "test": test, "deltas": deltas, "sparse": sparse} | changes,
    )


@pytest.fixture(scope="module")
def run(model, deltas, tmp_path_factory):
    return ran(recipe(model, deltas), tmp_path_factory.mktemp("wearing"))


@pytest.fixture(scope="module")
def task(run):
    return run.folder / "deltas" / "ner.safetensors"


def scores(run, language):
    return {
        line["metric"]: line["value"]
        for line in run.metrics
        if line.get("split") == "test" and line["language"] == language
    }


def test_the_task_s_delta_is_one_of_the_bare_model_and_of_exactly_its_size(task, model):
    delta, parts = read_delta(task), portions(load_model(model, "base"))
    assert delta.base == fingerprint(parts.base)
    assert delta.entries == count(0.05, sum(tensor.numel() for tensor in parts.body.values()))


def test_the_model_left_is_the_base_with_the_source_s_delta_and_the_task_s(run, task, model, deltas):
    left, _ = load_task_model(run.folder / "model")
    added, _ = tuned_model(model, [deltas["eng"], task])
    bare, _ = tuned_model(model, [task])
    for name, tensor in portions(left).all.items():
        torch.testing.assert_close(tensor, portions(added).all[name], rtol=0, atol=1e-6)
    assert any(
        not torch.allclose(tensor, portions(bare).all[name]) for name, tensor in portions(left).all.items()
    )


@pytest.mark.parametrize(("language", "worn"), [("en-Latn", "eng"), ("fr-Latn", "fra"), ("ru-Cyrl", None)])
def test_each_language_is_tested_in_its_own_delta(run, task, model, deltas, language, worn):
    wearing, tokenizer = tuned_model(model, [task, *([deltas[worn]] if worn else [])])
    examples = {language: task_examples("ner", language, "test", 8)}
    found = evaluate(wearing, tokenizer, examples, headline="span_f1")
    assert scores(run, language) == pytest.approx(found.scores[language])


def test_what_is_worn_makes_a_difference_to_the_predictions(task, model, deltas):
    examples = task_examples("ner", "fr-Latn", "test", 8)
    logits = []
    for paths in ([task], [task, deltas["fra"]], [task, deltas["eng"]]):
        wearing, tokenizer = tuned_model(model, paths)
        rows = tokenizer([" ".join(examples[0].words)], return_tensors="pt")
        with torch.no_grad():
            logits.append(wearing.eval()(dict(rows)).logits["tags"])
    assert not torch.allclose(logits[0], logits[1])
    assert not torch.allclose(logits[1], logits[2])


def test_the_first_phase_begins_where_the_source_s_delta_leaves_the_model(run, model, deltas, tmp_path):
    bare = ran(recipe(model, {}), tmp_path)
    first = [logged(each, "loss", phase="finetune-full", step=1)[0]["value"] for each in (run, bare)]
    assert first[0] != first[1]


def test_with_fewer_rows_the_delta_is_the_same_kind_of_thing(model, deltas, tmp_path):
    found = ran(recipe(model, deltas, used_rows_only=True), tmp_path)
    delta = read_delta(found.folder / "deltas" / "ner.safetensors")
    assert delta.base == fingerprint(portions(load_model(model, "base")).base)
    tuned_model(model, [found.folder / "deltas" / "ner.safetensors", deltas["fra"]])


def test_a_student_learns_beside_the_base_with_both_deltas(task, model, deltas, tmp_path):
    phase2 = {key: value for key, value in FINETUNE.items() if key != "method"} | {
        "task": "ner",
        "teacher": {"model": str(model), "deltas": [deltas["eng"], str(task)]},
    }
    found = ran(tiny(DISTIL, teacher=str(model), phase1__deltas=deltas, phase2=phase2), tmp_path)
    assert logged(found, "span_f1", split="test", language="fr-Latn", model="student")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sparse": None}, "must be a delta itself"),
        ({"train": {"eng": "miniature/train:24", "fra": "miniature/train:24"}}, "the delta of one language"),
        ({"dev": {"fra": "miniature/dev:6"}}, "have to be of that one"),
        ({"task": "nli", "prompt": "nli"}, "deltas, prompt"),
    ],
)
def test_what_cannot_be_worn_is_refused(model, deltas, changes, message):
    with pytest.raises(RecipeError, match=message):
        recipe(model, deltas, **changes)


def test_a_delta_that_is_not_there_is_told_before_anything_runs(model, tmp_path):
    with pytest.raises(DataError, match="no such file") as caught:
        ran(recipe(model, {"fra": str(tmp_path / "none.safetensors")}), tmp_path)
    assert caught.value.where == "deltas"


def test_a_target_s_delta_of_another_model_fails_before_the_training(model, deltas, tmp_path):
    worn = Path(deltas["eng"]).parents[1] / "model"
    other = language_delta(worn, "fra", tmp_path / "other")
    with pytest.raises(ModelError, match="another model"):
        ran(recipe(model, {"eng": deltas["eng"], "fra": other}), tmp_path / "wearing")
    (folder,) = (tmp_path / "wearing").iterdir()
    assert not (folder / "metrics.jsonl").exists()


def test_the_tokenizer_of_the_base_reads_for_all(run, model):
    assert load_tokenizer(run.folder / "model").get_vocab() == load_tokenizer(model).get_vocab()
