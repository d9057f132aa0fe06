"""A sweep on a Ray cluster of two workers, started here."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import yaml

from isogloss.core.config import parse_document
from isogloss.core.errors import IsoglossWarning, UserError
from isogloss.core.run import STOPPED
from isogloss.methods.runners.cluster import _room, _tell_of_no_room, on_cluster
from isogloss.methods.sweep import sweep
from isogloss.methods.sweep_file import expand
from tiny_runs import PRETRAIN

SMALL = PRETRAIN | {"dev": {}, "training": PRETRAIN["training"] | {"steps": 2, "evaluate_every": None}}


def sweep_of(**varied):
    values = {"recipe": SMALL, "name": "small", "metrics": ["perplexity"], **varied}
    return expand(parse_document(yaml.safe_dump(values, sort_keys=False), source="small.yaml"))


def test_without_ray_the_command_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'isogloss\[cluster\]'"):
        on_cluster("local")


def test_a_cluster_that_is_not_there_is_told_at_once(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'isogloss[cluster]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match="no Ray cluster answers"):
        sweep(sweep_of(seeds=[0]), out=tmp_path, runner=on_cluster(f"127.0.0.1:{port}"))


@pytest.mark.parametrize(
    ("cpus", "gpus", "each", "room"),
    [(64, 1, 0.1, 10), (64, 1, 0.05, 20), (3, 1, 0.1, 3), (8, 0, 0.5, 0), (8, 0, 0, 8)],
)
def test_a_cluster_has_room_for_whole_runs_of_parts_of_gpus(cpus, gpus, each, room):
    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": float(cpus), "GPU": float(gpus)})
    assert _room(ray, 1, each) == room


def test_what_this_machine_does_not_have_is_refused_and_what_a_cluster_may_get_is_waited_for():
    with pytest.raises(UserError, match="does not have 1 processors and 2 GPUs"):
        _tell_of_no_room("local", 1, 2)
    with pytest.warns(IsoglossWarning, match="waiting until it grows"):
        _tell_of_no_room("head:6379", 64, 0)


@pytest.mark.slow
def test_two_workers_carry_out_three_runs_and_a_failure_is_told(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'isogloss[cluster]'")
    (tmp_path / "empty").mkdir()
    broken = {"tokenizer": str(tmp_path / "empty"), "vocabulary": None}
    found = sweep(
        sweep_of(runs={"a": {"seed": 1}, "b": {"seed": 2}, "broken": broken}),
        out=tmp_path,
        runner=on_cluster("local", at_once=2, threads=1),
        retries=0,
        threads=1,
    )
    assert [one.state for one in found.standings] == ["finished", "finished", "failed"]
    assert "tokenizer" in found.failed[0].why
    assert (found.folder / "sweep.csv").read_text(encoding="utf-8").count("finished") == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_to_the_sweep_alone_stops_its_runs_in_order(number, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'isogloss[cluster]'")
    long = SMALL | {"training": SMALL["training"] | {"steps": 1_000_000, "checkpoint_every": 50}}
    (tmp_path / "long.yaml").write_text(yaml.safe_dump({"recipe": long, "seeds": [0, 1]}))
    command = [sys.executable, "-m", "isogloss", "sweep", "long.yaml", "--ray", "local", "--jobs", "2"]
    sweeping = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    wait_until(lambda: len({path.parts[-4] for path in tmp_path.glob("runs/long/2*/checkpoints/*/*")}) == 2)
    sweeping.send_signal(number)
    assert sweeping.wait(60) == 130
    told = [json.loads(path.read_text()) for path in tmp_path.glob("runs/long/2*/status.json")]
    assert [(one["state"], one["why"]) for one in told] == [("failed", STOPPED)] * 2


def wait_until(there, *, seconds=120):
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, "in vain"
        time.sleep(0.2)
