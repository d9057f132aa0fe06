"""Every shipped recipe parses, plans and runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from isogloss.core.config import Document, parse_document, recipe_hash, to_yaml
from isogloss.core.run import read_run
from isogloss.methods.planning import plan
from isogloss.methods.shipped import recipe_text, shipped_recipes
from isogloss.methods.table import load_recipe, resolve, run_recipe
from isogloss.report.page import stage_folders
from tiny_runs import ran, shortened

RECIPES = sorted(shipped_recipes())
BENCHMARKS = sorted(Path(__file__).parents[1].glob("benchmarks/**/*.yaml"))
TINY = [name for name in RECIPES if name.startswith("tiny/")]


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_says_what_it_does_and_can_be_planned(name):
    assert shipped_recipes()[name].endswith(".")
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
        assert (part / "model" / "config.json").exists()
        assert any(line["split"] == "test" for line in read_run(part).metrics) or part.name == "base"
    assert (run.folder / "report.html").exists()


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.name)
def test_the_recipes_of_benchmarks_parse(path):
    assert load_recipe(path).method


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TINY if name != "tiny/demo"])
def test_a_tiny_recipe_runs_as_it_stands(name, tmp_path):
    folder = run_recipe(load_recipe(name), out=tmp_path)
    assert read_run(folder).status["state"] == "finished"
