"""`isogloss level` from a shell: a run, its tables, and mistakes said before anything is learnt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isogloss.core.errors import RecipeError
from isogloss.methods.level import LevelRecipe
from isogloss.methods.level_options import level_recipe

UNLABELLED = [f"--unlabelled={tag}=miniature/train:30" for tag in ("eng", "fra", "swa")]
SHORT = ["--set", "training.batch_size=6", "--set", "selection.draws=20", "--set", "guards.tolerance=0.9"]


def test_a_levelling_is_run_shown_and_found_again(shell, topics):
    tested = [f"--test={tag}=miniature/test:12" for tag in ("eng", "fra", "swa")]
    command = [
        "level",
        topics,
        "--task",
        "topic",
        *UNLABELLED,
        *tested,
        "--source",
        "eng",
        "--steps",
        2,
        *SHORT,
    ]
    answer = shell(*command, "--set", "guards.collapse=0")
    assert answer.code == 0, answer.err
    for wanted in ("teachers", "(teaches)", "(learns)", "gains and harms, topic accuracy", "report: "):
        assert wanted in answer.out, wanted
    again = shell(*command, "--set", "guards.collapse=0")
    assert again.out.splitlines()[-1] == answer.out.splitlines()[-1]
    page = Path(answer.out.splitlines()[-1].removeprefix("report: "))
    facts = json.loads(page.with_name("levelling.json").read_text(encoding="utf-8"))
    assert facts["source"] == "en-Latn"
    moved = facts["moves"]["sw-Latn"]
    assert moved["mended"] - moved["broken"] == round(12 * facts["changes"]["sw-Latn"]["mean"])


def test_a_language_model_is_levelled_through_a_prompt_without_test_sets(shell, backbone):
    answer = shell(
        "level", backbone, "--task", "topic", *UNLABELLED, "--prompt", "topic", "--steps", 1, *SHORT,
        "--aim", "pairs", "--selector", "reliability",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "There was no test set" in answer.out


def test_options_are_the_recipe_s_and_its_other_values_stay():
    recipe = level_recipe(
        "m",
        task="topic",
        unlabelled=["eng=a.tsv", "swa=b.tsv", "swa=c.tsv"],
        test=["swa=t.tsv"],
        source="eng",
        selector="agreement",
        aim="pairs",
        steps=7,
        overrides=["training.learning_rate=3e-6", "distillation.temperature=2", "items=50"],
    )
    usual = LevelRecipe.model_fields["training"].default
    assert recipe.unlabelled == {"en-Latn": ("a.tsv",), "sw-Latn": ("b.tsv", "c.tsv")}
    assert recipe.test == {"sw-Latn": ("t.tsv",)}
    assert (recipe.source, recipe.selection.selector, recipe.distillation.aim) == (
        "en-Latn",
        "agreement",
        "pairs",
    )
    assert (recipe.distillation.temperature, recipe.items) == (2, 50)
    assert recipe.training == usual.model_copy(update={"steps": 7, "learning_rate": 3e-6})


def test_epochs_can_stand_in_for_steps():
    files = ["eng=a.tsv", "swa=b.tsv"]
    changed = ["training.steps=null", "training.epochs=3"]
    recipe = level_recipe("m", task="topic", unlabelled=files, overrides=changed)
    assert (recipe.training.epochs, recipe.training.steps) == (3, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"selector": "confidnce"}, ["--selector", "did you mean 'confidence'?"]),
        ({"aim": "consensu"}, ["--aim", "did you mean 'consensus'?"]),
        ({"task": "ner"}, ["no classes that languages share"]),
        ({"source": "deu"}, ["not among the languages"]),
        ({"unlabelled": ["eng"]}, ["--unlabelled eng", "LANGUAGE=FILE"]),
        ({"unlabelled": ["eng=a.tsv"]}, ["--unlabelled", "at least 2"]),
        ({"prompt": "nil"}, ["--prompt", "did you mean 'nli'?"]),
        (
            {"overrides": ["distilation.aim=self"]},
            ["--set distilation.aim=self", "did you mean 'distillation'?"],
        ),
    ],
)
def test_a_mistake_is_told_by_the_option_it_is_in(changes, said):
    given = {"task": "topic", "unlabelled": ["eng=a.tsv", "swa=b.tsv"]} | changes
    with pytest.raises(RecipeError) as refused:
        level_recipe("m", **given)
    for part in said:
        assert part in refused.value.message(), refused.value.message()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--unlabelled", "deu=nowhere.tsv"], ["nowhere.tsv", "unlabelled.de-Latn"]),
        (["--set", "training.select=deu"], ["training.select", "en-Latn, fr-Latn, sw-Latn"]),
        (["--set", "training.select=worst-9"], ["training.select", "9"]),
        (["--set", "max_length=4096"], ["max_length", "4096"]),
        (["--set", "selection.teachers=[deu]"], ["selection.teachers: de-Latn", "en-Latn, fr-Latn, sw-Latn"]),
        (["--set", "guards.choose_by=source"], ["guards.choose_by", "`dev`"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_learnt(shell, topics, arguments, said):
    answer = shell("level", topics, "--task", "topic", *UNLABELLED, *arguments)
    assert answer.code == 2, answer.out
    for part in said:
        assert part in answer.err, answer.err


@pytest.mark.parametrize(
    ("task", "which", "said"),
    [
        ("nli", "nowhere", ["nowhere"]),
        ("topic", "backbone", ["not a folder that isogloss saved for a task", "model"]),
        ("copa", "topics", ["a model for", "asked to do copa"]),
    ],
)
def test_a_model_that_cannot_do_the_task_is_refused(shell, topics, backbone, task, which, said):
    model = {"nowhere": "nowhere", "backbone": backbone, "topics": topics}[which]
    answer = shell("level", model, "--task", task, *UNLABELLED)
    assert answer.code == 2, answer.out
    for part in said:
        assert part in answer.err, answer.err
