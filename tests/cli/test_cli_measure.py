"""`isogloss bench` at the command line."""

from __future__ import annotations

import json
from pathlib import Path


def test_bench_prints_tables_and_writes_them(shell, backbone, topics):
    answer = shell(
        "bench", backbone, topics, "--batch", "1", "--length", "8", "--threads", "1", "--repeats", "2",
        "--no-memory", "--json", "bench.json", "--markdown", "bench.md",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "1 × 8" in answer.out
    read = json.loads(Path("bench.json").read_text(encoding="utf-8"))
    assert [one["source"] for one in read["models"]] == [str(backbone), str(topics)]
    assert Path("bench.md").read_text(encoding="utf-8").startswith("**size**")


def test_bench_explains_a_mistake_in_one_message(shell, backbone):
    answer = shell("bench", backbone, "--length", "100000")
    assert (answer.code, "wanted: 1 to" in answer.err) == (2, True)


def test_a_budget_becomes_a_plan_a_recipe_and_a_check(shell, backbone):
    answer = shell(
        "budget", backbone, "--corpus", "eng=miniature/train:60", "--disk", "100MB", "--latency", "100s",
        "--length", "8", "--precision", "int8", "--cache", "cache",
        "--recipe", "small.yaml", "--plan", "plan.json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "unknown" in answer.out
    assert shell("plan", "small.yaml").code == 0
    answer = shell("budget-check", "plan.json", backbone, "--json", "kept.json")
    assert answer.code == 0, answer.err
    kept = {one["what"]: one["kept"] for one in json.loads(Path("kept.json").read_text(encoding="utf-8"))}
    assert kept == {"disk": True, "latency": True, "latency in int8": None, "coverage, en-Latn": True}


def test_a_broken_promise_is_exit_code_one(shell, backbone):
    shell("budget", backbone, "--corpus", "eng=miniature/train:60", "--plan", "plan.json")
    plan = json.loads(Path("plan.json").read_text(encoding="utf-8"))
    plan["limits"]["disk"] = 1000
    Path("plan.json").write_text(json.dumps(plan), encoding="utf-8")
    answer = shell("budget-check", "plan.json", backbone)
    assert (answer.code, " no " in answer.out) == (1, True)


def test_a_budget_that_cannot_be_kept_says_what_could(shell, backbone):
    answer = shell("budget", backbone, "--corpus", "eng=miniature/train:60", "--disk", "1kB")
    assert (answer.code, "allow --disk" in answer.err) == (2, True)
    answer = shell("budget", backbone, "--corpus", "eng=miniature/train:60", "--disk", "60")
    assert (answer.code, "for instance --disk 60MB" in answer.err) == (2, True)
