"""Pipelines: stages in their order, and models handed on."""

from __future__ import annotations

import shutil

import pytest
import torch

from isogloss.core.config import Document
from isogloss.core.errors import RecipeError
from isogloss.core.run import read_run
from isogloss.methods.planning import plan
from isogloss.methods.table import resolve, run_recipe
from isogloss.models.tasks import load_task_model
from tiny_runs import DISTIL, FINETUNE, LEVEL, PRETRAIN, TOPICS, logged, ran


def piped(**stages):
    return resolve(Document({"method": "pipeline", "name": "piped", "stages": stages}))


def journey():
    task = {key: value for key, value in FINETUNE.items() if key != "method"} | {"task": "ner"}
    return piped(
        base=PRETRAIN,
        names=FINETUNE | {"model": "stage:base", "task": "ner", "as_name": "teacher"},
        small=DISTIL | {"teacher": "stage:base", "phase2": task | {"beside": {"teacher": "stage:names"}}},
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return ran(journey(), tmp_path_factory.mktemp("whole"))


def test_each_stage_has_a_run_folder_with_its_model_and_card(whole):
    for name in ("base", "names", "small"):
        stage = read_run(whole.folder / "stages" / name)
        assert stage.status["state"] == "finished"
        assert (stage.folder / "model" / "config.json").exists()
        assert (stage.folder / "card.md").exists()
    assert (whole.folder / "report.html").exists()


def test_a_later_stage_scores_the_model_of_an_earlier_one(whole):
    small = read_run(whole.folder / "stages" / "small")
    names = read_run(whole.folder / "stages" / "names")

    def scores(run):
        return [
            (line["metric"], line["language"], line["value"])
            for line in run.metrics
            if line["phase"] == "evaluate" and line["model"] == "teacher"
        ]

    assert scores(small) == scores(names) != []


def test_plans_of_stages_equal_what_the_stages_made(whole):
    base, names, small = plan(journey())
    for planned, name, model in ((base, "base", "model"), (names, "names", "teacher")):
        [row] = [row for row in planned.rows if row.what == "parameters"]
        made = read_run(whole.folder / "stages" / name).sizes[model]["parameters"]
        assert int(row.value.replace(",", "")) == made
    [row] = [row for row in small.rows if row.what == "teacher"]
    made = read_run(whole.folder / "stages" / "small").sizes["teacher"]["parameters"]
    assert row.value == f"{made:,} parameters"


def test_a_pipeline_whose_folder_was_moved_goes_on_from_its_finished_stages(whole, tmp_path):
    moved = tmp_path / "elsewhere" / whole.folder.name
    shutil.copytree(whole.folder, moved)
    for path in (moved, moved / "stages" / "small"):
        (path / "status.json").write_text('{"state": "running"}')
    before = (moved / "stages" / "base" / "metrics.jsonl").stat().st_mtime_ns
    assert run_recipe(journey(), out=moved.parent) == moved
    assert read_run(moved / "stages" / "small").status["state"] == "finished"
    assert (moved / "stages" / "base" / "metrics.jsonl").stat().st_mtime_ns == before


def even_journey():
    """Pretrain, tune, level; then students learn from the levelled model, one tuned and one smaller."""
    task = {key: value for key, value in TOPICS.items() if key != "method"} | {"teacher": "stage:even"}
    return piped(
        base=PRETRAIN,
        topics=TOPICS | {"model": "stage:base"},
        even=LEVEL | {"model": "stage:topics", "test": {tag: "miniature/test:8" for tag in LEVEL["test"]}},
        tuned=TOPICS | {"model": "stage:base", "teacher": "stage:even", "head": "teacher"},
        small=DISTIL | {"teacher": "stage:base", "phase2": task | {"head": "teacher"}},
    )


@pytest.fixture(scope="module")
def even(tmp_path_factory):
    return ran(even_journey(), tmp_path_factory.mktemp("even"))


def test_a_levelled_model_teaches_later_stages(even):
    stages = {name: read_run(even.folder / "stages" / name) for name in ("topics", "even", "tuned", "small")}
    before, after = (load_task_model(stages[name].folder / "model")[0] for name in ("topics", "even"))
    assert any(not torch.equal(*pair) for pair in zip(before.parameters(), after.parameters(), strict=True))

    def scores(name, model):
        found = logged(stages[name], "accuracy", phase="evaluate", model=model)
        return {line["language"]: line["value"] for line in found}

    levelled = scores("even", "levelled")
    for name in ("tuned", "small"):
        assert logged(stages[name], "logits", split="train")
        assert scores(name, "teacher") == {tag: levelled[tag] for tag in ("en-Latn", "fr-Latn")}


def test_a_plan_counts_the_parameters_of_the_model_that_is_levelled(even):
    planned = plan(even_journey())[2]
    [row] = [row for row in planned.rows if row.what == "parameters"]
    made = read_run(even.folder / "stages" / "even").sizes["levelled"]["parameters"]
    assert int(row.value.replace(",", "")) == made


@pytest.mark.parametrize(
    ("stages", "complaint"),
    [
        (
            {"base": PRETRAIN, "names": FINETUNE | {"model": "stage:bse", "task": "ner"}},
            "stage:bse.*did you mean 'base'",
        ),
        (
            {"names": FINETUNE | {"model": "stage:base", "task": "ner"}, "base": PRETRAIN},
            "stage:base.*there is none before it",
        ),
        ({"base": PRETRAIN | {"tokenizer": "stage:base"}}, r"stages\.base\.tokenizer"),
        ({}, "at least 1"),
    ],
)
def test_references_to_unknown_or_later_stages_are_refused(stages, complaint):
    with pytest.raises(RecipeError, match=f"(?s){complaint}"):
        piped(**stages)


def test_a_stage_outside_a_pipeline_is_refused():
    with pytest.raises(RecipeError, match="not a pipeline"):
        resolve(Document(FINETUNE | {"model": "stage:base", "task": "ner"}))


def test_a_mistake_in_the_last_stage_is_found_before_the_first(tmp_path):
    recipe = piped(
        base=PRETRAIN,
        names=FINETUNE | {"model": "stage:base", "task": "ner", "test": {"eng": str(tmp_path / "no.tsv")}},
    )
    with pytest.raises(Exception, match=r"stages\.names\.test\.en-Latn"):
        run_recipe(recipe, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
