"""A disk that is full in the middle of a run: one message, exit code 1, nothing lost, and on it goes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest
import yaml
from safetensors.torch import load_file

from isogloss.core.files import check_folder
from tiny_runs import PRETRAIN

RECIPE = PRETRAIN | {"name": "disk"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights of a run that had room."""
    from isogloss.methods.table import load_recipe, run_recipe

    folder = tmp_path_factory.mktemp("room")
    (folder / "r.yaml").write_text(yaml.safe_dump(RECIPE))
    return load_file(run_recipe(load_recipe(folder / "r.yaml"), out=folder) / "model" / "model.safetensors")


def same(run, weights):
    found = load_file(run / "model" / "model.safetensors")
    return all(tensor.equal(found[name]) for name, tensor in weights.items())


def whole_checkpoints(run):
    found = sorted(path.name for path in (run / "checkpoints").glob("*"))
    for name in found:
        check_folder(run / "checkpoints" / name)
    return found


@pytest.fixture
def tmpfs(tmp_path):
    """A file system of a megabyte; the size of one checkpoint is about half of that."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    # Lazily: this process may still hold memory maps of token files in it.
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_file_system_stops_a_run_that_goes_on_when_there_is_room(shell, tmp_path, tmpfs, undisturbed):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(RECIPE))
    ballast = tmpfs / "ballast"
    ballast.write_bytes(bytes(300_000))
    answer = shell("run", "r.yaml", "--out", tmpfs)
    assert answer.code == 1, answer.err
    assert answer.err.splitlines()[-3].startswith("error: could not write ")
    assert "the disk is full" in answer.err
    assert "free some space" in answer.err
    assert "Traceback" not in answer.err
    [run] = (path for path in tmpfs.iterdir() if path.is_dir())
    assert whole_checkpoints(run)
    assert not list(run.rglob("*.tmp-*"))
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=16m", str(tmpfs)], check=True)
    assert shell("run", "r.yaml", "--out", tmpfs).code == 0
    assert same(run, undisturbed)


def test_a_file_size_limit_stops_a_run_that_goes_on_when_it_is_lifted(shell, tmp_path, undisturbed):
    """The limit lets everything through but the optimiser's half of a checkpoint."""
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(RECIPE))
    command = [sys.executable, "-m", "isogloss", "run", "r.yaml"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )
    assert done.returncode == 1, done.stderr
    assert "error: could not write" in done.stderr
    assert "ulimit -f" in done.stderr
    assert "Traceback" not in done.stderr
    [run] = (tmp_path / "runs").iterdir()
    assert not list((run / "checkpoints").glob("*"))
    assert shell("run", "r.yaml").code == 0
    assert same(run, undisturbed)
