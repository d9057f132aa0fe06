"""A pipeline carried out by two processes, over gloo, leaves what one leaves with twice `accumulate`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file

from isogloss.core.run import read_run
from tiny_runs import DISTIL, FINETUNE, LEVEL, PRETRAIN, TOPICS

TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TASK = {key: value for key, value in FINETUNE.items() if key != "method"} | {"task": "ner"}
EXACT = {"precision": "fp32", "clip": None}
STAGES = ("base", "small", "topics", "even", "own", "clones")

pytestmark = pytest.mark.slow


def recipe(accumulate):
    """Seven trainings; clipping would make a rounding error in one weight one in all."""
    settings = EXACT | {"accumulate": accumulate}
    phase1 = DISTIL["phase1"] | {"training": DISTIL["phase1"]["training"] | settings}
    phase2 = TASK | {"training": TASK["training"] | settings}
    clones = {key: value for key, value in PRETRAIN.items() if key != "mixture"} | {
        "clones": {"of": "eng"},
        "schedule": {"kind": "adaptive", "every": 2, "probe": 4},
        "training": PRETRAIN["training"] | settings,
    }
    topics = TOPICS | {"model": "stage:base", "training": phase2["training"]}
    level = LEVEL | {"model": "stage:topics", "training": LEVEL["training"] | settings}
    return {
        "method": "pipeline",
        "name": "together",
        "stages": {
            "base": PRETRAIN | {"training": PRETRAIN["training"] | settings},
            "small": DISTIL | {"teacher": "stage:base", "phase1": phase1, "phase2": phase2},
            "topics": topics,
            "even": level | {"distillation": {"teacher": "average", "decay": 0.9}},
            "own": level | {"distillation": {"aim": "self", "keep": 0.3}},
            "clones": clones,
        },
    }


def start(folder, values, *, two):
    folder.mkdir(exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    command = (*(TWO if two else ()), "-m", "isogloss", "run", path, "--out", folder / "runs")
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        timeout=300,
        check=False,
    )


def finished(folder, values, *, two):
    done = start(folder, values, two=two)
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = (folder / "runs").iterdir()
    return run, done


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of one process and one of two, and what the two printed."""
    folder = tmp_path_factory.mktemp("together")
    one, _ = finished(folder / "one", recipe(2), two=False)
    two, done = finished(folder / "two", recipe(1), two=True)
    return one, two, done


def test_both_leave_the_same_files(runs):
    one, two = ({str(path.relative_to(run)) for path in run.rglob("*")} for run in runs[:2])
    assert one == two


@pytest.mark.parametrize("stage", STAGES)
def test_both_leave_nearly_the_same_weights(runs, stage):
    one, two = (load_file(run / "stages" / stage / "model" / "model.safetensors") for run in runs[:2])
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("stage", STAGES)
def test_both_log_the_same_measurements_once(runs, stage):
    def measured(run):
        lines = read_run(run / "stages" / stage).metrics
        keys = ("phase", "step", "split", "metric", "language", "model", "task")
        return {tuple(line.get(key) for key in keys): line["value"] for line in lines}, len(lines)

    (one, lines_of_one), (two, lines_of_two) = map(measured, runs[:2])
    assert lines_of_one == lines_of_two == len(one)
    assert one.keys() == two.keys()
    for key, value in one.items():
        if key[3] in ("loss", "tokens", "share", "epochs", "perplexity", "share_in_force"):
            assert two[key] == pytest.approx(value, rel=1e-2), key


def test_both_are_finished_and_one_process_alone_prints(runs):
    one, two, done = runs
    assert [read_run(run).status["state"] for run in (one, two)] == ["finished"] * 2
    assert done.stdout.count("report: ") == 1


def test_two_processes_that_find_their_run_finished_change_nothing(runs):
    _, two, _ = runs
    before = {path: path.stat().st_mtime_ns for path in two.rglob("*.*") if path.is_file()}
    again, done = finished(two.parent.parent, recipe(1), two=True)
    assert again == two
    assert done.stdout.count("report: ") == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_failure_is_told_in_words_and_written_down(tmp_path):
    values = PRETRAIN | {"corpora": {"eng": str(tmp_path / "blank.txt")}, "mixture": {"kind": "proportional"}}
    (tmp_path / "blank.txt").write_text("\n", encoding="utf-8")
    failed = start(tmp_path, values, two=True)
    assert failed.returncode != 0
    assert "an empty corpus" in failed.stderr
    assert failed.stderr.count("Traceback") == 1  # the launcher's own, at its end
    (run,) = (tmp_path / "runs").iterdir()
    assert read_run(run).status["state"] == "failed"
