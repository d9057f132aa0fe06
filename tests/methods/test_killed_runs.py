"""Runs killed with SIGKILL in the middle of a method end as if nothing had happened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from isogloss.core.run import read_run
from tiny_runs import DISTIL, FINETUNE, LEVEL, PRETRAIN, TOPICS

SCRIPT = Path(__file__).with_name("killed_run.py")
TASK = {key: value for key, value in FINETUNE.items() if key != "method"} | {"task": "ner"}
RECIPE = {
    "method": "pipeline",
    "name": "killed",
    "stages": {
        "base": PRETRAIN,
        "small": DISTIL | {"teacher": "stage:base", "phase2": TASK},
        "topics": TOPICS | {"model": "stage:base"},
        "even": LEVEL
        | {
            "model": "stage:topics",
            "training": LEVEL["training"] | {"accumulate": 2},
            "distillation": {"aim": "pairs", "teacher": "average", "decay": 0.9},
        },
    },
}
STAGES = tuple(RECIPE["stages"])
DEATHS = ("pretrain:5", "phase1:3", "level:3")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """One run left alone, and one killed in pretraining, in phase 1 and while its languages are levelled."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork and SIGKILL")
    folder = tmp_path_factory.mktemp("killed")
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    command = [sys.executable, str(SCRIPT), str(recipe), str(folder), *DEATHS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return [next((folder / name).iterdir()) for name in ("whole", "killed")]


@pytest.mark.parametrize("stage", STAGES)
def test_the_final_weights_are_equal_bit_for_bit(killed, stage):
    whole, again = (load_file(run / "stages" / stage / "model" / "model.safetensors") for run in killed)
    assert whole.keys() == again.keys()
    assert all(whole[name].equal(again[name]) for name in whole)


@pytest.mark.parametrize("stage", STAGES)
def test_every_measurement_is_there_once(killed, stage):
    def measured(run):
        return [
            {key: item for key, item in line.items() if key != "time"}
            for line in read_run(run / "stages" / stage).metrics
            if line["metric"] != "tokens_per_second"
        ]

    whole, again = (sorted(measured(run), key=repr) for run in killed)
    assert whole == again


def test_samples_and_sizes_are_the_same(killed):
    whole, again = (read_run(run / "stages" / "small") for run in killed)
    assert whole.samples == again.samples
    assert whole.sizes == again.sizes


def test_the_report_of_the_killed_run_is_whole(killed):
    _, run = killed
    assert "</html>" in (run / "report.html").read_text(encoding="utf-8")
    assert not list(run.rglob("*.tmp-*"))
