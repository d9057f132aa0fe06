"""A sweep's file becomes recipes, each known by what varies in it, and mistakes have their line."""

from __future__ import annotations

import pytest
import yaml

from isogloss.core.config import parse_document
from isogloss.core.errors import RecipeError
from isogloss.methods.sweep_file import expand, is_sweep, load_sweep
from tiny_runs import FINETUNE, PRETRAIN

BASE = {"recipe": PRETRAIN}
WITH_DEV = PRETRAIN | {"dev": {"eng": "miniature/test:8"}}


def expanded(text, base=PRETRAIN):
    """A sweep over a recipe that is written on the first line."""
    recipe = yaml.safe_dump(base, default_flow_style=True, width=10_000).strip()
    return expand(parse_document(f"recipe: {recipe}\n{text}", source="s.yaml"))


def refused(text, base=PRETRAIN):
    with pytest.raises(RecipeError) as error:
        expanded(text, base)
    return error.value.message()


def test_a_grid_is_every_combination_and_every_seed():
    found = expanded("grid: {length: [16, 32], training.steps: [2, 3]}\nseeds: [4, 5]")
    got = [(run.recipe.length, run.recipe.training.steps, run.recipe.seed) for run in found.runs]
    assert got == [(a, b, c) for a in (16, 32) for b in (2, 3) for c in (4, 5)]
    assert found.keys == ("length", "training.steps")
    assert found.runs[1].name == "length-16-steps-2-seed-5"
    assert found.runs[0].setting == found.runs[1].setting == "length-16-steps-2"
    assert found.runs[1].varied == {"length": "16", "training.steps": "2"}


def test_keys_that_go_together_take_their_values_in_step_beside_the_grid():
    found = expanded("zip: {training.steps: [2, 4], training.batch_size: [8, 4]}\ngrid: {length: [16, 32]}")
    got = [(r.recipe.length, r.recipe.training.steps, r.recipe.training.batch_size) for r in found.runs]
    assert got == [(16, 2, 8), (16, 4, 4), (32, 2, 8), (32, 4, 4)]


def test_several_groups_of_keys_are_combined():
    found = expanded("zip: [{training.steps: [2, 4], length: [16, 32]}, {seed: [1, 2], as_name: [a, b]}]")
    assert [(r.recipe.length, r.recipe.as_name, r.seed) for r in found.runs] == [
        (16, "a", 1), (16, "b", 2), (32, "a", 1), (32, "b", 2)
    ]  # fmt: skip


def test_values_have_names_where_they_are_given_some():
    shares = "{90: {eng: 0.9, fra: 0.1}, half: {eng: 1, fra: 1}}"
    found = expanded(f"grid: {{mixture.shares: {shares}}}")
    assert [run.name for run in found.runs] == ["shares-90", "shares-half"]
    assert found.runs[0].recipe.mixture.shares == {"en-Latn": 0.9, "fr-Latn": 0.1}
    unnamed = expanded("grid: {mixture.shares: [{eng: 0.9, fra: 0.1}]}")
    assert unnamed.runs[0].varied == {"mixture.shares": "eng 0.9, fra 0.1"}
    assert unnamed.runs[0].name == "shares-eng-0.9-fra-0.1"


def test_runs_written_out_stand_beside_the_grid_and_say_what_the_base_has_elsewhere():
    found = expanded("grid: {length: [16]}\nruns: {long: {training.steps: 9}}\nseeds: [0]")
    assert [(run.name, run.recipe.training.steps) for run in found.runs] == [
        ("length-16-seed-0", 6), ("long-seed-0", 9)
    ]  # fmt: skip
    assert [dict(run.varied) for run in found.runs] == [
        {"length": "16", "training.steps": "6"}, {"length": "32", "training.steps": "9"}
    ]  # fmt: skip


def test_seeds_alone_repeat_the_base():
    assert [(run.name, run.setting) for run in expanded("seeds: [0, 1]").runs] == [
        ("base-seed-0", "base"), ("base-seed-1", "base")
    ]  # fmt: skip


def test_a_seed_is_every_stage_s_in_a_pipeline():
    stages = {"base": PRETRAIN, "task": FINETUNE | {"model": "stage:base", "task": "topic"}}
    found = expanded("seeds: [3]", {"method": "pipeline", "stages": stages})
    assert [stage.seed for stage in found.runs[0].recipe.stages.values()] == [3, 3]


def test_an_override_replaces_a_mapping_and_reaches_into_one():
    found = expanded(
        "runs:\n"
        "- {corpora: {fra: miniature/train:9}, mixture: {kind: proportional}}\n"
        "- {mixture.kind: fixed, mixture.shares.fra: 1}"
    )
    assert list(found.runs[0].recipe.corpora) == ["fr-Latn"]
    assert found.runs[1].recipe.mixture.shares == {"en-Latn": 0.8, "fr-Latn": 1.0}


def test_long_names_stay_short_and_apart():
    long = [
        {f"{tag}": f"miniature/train:{n}" for tag in ("eng", "fra", "deu", "rus", "tur", "swa")}
        for n in (8, 9)
    ]
    found = expanded(f"grid: {{corpora: {long}}}\nseeds: [0, 1]", PRETRAIN | {"mixture": {}})
    names = [run.name for run in found.runs]
    assert len(set(names)) == 4
    assert max(map(len, names)) < 100
    assert found.runs[0].setting == found.runs[1].setting != found.runs[2].setting


def test_no_run_is_called_as_another_by_the_number_it_is_given():
    steps = {"a b": 40, "a-b": 41, "a-b-2": 42}
    runs = {name: {"training.steps": count} for name, count in steps.items()}
    found = expanded(f"runs: {yaml.safe_dump(runs, default_flow_style=True).strip()}")
    assert len({run.name for run in found.runs}) == 3
    assert [run.recipe.training.steps for run in found.runs] == [40, 41, 42]


def test_a_seed_in_the_name_and_one_of_the_recipe_are_two_runs():
    found = expanded("runs: {a: {seed: 1}, a-seed-1: {training.steps: 4}}")
    assert [run.name for run in found.runs] == ["a-seed-1", "a-seed-1-2"]


def test_a_mistake_of_one_run_is_told_with_the_line_that_makes_it():
    with pytest.raises(RecipeError) as refused:
        expanded("runs:\n  good: {seed: 1}\n  bad: {mixture.shares.deu: 3}")
    assert "changed by s.yaml:" in refused.value.message()
    with pytest.raises(RecipeError) as refused:
        expanded("seeds: [0, 1]", PRETRAIN | {"length": 4})
    assert "changed by" not in refused.value.message()


@pytest.mark.parametrize("varied", ["runs: {a: {seed: 5}}", "grid: {seed: [0, 1]}"])
def test_a_seed_of_its_own_beside_seeds_for_all_is_refused(varied):
    with pytest.raises(RecipeError, match="one of the two"):
        expanded(f"{varied}\nseeds: [0, 1]")


def test_recipes_that_look_alike_in_a_table_are_settings_of_their_own():
    found = expanded("runs: [{length: 24, dev: {}}, {length: 24}]\nseeds: [0, 1]", WITH_DEV)
    assert found.runs[0].varied == found.runs[2].varied
    assert [run.setting for run in found.runs] == ["length-24-dev"] * 2 + ["length-24"] * 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("grid: {training.stepz: [1]}", ["s.yaml:2", "training.stepz", "did you mean 'steps'?"]),
        ("grid:\n  length: [16, long]", ["s.yaml:3", '"long"', "a whole number"]),
        ("grid:\n  length:\n  - 16\n  - 4", ["s.yaml:5", "at least 8"]),
        ("runs:\n- {length: 16}\n- {lenght: 16}", ["s.yaml:4", "unknown key 'lenght'", "'length'"]),
        ("zip: {length: [16, 32], training.steps: [1]}", ["s.yaml:2", "2 values (length), 1 values"]),
        ("grid: {length: 16}", ["s.yaml:2", "a list of values, or names for them"]),
        ("grid: {length: []}", ["s.yaml:2", "at least 1"]),
        ("grid: {length: [16, 16]}", ["two runs are the same recipe: length-16 and length-16"]),
        ("gird: {length: [16]}", ["s.yaml:2", "unknown key 'gird'", "'grid'"]),
        ("seeds: [a]", ["s.yaml:2", "a whole number"]),
        ("grid: {.length: [16]}", ["no dotted key"]),
        ("grid: {corpora.xyzzy: [a.txt]}", ["s.yaml:2", "unknown language"]),
        ("grid: {training.learning_rates.first: [1]}", ["training.learning_rates", "'learning_rate'"]),
    ],
)
def test_a_mistake_is_told_with_its_line(text, wanted):
    message = refused(text)
    for part in wanted:
        assert part in message, message


def test_every_mistake_is_told_and_each_once():
    message = refused("grid: {length: [2, 16], training.stepz: [1, 2]}\nseeds: [0, 1]")
    assert message.count("2 is not allowed here") == 1
    assert message.count("training.stepz") == 1


def test_a_mistake_in_the_recipe_written_here_has_its_line():
    text = "recipe:\n  method: pretrain\n  lenght: 3\nseeds: [0]"
    with pytest.raises(RecipeError, match=r"s.yaml:3  lenght"):
        expand(parse_document(text, source="s.yaml"))


def test_the_recipe_may_be_a_file_beside_the_sweep_or_a_shipped_one(tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(PRETRAIN))
    (tmp_path / "s.yaml").write_text("recipe: base.yaml\nseeds: [7]\n")
    (tmp_path / "t.yaml").write_text("recipe: tiny/pretrain-causal\nname: shipped\nseeds: [7]\n")
    assert load_sweep(tmp_path / "s.yaml").runs[0].recipe.seed == 7
    assert load_sweep(tmp_path / "s.yaml").name == "s"
    assert load_sweep(tmp_path / "t.yaml").name == "shipped"
    (tmp_path / "u.yaml").write_text("recipe: bsae.yaml\nseeds: [7]\n")
    with pytest.raises(RecipeError, match=r"u.yaml:1 +recipe(.|\n)*did you mean"):
        load_sweep(tmp_path / "u.yaml")


def test_a_recipe_is_no_sweep():
    assert not is_sweep(parse_document(yaml.safe_dump(PRETRAIN)))
    assert is_sweep(parse_document(yaml.safe_dump(BASE | {"seeds": [0]})))
    with pytest.raises(RecipeError, match="which is one run"):
        expand(parse_document(yaml.safe_dump(PRETRAIN)))
