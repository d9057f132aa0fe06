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
