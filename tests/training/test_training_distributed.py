"""Two processes on one machine, over gloo.

Started by torchrun, because `accelerate launch --cpu --num_processes 2` quietly starts one process
(accelerate 1.15 starts several on CPUs through mpirun alone).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import same_bits

SCRIPT = str(Path(__file__).with_name("distributed_training.py"))
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

pytestmark = pytest.mark.slow


def start(*arguments, two):
    command = [sys.executable, *(TWO if two else ()), SCRIPT, *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        timeout=300,
    )


def finished(*arguments, two):
    done = start(*arguments, two=two)
    assert done.returncode == 0, done.stderr[-3000:]


def log(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    kept = [line for line in lines if line["metric"] != "tokens_per_second"]
    return {(line["metric"], line["step"], line.get("language")): line["value"] for line in kept}


def test_two_processes_do_what_one_does_with_twice_as_many_micro_batches_dropout_included(tmp_path):
    finished(tmp_path / "one", 4, 6, 0, two=False)
    finished(tmp_path / "two", 2, 6, 0, two=True)
    one, two, other = (load_file(tmp_path / f"{name}.safetensors") for name in ("one-0", "two-0", "two-1"))
    assert same_bits(two, other)
    assert (one.pop("calls"), two.pop("calls")) == (24, 12)  # a buffer that counts a process's own batches
    # The bias of the keys has no gradient but rounding noise, which AdamW makes as large as its rate.
    keys = one.pop("layer.self_attn.in_proj_bias"), two.pop("layer.self_attn.in_proj_bias")
    torch.testing.assert_close(*keys, rtol=0, atol=6e-3)
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-5)
    assert one["ledger"].sum() == one["tokens"] > 0
    logged = {name: log(tmp_path / name) for name in ("one", "two")}
    assert logged["two"].keys() == logged["one"].keys()
    for key, value in logged["one"].items():
        tolerance = 0.05 if key[0] == "score" else 1e-4
        assert logged["two"][key] == pytest.approx(value, rel=1e-3, abs=tolerance), key


def test_two_processes_that_stop_go_on_to_the_weights_of_two_that_do_not(tmp_path):
    finished(tmp_path / "whole", 2, 6, 0, two=True)
    stopped = start(tmp_path / "stopped", 2, 6, 5, two=True)
    assert stopped.returncode != 0
    assert "the loss became nan at step 5 of tiny" in stopped.stderr
    finished(tmp_path / "stopped", 2, 6, 0, two=True)
    whole, again = (load_file(tmp_path / f"{name}-0.safetensors") for name in ("whole", "stopped"))
    torch.testing.assert_close(again, whole, rtol=0, atol=0)
    assert log(tmp_path / "whole") == log(tmp_path / "stopped")
