"""`isogloss trim` at the command line."""

from __future__ import annotations

import json
from pathlib import Path


def test_trim_prints_what_was_kept_and_writes_the_model(shell, backbone):
    answer = shell(
        "trim", backbone, "--corpus", "eng=miniature/train:60", "--held-out", "eng=miniature/test:20",
        "--min-probability", "0", "--keep", "Nairobi", "--out", "small",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "pieces kept" in answer.out
    assert "English" in answer.out
    assert json.loads(Path("small/certificate.json").read_text(encoding="utf-8"))["kept"] > 0


def test_a_certificate_that_falls_short_is_one_message_and_no_folder(shell, backbone):
    answer = shell(
        "trim", backbone, "--corpus", "eng=miniature/train:3", "--held-out", "fra=miniature/test:20",
        "--min-identical", "1", "--out", "small",
    )  # fmt: skip
    assert answer.code == 2
    assert "too few held-out sentences as before: fr-Latn" in answer.err
    assert not Path("small").exists()


def test_two_rules_and_a_pair_without_a_language_are_mistakes(shell, backbone):
    common = ["trim", backbone, "--corpus", "eng=miniature/train:3", "--out", "small", "--held-out"]
    answer = shell(*common, "eng=miniature/test:3", "--size", "300", "--coverage", "0.9")
    assert (answer.code, "several rules" in answer.err) == (2, True)
    answer = shell(*common, "miniature/test:3")
    assert (answer.code, "--held-out miniature/test:3" in answer.err) == (2, True)


def test_a_trimmed_task_model_is_evaluated_like_any_other(shell, topics):
    answer = shell(
        "trim", topics, "--corpus", "eng=miniature/train:60", "--held-out", "eng=miniature/test:20",
        "--min-probability", "0", "--out", "small",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    scores = [
        shell(
            "evaluate", model, "--task", "topic", "--data", "eng=miniature/train:20", "--json", "scores.json"
        )
        and json.loads(Path("scores.json").read_text(encoding="utf-8"))["scores"]
        for model in (topics, "small")
    ]
    assert scores[0] == scores[1]
