"""`isogloss sweep` from a shell: a plan, runs, tables, and an exit code that tells of failures."""

from __future__ import annotations

import yaml

from isogloss.methods.runners import here
from tiny_runs import PRETRAIN

SMALL = PRETRAIN | {"dev": {}, "training": PRETRAIN["training"] | {"steps": 2, "evaluate_every": None}}


def written(folder, **changes):
    values = {"recipe": SMALL, "seeds": [0, 1], "metrics": ["perplexity"], **changes}
    (folder / "few.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return "few.yaml"


def test_a_sweep_is_planned_run_and_found_again(shell, tmp_path):
    file = written(tmp_path)
    for planned in (shell("sweep", file, "--plan"), shell("plan", file)):
        assert planned.code == 0, planned.err
        assert planned.out.count("new") == 2
    assert not (tmp_path / "runs").exists()
    done = shell("sweep", file)
    assert done.code == 0, done.err
    assert "[2/2] base-seed-1 finished in " in done.err
    assert "perplexity, English" in done.out
    assert "±" in done.out
    misspelt = shell("sweep", file, "--metric", "tokenz")
    assert "No run measured 'tokenz': did you mean 'tokens'?" in misspelt.out
    again = shell("sweep", file, "--jobs", 2, "--metric", "tokens")
    assert "2 of 2 runs were finished before" in again.err
    assert "tokens, English" in again.out
    assert "finished" in shell("plan", file).out


def test_a_failed_run_makes_exit_code_1(shell, tmp_path, monkeypatch):
    def failing(recipe, *, out, name):
        raise RuntimeError("no luck")

    monkeypatch.setattr(here, "run_recipe", failing)
    answer = shell("sweep", written(tmp_path), "--retries", 0)
    assert answer.code == 1
    assert "base-seed-0: failed. RuntimeError: no luck" in answer.out
    assert "2 failed" not in answer.out
    assert "[0/2] base-seed-1 failed after 0 s: RuntimeError: no luck" in answer.err


def test_mistakes_are_told_with_what_to_do(shell, tmp_path):
    assert "did you mean 'steps'?" in shell("sweep", written(tmp_path, grid={"training.stepz": [1]})).err
    assert "add --ray local" in shell("sweep", written(tmp_path), "--gpus", 1).err
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    assert "`isogloss run`" in shell("sweep", "recipe.yaml").err
    assert "`isogloss sweep`" in shell("run", written(tmp_path, grid={"length": [16]})).err


def test_a_run_may_be_named(shell, tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    assert shell("run", "recipe.yaml", "--name", "mine").code == 0
    assert len(list(tmp_path.glob("runs/*-mine"))) == 1
