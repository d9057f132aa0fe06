"""Every shipped recipe parses, plans and runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from isogloss.core.config import Document, parse_document, recipe_hash, to_yaml
from isogloss.core.run import read_run
from isogloss.methods.planning import plan
from isogloss.methods.shipped import recipe_text, shipped_recipes
from isogloss.methods.sweep_file import load_sweep
from isogloss.methods.table import load_recipe, resolve, run_recipe
from isogloss.models.architecture import Architecture
from isogloss.report.page import stage_folders
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


def embedded(value, split=""):
    """A recipe's values without what is not in the embedded world."""
    if split in ("train", "dev", "test", "unlabelled") and isinstance(value, dict):
        place = {"dev": "dev", "test": "test"}.get(split, "train")
        return {tag: f"miniature/{place}:24" for tag in value if tag in ("eng", "fra", "deu")}
    if isinstance(value, dict):
        return {key: embedded(inner, "" if key == "limit" else key) for key, inner in value.items()}
    return "stage:base" if value == "xlm-roberta-base" else value


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.name)
def test_the_recipes_of_benchmarks_parse(path):
    assert load_recipe(path).method


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TINY if name != "tiny/demo"])
def test_a_tiny_recipe_runs_as_it_stands(name, tmp_path):
    folder = run_recipe(load_recipe(name), out=tmp_path)
    assert read_run(folder).status["state"] == "finished"
