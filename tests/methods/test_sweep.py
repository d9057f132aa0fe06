"""A sweep is carried out, a failure stops no other run, and what is finished costs nothing."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from isogloss.cli.show_sweep import Line
from isogloss.core.config import parse_document
from isogloss.core.errors import DataError, UserError
from isogloss.core.run import read_run, read_status
from isogloss.methods.pace import Pace, cost
from isogloss.methods.runners import here
from isogloss.methods.runners.child import start, stop, why
from isogloss.methods.runners.job import Event, Job
from isogloss.methods.runners.processes import side_by_side
from isogloss.methods.sweep import standing, sweep
from isogloss.methods.sweep_file import expand
from tiny_runs import PRETRAIN

SMALL = PRETRAIN | {"dev": {}, "training": PRETRAIN["training"] | {"steps": 2, "evaluate_every": None}}
SWEEP = {
    "recipe": SMALL,
    "name": "small",
    "grid": {"mixture.shares": {"uneven": {"eng": 0.9, "fra": 0.1}, "even": {"eng": 0.5, "fra": 0.5}}},
    "seeds": [0, 1],
    "metrics": ["perplexity", "tokens"],
}


def sweep_of(**changes):
    return expand(parse_document(yaml.safe_dump(SWEEP | changes, sort_keys=False), source="small.yaml"))


def rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


class Told:
    def __init__(self):
        self.total, self.finished, self.events = 0, 0, []

    def begin(self, runs, *, unfinished):
        self.total, self.finished = len(runs), len(runs) - len(unfinished)

    def event(self, event, *, again):
        self.events.append((event.kind, event.job.name, event.why, again))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweeps")
    return sweep(sweep_of(), out=out)


def test_every_run_has_a_folder_of_its_own_and_a_row(swept):
    table = rows(swept.folder / "sweep.csv")
    assert [row["run"] for row in table] == [
        f"shares-{share}-seed-{seed}" for share in ("uneven", "even") for seed in (0, 1)
    ]
    assert {row["state"] for row in table} == {"finished"}
    for row, one in zip(table, swept.standings, strict=True):
        run = read_run(swept.folder / row["folder"])
        assert run.folder == one.folder
        logged = {
            m["language"]: m["value"]
            for m in run.metrics
            if m["metric"] == "perplexity" and m["split"] == "test"
        }
        assert float(row["lm perplexity en-Latn"]) == logged["en-Latn"]
        assert float(row["tokens en-Latn"]) > 0


def test_a_setting_s_mean_is_over_its_seeds(swept):
    runs = rows(swept.folder / "sweep.csv")
    settings = rows(swept.folder / "settings.csv")
    assert [row["setting"] for row in settings] == ["shares-uneven", "shares-even"]
    name = "lm perplexity en-Latn"
    values = [float(row[name]) for row in runs if row["mixture.shares"] == "even"]
    even = settings[1]
    assert float(even[f"{name} mean"]) == pytest.approx(sum(values) / 2)
    assert float(even[f"{name} sd"]) == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert float(even[f"{name} low"]) < min(values) < max(values) < float(even[f"{name} high"])
    page = (swept.folder / "sweep.html").read_text(encoding="utf-8")
    assert "shares-uneven" in page
    assert "n = 2" in page


def test_finished_runs_are_found_again_by_their_recipes(swept):
    told = Told()
    again = sweep(sweep_of(), out=swept.folder.parent, watching=told)
    assert (told.total, told.finished, told.events) == (4, 4, [])
    assert [one.folder for one in again.standings] == [one.folder for one in swept.standings]
    more = standing(sweep_of(seeds=[0, 1, 2]), out=swept.folder.parent)
    assert [one.state for one in more] == ["finished", "finished", "new"] * 2


def test_a_run_that_fails_is_tried_again_and_stops_no_other(tmp_path, monkeypatch):
    lives = []
    carry_out = here.run_recipe

    def failing(recipe, *, out, name):
        lives.append(name)
        if recipe.seed == 0:
            raise RuntimeError("no luck")
        if lives.count(name) == 1:
            raise DataError("not there yet")
        return carry_out(recipe, out=out, name=name)

    monkeypatch.setattr(here, "run_recipe", failing)
    told = Told()
    found = sweep(sweep_of(grid={}), out=tmp_path, watching=told)
    assert lives == ["base-seed-0", "base-seed-1"] * 2
    assert [(one.run.name, one.why) for one in found.failed] == [("base-seed-0", "RuntimeError: no luck")]
    assert [kind_and_why[2] for kind_and_why in told.events if kind_and_why[0] == "ended"] == [
        "RuntimeError: no luck", "not there yet", "RuntimeError: no luck", None
    ]  # fmt: skip
    assert "Traceback" in (found.folder / "logs" / "base-seed-0.log").read_text()
    page = (found.folder / "sweep.html").read_text(encoding="utf-8")
    assert "base-seed-0 failed." in page
    assert "no luck" in page
    assert [row["state"] for row in rows(found.folder / "sweep.csv")] == ["failed", "finished"]


def test_without_retries_a_failure_is_final(tmp_path, monkeypatch):
    def failing(recipe, *, out, name):
        raise DataError("never there")

    monkeypatch.setattr(here, "run_recipe", failing)
    told = Told()
    assert len(sweep(sweep_of(), out=tmp_path, retries=0, watching=told).failed) == 4
    assert len(told.events) == 8


def test_what_a_run_names_is_looked_for_before_any_run_begins(tmp_path):
    found = sweep_of(runs=[{"corpora.fra": "no-such-file.txt"}])
    with pytest.raises(DataError, match="no-such-file"):
        sweep(found, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_launcher_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("isogloss.methods.sweep.process_count", lambda: 2)
    with pytest.raises(UserError, match="--jobs"):
        sweep(sweep_of(), out=tmp_path)


def test_ctrl_c_leaves_a_run_to_go_on_with(tmp_path, monkeypatch):
    carry_out = here.run_recipe

    def interrupted(recipe, *, out, name):
        carry_out(recipe, out=out, name=name)
        raise KeyboardInterrupt

    monkeypatch.setattr(here, "run_recipe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(sweep_of(), out=tmp_path)
    assert [row["state"] for row in rows(tmp_path / "small" / "sweep.csv")] == [
        "finished",
        "new",
        "new",
        "new",
    ]
    monkeypatch.undo()
    assert not sweep(sweep_of(), out=tmp_path).failed


def test_processes_side_by_side_leave_what_one_process_leaves(swept, tmp_path):
    told = Told()
    found = sweep(sweep_of(seeds=[0]), out=tmp_path, runner=side_by_side(2), threads=1, watching=told)
    assert not found.failed
    assert [event[:2] for event in told.events[:2]] == [
        ("started", "shares-uneven-seed-0"), ("started", "shares-even-seed-0")
    ]  # fmt: skip
    name = "lm perplexity en-Latn"
    alone = {row["run"]: float(row[name]) for row in rows(swept.folder / "sweep.csv")}
    for row in rows(found.folder / "sweep.csv"):
        assert float(row[name]) == pytest.approx(alone[row["run"]], rel=1e-4)
    assert "report.html" in (found.folder / "logs" / "shares-even-seed-0.log").read_text()


def test_a_process_is_stopped_so_that_it_can_be_gone_on_with(tmp_path):
    long = SMALL | {"training": SMALL["training"] | {"steps": 100_000, "log_every": 1}}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(long))
    events = side_by_side(1)([job(tmp_path)])
    assert next(events).kind == "started"
    events.close()
    assert all(read_status(path.parent)["state"] != "finished" for path in tmp_path.glob("*/status.json"))

    def lines():
        return sum(len(path.read_text().splitlines()) for path in tmp_path.glob("*/metrics.jsonl"))

    before = lines()  # the first one may have got so far
    process = start(job(tmp_path))
    while lines() <= before:
        assert process.poll() is None, (tmp_path / "a.log").read_text()
        time.sleep(0.1)
    stop([process])
    (folder,) = {path.parent for path in tmp_path.glob("*/status.json")}
    assert read_status(folder)["why"] == "stopped by Ctrl-C or SIGTERM"
    assert process.returncode == 130


def test_sigterm_stops_a_sweep_as_ctrl_c_does(tmp_path):
    stopped = []

    def terminated(jobs):
        try:
            yield Event(jobs[0], "started")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            stopped.append(jobs[0].name)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        sweep(sweep_of(), out=tmp_path, runner=terminated)
    assert stopped == ["shares-uneven-seed-0"]
    assert signal.getsignal(signal.SIGTERM) == before
    facts = json.loads((tmp_path / "small" / "sweep.json").read_text())
    assert [run["state"] for run in facts["runs"]] == ["new"] * 4


def job(folder, name="a"):
    return Job(name, folder / "r.yaml", folder, folder / f"{name}.log", folder)


def test_the_reason_of_a_process_that_failed_is_its_last_word(tmp_path):
    (tmp_path / "a.log").write_text("loss 1\nerror: eng.txt\n  cannot read it\n  to do:  look again\n")
    assert why(job(tmp_path), 2) == "eng.txt\n  cannot read it\n  to do:  look again"
    (tmp_path / "a.log").write_text("Traceback\n  File\nValueError: odd\n")
    assert why(job(tmp_path), 1) == "ValueError: odd"
    assert "SIGKILL" in str(why(job(tmp_path), -signal.SIGKILL))
    assert why(job(tmp_path), 0) is None
    assert "signal 40" in str(why(job(tmp_path), -40))
    (tmp_path / "a.log").write_text("")
    assert why(job(tmp_path), 3) == "it ended with code 3"


def test_the_reason_is_that_of_the_last_attempt(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda command, *, stdout, **more: stdout)
    one = job(tmp_path)
    for words in ("error: the disk is full\n", "Traceback\nMemoryError\n"):
        start(one)
        with one.log.open("a") as log:
            log.write(words)
    assert why(one, 1) == "MemoryError"
    start(one)
    assert why(one, 3) == "it ended with code 3"


def test_the_estimate_weighs_runs_by_their_cost_and_counts_what_is_under_way(tmp_path):
    a, b, c = (job(tmp_path, name) for name in "abc")
    pace = Pace({"a": 1.0, "b": 2.0, "c": 4.0})
    assert pace.remaining(now=0.0) is None
    pace.event(Event(a, "started"), now=0.0)
    pace.event(Event(a, "ended"), now=10.0)
    assert pace.remaining(now=10.0) == pytest.approx(60.0)
    pace.event(Event(b, "started"), now=10.0)
    assert pace.remaining(now=15.0) == pytest.approx(55.0)
    pace.event(Event(b, "ended", "failed"), now=20.0)
    assert pace.remaining(now=20.0) == pytest.approx(60.0)
    pace.event(Event(c, "started"), now=20.0)
    assert pace.remaining(now=100.0) == pytest.approx(20.0)


def test_the_estimate_is_for_as_many_at_once_as_there_were(tmp_path):
    jobs = {name: job(tmp_path, name) for name in "abcd"}
    pace = Pace(dict.fromkeys(jobs, 1.0))
    for name in "ab":
        pace.event(Event(jobs[name], "started"), now=0.0)
    for name in "ab":
        pace.event(Event(jobs[name], "ended"), now=10.0)
    assert pace.remaining(now=10.0) == pytest.approx(10.0)


def test_the_estimate_leaves_out_what_was_finished_before(tmp_path):
    line = Line(sweep_of())
    names = [run.name for run in sweep_of().runs]
    line.begin(names, unfinished=names[:1])
    line.event(Event(job(tmp_path, names[0]), "started"), again=False)
    line.event(Event(job(tmp_path, names[0]), "ended"), again=False)
    assert line._pace.remaining() == 0.0


def test_a_run_costs_what_its_trainings_read():
    small, large = (sweep_of(grid={"training.steps": [2, 6]}, seeds=[]).runs[i].recipe for i in (0, 1))
    assert cost(large) == 3 * cost(small) == 24


def test_an_interpreter_of_the_child_is_this_one(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: made.append((command, more)))
    start(Job("a", tmp_path / "r.yaml", tmp_path, tmp_path / "a.log", tmp_path, threads=3))
    assert made[0][0][:3] == [sys.executable, "-m", "isogloss"]
    assert made[0][1]["env"]["OMP_NUM_THREADS"] == "3"
    assert made[0][1]["env"]["PATH"] == os.environ["PATH"]
