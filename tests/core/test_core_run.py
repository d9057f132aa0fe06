"""The run folder belongs to one recipe, survives kills, and says what happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import isogloss.core.run as run_module
from isogloss.core.config import Record
from isogloss.core.errors import CheckpointError
from isogloss.core.run import Run, find_run, open_run, read_run, read_status


class Recipe(Record):
    seed: int = 0


def test_a_run_that_ends_is_finished_and_leaves_its_recipe(tmp_path):
    with open_run(tmp_path / "run", Recipe(seed=3)) as run:
        run.log("loss", 1.5, phase="pretrain", step=1, language="sw-Latn")
        run.size("base", parameters=10)
    record = read_run(tmp_path / "run")
    assert record.status["state"] == "finished"
    assert record.recipe == {"seed": 3}
    assert record.metrics[0]["value"] == 1.5
    assert record.sizes == {"base": {"parameters": 10}}
    assert "torch" in record.environment["packages"]


def test_a_failure_is_written_down_and_goes_on(tmp_path):
    with pytest.raises(ZeroDivisionError), open_run(tmp_path / "run", Recipe()):
        1 / 0  # noqa: B018
    status = read_status(tmp_path / "run")
    assert status["state"] == "failed"
    assert "ZeroDivisionError" in status["why"]


def test_a_failed_run_can_be_opened_again_and_finished(tmp_path):
    with pytest.raises(ValueError), open_run(tmp_path / "run", Recipe()):
        raise ValueError("no")
    with open_run(tmp_path / "run", Recipe()):
        pass
    assert read_status(tmp_path / "run")["state"] == "finished"
    assert "why" not in read_status(tmp_path / "run")


def test_another_recipe_is_refused(tmp_path):
    with open_run(tmp_path / "run", Recipe(seed=0)):
        pass
    with pytest.raises(CheckpointError, match="another recipe"), open_run(tmp_path / "run", Recipe(seed=1)):
        pass


def test_a_second_process_is_refused_while_the_first_writes(tmp_path):
    program = (
        "import sys, pathlib\n"
        "from isogloss.core.config import Record\n"
        "from isogloss.core.run import open_run\n"
        "class Recipe(Record):\n    seed: int = 0\n"
        "with open_run(pathlib.Path(sys.argv[1]), Recipe()): pass\n"
    )
    with open_run(tmp_path / "run", Recipe()):
        second = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "run")],
            capture_output=True,
            text=True,
            check=False,
        )
    assert second.returncode != 0
    assert "another process is writing" in second.stderr


def test_the_same_recipe_finds_its_folder_and_another_gets_a_new_one(tmp_path):
    first = find_run(tmp_path, Recipe(), name="x")
    with open_run(first, Recipe()):
        pass
    assert find_run(tmp_path, Recipe(), name="x") == first
    assert find_run(tmp_path, Recipe(seed=1), name="x").name == f"{first.name}-2"


@pytest.fixture
def interruptible():
    """Ctrl-C counts, also where the tests were started in the background of a script, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_a_run_twice_still_finds_out_how_it_ended(tmp_path, monkeypatch, interruptible, number):
    write, before = run_module.write_json, signal.getsignal(signal.SIGTERM)

    def pressing(path, value):
        if value.get("state") == "failed":
            os.kill(os.getpid(), number)
        write(path, value)

    monkeypatch.setattr(run_module, "write_json", pressing)
    with pytest.raises(KeyboardInterrupt), open_run(tmp_path / "run", Recipe()):
        os.kill(os.getpid(), number)
    assert read_status(tmp_path / "run")["why"] == "stopped by Ctrl-C or SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(KeyboardInterrupt):  # it counts again
        os.kill(os.getpid(), signal.SIGINT)


FORKS = """
import os, signal, sys
from pathlib import Path
from isogloss.core.run import open_run
from isogloss.core.config import Record

reads, writes = os.pipe()
with open_run(Path(sys.argv[1]), Record()):
    if (child := os.fork()) == 0:
        os.write(writes, b"I live")
        signal.pause()
        os._exit(0)
    os.read(reads, 6)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_of_a_run_ends_by_sigterm_without_a_word(tmp_path):
    done = subprocess.run([sys.executable, "-c", FORKS, str(tmp_path / "run")], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert read_status(tmp_path / "run")["state"] == "finished"


def test_a_line_cut_short_by_a_kill_is_dropped_before_the_next_is_written(tmp_path):
    with pytest.raises(KeyboardInterrupt), open_run(tmp_path / "run", Recipe()) as run:
        run.log("loss", 1.0, phase="pretrain", step=1)
        with (run.folder / "metrics.jsonl").open("a") as stream:
            stream.write('{"phase": "pre')
        raise KeyboardInterrupt
    with open_run(tmp_path / "run", Recipe()) as run:
        run.log("loss", 2.0, phase="pretrain", step=2)
    assert [line["value"] for line in read_run(tmp_path / "run").metrics] == [1.0, 2.0]


def test_rewinding_forgets_later_steps_of_that_phase_only(tmp_path):
    with open_run(tmp_path / "run", Recipe()) as run:
        for step in (1, 2, 3):
            run.log("loss", step, phase="phase1", step=step)
        run.log("loss", 9, phase="phase2", step=3)
        run.rewind("phase1", 2)
    assert [line["value"] for line in read_run(tmp_path / "run").metrics] == [1, 2, 9]


def test_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="not a run folder"):
        read_run(tmp_path)


def test_a_run_of_another_than_the_main_process_is_equal_and_writes_nothing(tmp_path):
    with open_run(tmp_path, Recipe()) as main:
        main.log("loss", 1.0, phase="pretrain", step=1)
        main.samples([{"id": "1"}])
        before = {path: path.read_bytes() for path in tmp_path.rglob("*")}
        other = Run(tmp_path, main.recipe_hash, writes=False)
        other.log("loss", 2.0, phase="pretrain", step=2)
        other.samples([{"id": "2"}])
        other.size("base", parameters=10)
        other.note(data={})
        other.rewind("pretrain", 0)
        other.forget_samples()
        assert other == main
        assert {path: path.read_bytes() for path in tmp_path.rglob("*")} == before
