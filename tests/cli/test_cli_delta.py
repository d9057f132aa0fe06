"""`isogloss delta` on the deltas of two small trainings and a student."""

from __future__ import annotations

import pytest
import torch

from isogloss.methods.deltas import read_delta
from isogloss.models.tasks import load_task_model
from tiny_runs import DISTIL, FINETUNE, ran, tiny

SPARSE = {"density": 0.05}
TASK = {"train__eng": "miniature/train:60", "training__steps": 2, "sparse": SPARSE}


@pytest.fixture(scope="module")
def deltas(backbone, tmp_path_factory):
    """Files of a delta for names and one for topics."""
    found = {}
    for task in ("ner", "topic"):
        recipe = tiny(FINETUNE, without=("dev", "test"), model=str(backbone), task=task, **TASK)
        found[task] = ran(recipe, tmp_path_factory.mktemp(task)).folder / "deltas" / f"{task}.safetensors"
    return found


@pytest.fixture(scope="module")
def student(backbone, tmp_path_factory):
    recipe = tiny(DISTIL, teacher=str(backbone), phase1__training__steps=2)
    return ran(recipe, tmp_path_factory.mktemp("student")).folder


def test_show_tells_what_deltas_change_and_where_they_meet(shell, deltas):
    answer = shell("delta", "show", deltas["ner"], deltas["topic"])
    assert answer.code == 0, answer.err
    assert "layers.*.attn.Wqkv.weight" in answer.out
    assert "task: ner" in answer.out
    assert "where they meet" in answer.out


def test_export_makes_a_task_model(shell, backbone, deltas):
    answer = shell("delta", "export", backbone, deltas["ner"], "--out", "names")
    assert (answer.code, answer.out.strip()) == (0, "names")
    assert load_task_model("names")[0].kind == "tags"


def test_apply_says_which_heads_were_left_out(shell, backbone, deltas):
    answer = shell("delta", "apply", backbone, deltas["topic"], "--out", "worn")
    assert answer.code == 0, answer.err
    assert "left out" in answer.out


def test_deltas_add_up_and_their_sum_can_be_exported(shell, backbone, deltas):
    answer = shell(
        "delta",
        "add",
        deltas["ner"],
        deltas["topic"],
        "--out",
        "sum.safetensors",
        "--heads-of",
        deltas["ner"],
    )
    assert answer.code == 0, answer.err
    parts = [read_delta(path) for path in deltas.values()]
    total = read_delta("sum.safetensors")
    assert max(part.entries for part in parts) <= total.entries <= sum(part.entries for part in parts)
    assert total.dense.keys() == parts[0].dense.keys()
    assert shell("delta", "export", backbone, "sum.safetensors", "--out", "both").code == 0


def test_a_delta_can_be_carried_onto_a_student_and_worn_there(shell, backbone, deltas, student):
    answer = shell(
        "delta", "carry", deltas["ner"], "--from", backbone, "--to", student / "model",
        "--vocabulary", student / "vocabulary", "--layers", "every-2nd", "--out", "small.safetensors",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "carried: " in answer.out
    assert "layer" in answer.out
    assert 0 < read_delta("small.safetensors").entries < read_delta(deltas["ner"]).entries
    assert shell("delta", "export", student / "model", "small.safetensors", "--out", "names").code == 0
    model, _ = load_task_model("names")
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_a_student_knows_what_a_delta_has_to_lose(shell, backbone, deltas, student):
    """Rows and layers are in its origin; telling them again changes nothing."""
    files = {"told": ["--vocabulary", student / "vocabulary", "--layers", "every-2nd"], "known": []}
    for name, told in files.items():
        answer = shell(
            "delta", "carry", deltas["ner"], "--from", backbone, "--to", student / "model", *told,
            "--out", f"{name}.safetensors",
        )  # fmt: skip
        assert answer.code == 0, answer.err
    told, known = (read_delta(f"{name}.safetensors") for name in files)
    assert told.changes.keys() == known.changes.keys()
    for name, change in told.changes.items():
        assert torch.equal(change.indices, known.changes[name].indices)
        assert torch.equal(change.values, known.changes[name].values)


def test_a_delta_of_another_model_is_refused_with_both_fingerprints(shell, deltas, student):
    answer = shell("delta", "export", student / "model", deltas["ner"], "--out", "x")
    assert answer.code == 2
    assert "learnt on another" in answer.err
    assert "carry" in answer.err


def test_what_is_no_delta_is_refused(shell, backbone):
    answer = shell("delta", "show", backbone / "model.safetensors")
    assert answer.code == 2
    assert "not a delta" in answer.err


@pytest.mark.parametrize("command", ["apply", "export"])
def test_the_model_may_be_one_of_the_hub(shell, deltas, command):
    answer = shell("delta", command, "nobody/no-such-model", deltas["ner"], "--out", "worn")
    assert answer.code != 0
    assert "HF_HUB_OFFLINE" in answer.err  # it was looked for there
