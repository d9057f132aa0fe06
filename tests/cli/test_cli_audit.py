"""`isogloss audit` from a shell: a run, its table and advice, and mistakes said before anything is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isogloss.core.errors import RecipeError
from isogloss.methods.audit_options import audit_recipe

ALIGNED = [f"--aligned={tag}=miniature/test:12" for tag in ("eng", "fra", "swa")]


def test_an_audit_is_run_shown_and_found_again(shell, backbone, topics):
    tested = [f"--test={tag}=miniature/test:8" for tag in ("eng", "swa")]
    command = [
        "audit", backbone, *ALIGNED, "--text=eng=miniature/dev:9", "--task=topic", *tested, "--tuned", topics,
        "--sentences=8", "--set=gradients=1",
    ]  # fmt: skip
    answer = shell(*command)
    assert answer.code == 0, answer.err
    for wanted in ("Weak in", "premium", "parity", "found %", "* weak", "report: "):
        assert wanted in answer.out, wanted
    again = shell(*command)
    assert again.out.splitlines()[-1] == answer.out.splitlines()[-1]
    page = Path(answer.out.splitlines()[-1].removeprefix("report: "))
    facts = json.loads(page.with_name("audit.json").read_text(encoding="utf-8"))
    assert facts["read"]["stand_ins"] == ["fr-Latn", "sw-Latn"]
    assert facts["skipped"] == {}


def test_without_files_it_reads_the_embedded_world_and_says_so(shell, backbone):
    answer = shell("audit", backbone, "--sentences", 8, "--set", "gradients=0")
    assert answer.code == 0, answer.err
    assert "What was read is the embedded world" in answer.out
    assert "Turkish" in answer.out


def test_options_are_the_recipe_s_and_its_other_values_stay():
    recipe = audit_recipe(
        "m",
        text=["eng=a.txt", "eng=b.txt"],
        aligned=["eng=c.tsv", "swa=d.tsv"],
        source="swa",
        task="topic",
        test=["swa=e.tsv"],
        tuned="t",
        sentences=50,
        overrides=["lines=7"],
    )
    assert recipe.text == {"en-Latn": ("a.txt", "b.txt")}
    assert recipe.aligned == {"en-Latn": ("c.tsv",), "sw-Latn": ("d.tsv",)}
    assert (recipe.source, recipe.task, recipe.tuned) == ("sw-Latn", "topic", "t")
    assert (recipe.sentences, recipe.lines, recipe.gradients) == (50, 7, 16)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aligned": ["eng"]}, ["--aligned eng", "LANGUAGE=FILE"]),
        ({"text": ["eng=a.txt"], "source": "engl1sh"}, ["--source", "did you mean"]),
        ({"task": "topc"}, ["--task", "did you mean 'topic'?"]),
        ({"task": "topic"}, ["task, test", "give both"]),
        ({"overrides": ["sentnces=9"]}, ["--set sentnces=9", "did you mean 'sentences'?"]),
    ],
)
def test_a_mistake_is_told_by_the_option_it_is_in(changes, said):
    with pytest.raises(RecipeError) as refused:
        audit_recipe("m", **changes)
    for part in said:
        assert part in refused.value.message(), refused.value.message()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--text", "eng=nowhere.txt"], ["nowhere.txt", "text.en-Latn"]),
        (["--aligned", "eng=nowhere.tsv", "--aligned", "fra=x.tsv"], ["nowhere.tsv", "aligned.en-Latn"]),
        (
            ["--task", "topic", "--test", "eng=miniature/test:8"],
            ["not a folder that isogloss saved", "model"],
        ),
        (["--set", "max_length=4096"], ["max_length", "4096"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_read(shell, backbone, arguments, said):
    answer = shell("audit", backbone, *arguments)
    assert answer.code == 2, answer.out
    for part in said:
        assert part in answer.err, answer.err
    assert not list(Path("runs").glob("*/audit.json"))
