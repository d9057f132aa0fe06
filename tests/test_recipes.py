"""Every shipped recipe parses, plans and runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from isogloss.core.config import Document, parse_document, recipe_hash, to_yaml
from isogloss.core.languages import language
from isogloss.core.run import read_run
from isogloss.methods.planning import plan
from isogloss.methods.shipped import recipe_text, shipped_recipes
from isogloss.methods.sweep_file import load_sweep
from isogloss.methods.table import load_recipe, resolve, run_recipe
from isogloss.models.architecture import Architecture
from isogloss.report.page import stage_folders
from isogloss.vocab.rules import rule_of
from tiny_runs import PRETRAIN, ran, shortened
from tiny_runs import TINY as SIZES

SHIPPED = sorted(shipped_recipes())
RECIPES = [name for name in SHIPPED if not name.startswith("sweeps/")]
SWEEPS = [name for name in SHIPPED if name.startswith("sweeps/")]
BENCHMARKS = sorted(Path(__file__).parents[1].glob("benchmarks/**/*.yaml"))
TINY = [name for name in RECIPES if name.startswith("tiny/")]
PAPERS = [name for name in RECIPES if name.startswith("papers/")]


@pytest.mark.parametrize("name", SWEEPS)
def test_a_shipped_sweep_expands_into_recipes_that_can_be_planned(name):
    for run in load_sweep(name).runs:
        assert plan(run.recipe)


def test_every_shipped_recipe_is_tiny_or_a_paper_s():
    assert sorted(TINY + PAPERS) == RECIPES


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_says_what_it_does(name):
    assert shipped_recipes()[name].endswith(".")


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_recipe_can_be_planned(name):
    for planned in plan(load_recipe(name)):
        assert any("parameters" in row.what + row.value for row in planned.rows)
        assert planned.vocabulary > 0


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_survives_being_written_out_with_every_default(name):
    recipe = load_recipe(name)
    again = resolve(parse_document(to_yaml(recipe)))
    assert again == recipe
    assert recipe_hash(again) == recipe_hash(recipe)


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_recipe_runs_when_shortened(name, tmp_path):
    recipe = resolve(Document(shortened(yaml.safe_load(recipe_text(name)))))
    run = ran(recipe, tmp_path)
    assert run.status["state"] == "finished"
    for part in stage_folders(run.folder) or [run.folder]:
        assert (part / "model" / "config.json").exists() or (part / "audit.json").exists()
        assert any(line["split"] == "test" for line in read_run(part).metrics) or part.name == "base"
    assert (run.folder / "report.html").exists()


@pytest.mark.parametrize("name", [name for name in PAPERS if "alsace" in name])
def test_a_paper_s_recipe_runs_on_the_embedded_world(name, tmp_path):
    """With a small model, few steps, and the embedded world's languages in the place of files."""
    values = embedded(yaml.safe_load(recipe_text(name)))
    pretraining = PRETRAIN | {"vocabulary": {"kind": "unigram", "size": 600}}
    values["stages"] = {"base": pretraining, **values["stages"]}
    run = ran(resolve(Document(shortened(values))), tmp_path)
    assert run.status["state"] == "finished"
    facts = json.loads((run.folder / "stages" / "level" / "levelling.json").read_text(encoding="utf-8"))
    assert facts["changes"].keys() >= {"en-Latn", "fr-Latn", "de-Latn"}


BISTIL = {
    "papers/bistil-parsing": ("fao", "fo-Latn", "las"),
    "papers/bistil-ner": ("hau", "ha-Latn", "span_f1"),
    "papers/bistil-nli": ("quy", "quy-Latn", "accuracy"),
    "papers/bistil-qa": ("ell", "el-Grek", "f1"),
}


def test_every_task_of_the_bistil_paper_has_its_recipe():
    assert [name for name in PAPERS if "bistil" in name] == sorted(BISTIL)


@pytest.mark.parametrize("name", BISTIL)
def test_the_bistil_paper_s_recipe_runs_on_the_embedded_world(name, tmp_path):
    target, tag, metric = BISTIL[name]
    assert language(target).tag == tag
    text = recipe_text(name).replace(tag, "fr-Latn").replace(target, "fra")
    values = embedded(yaml.safe_load(text))
    values["stages"] = {"base": PRETRAIN, **values["stages"]}
    for stage in values["stages"].values():
        stage.pop("options", None)
        stage.get("phase2", {}).pop("options", None)
    run = ran(resolve(Document(short_rows(shortened(values)))), tmp_path)
    stages = {folder.name: read_run(folder) for folder in stage_folders(run.folder)}
    for whole, what in ((list(stages.values())[-2], "teacher"), (stages["student"], "student")):
        tested = [line for line in whole.metrics if line["split"] == "test" and line["metric"] == metric]
        assert {line["language"] for line in tested if line["model"] == what} == {"en-Latn", "fr-Latn"}


@pytest.mark.parametrize("name", BISTIL)
def test_the_bistil_paper_s_recipe_trains_as_published(name):
    student = load_recipe(name).stages["student"]
    assert (student.phase1.training.steps, student.phase1.training.batch_size) == (200_000, 8)
    assert (student.phase1.length, student.phase1.training.learning_rate) == (256, 1e-4)
    assert student.student.vocabulary.rule() == rule_of(min_probability=1e-6)
    assert student.phase2.losses.weights == {"hidden": 1.0, "attention": 1.0, "logits": 1.0}
    assert (student.phase2.losses.logits.temperature, student.phase2.losses.logits.scaled) == (2.0, False)
    assert (student.phase2.sparse.density, student.phase2.sparse.norms) == (0.08, "frozen")
    assert bool(student.phase1.deltas) is (name != "papers/bistil-qa")


def short_rows(value):
    """A recipe's values with rows and documents that the small models can read."""
    if isinstance(value, dict):
        return {
            key: min(inner, 32)
            if key in ("length", "max_length") and isinstance(inner, int) and inner > 64
            else short_rows(inner)
            for key, inner in value.items()
        }
    return value


IMBALANCE = [name for name in PAPERS if "imbalance" in name]


@pytest.mark.parametrize("name", IMBALANCE)
def test_the_imbalance_paper_s_recipe_runs_on_the_embedded_world(name, tmp_path):
    values = yaml.safe_load(recipe_text(name)) | {
        "architecture": {"family": "gpt2", "variant": "languini", "head_width": 8, **SIZES},
        "corpora": {"eng": "miniature/train:100"},
        "test": {tag: "miniature/test:20" for tag in ("eng", "eng-x-2")},
        "length": 32,
        "perplexity": {"window": 32, "scored": 8},
    }
    values["training"] |= {"steps": 3, "warmup": 1, "batch_size": 2}
    run = ran(resolve(Document(shortened(values))), tmp_path)
    assert run.status["state"] == "finished"
    tested = [line for line in run.metrics if line["split"] == "test" and line["metric"] == "perplexity"]
    assert [line["language"] for line in tested] == ["en-Latn", "en-Latn-x-2"]


@pytest.mark.parametrize("name", IMBALANCE)
def test_the_imbalance_paper_s_recipe_trains_as_published(name):
    recipe = load_recipe(name)
    training = recipe.training
    assert training.batch_size * training.accumulate == 128
    assert training.steps * 128 * recipe.length == 1_197_015_040
    assert training.learning_rate * training.final == pytest.approx(6e-6)
    assert (training.betas, training.eps, training.clip) == ((0.9, 0.95), 1e-8, None)
    assert (recipe.perplexity.window, recipe.perplexity.scored) == (512, 128)
    assert recipe.architecture == Architecture.model_validate(name.removeprefix("papers/imbalance-"))


HUB = ("xlm-roberta-base", "bert-base-multilingual-cased", "microsoft/mdeberta-v3-base")


def embedded(value, split=""):
    """A recipe's values without what is not in the embedded world."""
    if split in ("corpora", "train", "dev", "test", "unlabelled") and isinstance(value, dict):
        place = {"dev": "dev", "test": "test"}.get(split, "train")
        return {tag: f"miniature/{place}:24" for tag in value if tag in ("eng", "fra", "deu")}
    if isinstance(value, dict):
        return {key: embedded(inner, "" if key == "limit" else key) for key, inner in value.items()}
    return "stage:base" if value in HUB else value


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.name)
def test_the_recipes_of_benchmarks_parse(path):
    assert load_recipe(path).method


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TINY if name != "tiny/demo"])
def test_a_tiny_recipe_runs_as_it_stands(name, tmp_path):
    folder = run_recipe(load_recipe(name), out=tmp_path)
    assert read_run(folder).status["state"] == "finished"
