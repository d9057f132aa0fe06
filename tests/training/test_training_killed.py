"""A run killed with SIGKILL, at moments drawn by the clock and inside the writing of checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny_training import same_bits

SCRIPT = Path(__file__).with_name("killed_training.py")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    if not hasattr(os, "fork"):
        pytest.skip("needs fork and SIGKILL")
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, str(SCRIPT), str(folder), "1"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return folder, dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one_bit_for_bit(killed, precision):
    folder, processes = killed
    whole = load_file(folder / f"{precision}-whole" / "final.safetensors")
    again = load_file(folder / f"{precision}-killed" / "final.safetensors")
    assert int(processes[precision]) >= 3
    assert same_bits(whole, again)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_run_logs_each_measurement_once_and_the_same(killed, precision):
    folder, _ = killed
    assert _log(folder / f"{precision}-whole") == _log(folder / f"{precision}-killed")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_run_leaves_the_same_checkpoints_and_nothing_half_written(killed, precision):
    folder, _ = killed
    whole, again = (folder / f"{precision}-{name}" / "checkpoints" for name in ("whole", "killed"))
    assert sorted(p.name for p in whole.iterdir()) == sorted(p.name for p in again.iterdir())


def _log(folder: Path) -> list[dict]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [
        {key: item for key, item in line.items() if key != "time"}
        for line in lines
        if line["metric"] != "tokens_per_second"
    ]
