from __future__ import annotations

import pytest
import torch
from tiny_training import LANGUAGES, TinyBatches, TinyModel, measurements, tiny_plan, tiny_run, tiny_step

from isogloss.training.hooks import Hook, Ledger, tokens_per_language
from isogloss.training.loop import train

MASK = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]])


@pytest.mark.parametrize("each_token", [False, True])
def test_tokens_are_counted_per_language_without_padding(each_token):
    language = torch.tensor([2, 0, 2, 1])
    language = language[:, None].expand(-1, 3) if each_token else language
    counts = tokens_per_language({"language": language, "attention_mask": MASK}, 3)
    assert counts.tolist() == [1, 0, 5]


def test_a_ledger_logs_what_was_asked_for_and_what_came(tmp_path):
    requested = {"en-Latn": 0.5, "de-Latn": 0.25, "sw-Latn": 0.25}
    ledger = Ledger(LANGUAGES, requested=requested, sizes=dict.fromkeys(LANGUAGES, 10), every=4)
    batches = TinyBatches()
    with tiny_run(tmp_path) as run:
        outcome = train(
            TinyModel(), batches, tiny_step, plan=tiny_plan(), run=run, phase="tiny", seed=0, hooks=[ledger]
        )
        lines = measurements(run)
    expected = sum(tokens_per_language(batches[number], 3) for number in range(6)).tolist()
    assert ledger.tokens() == dict(zip(LANGUAGES, expected, strict=True))
    assert sum(expected) == outcome.tokens
    shares = {
        line["language"]: line["value"] for line in lines if line["metric"] == "share" and line["step"] == 6
    }
    assert shares == {name: count / sum(expected) for name, count in ledger.tokens().items()}
    epochs = {line["language"]: line["value"] for line in lines if line["metric"] == "epochs"}
    assert epochs == {name: count / 10 for name, count in ledger.tokens().items()}
    asked = [line for line in lines if line["metric"] == "requested_share"]
    assert {line["step"] for line in asked} == {4, 6}
    assert {line["language"]: line["value"] for line in asked} == requested


def test_only_the_main_process_takes_back_the_counts_of_all():
    ledger = Ledger(LANGUAGES)
    ledger.load_state_dict({"tokens": dict(zip(LANGUAGES, [3, 4, 5], strict=True))}, main=False)
    assert sum(ledger.tokens().values()) == 0
    ledger.load_state_dict({"tokens": dict(zip(LANGUAGES, [3, 4, 5], strict=True))}, main=True)
    assert ledger.tokens()["sw-Latn"] == 5


def test_hooks_are_called_at_their_moments(tmp_path):
    class Noting(Hook):
        name = "noting"

        def __init__(self):
            self.called = []

        def start(self, moment):
            self.called.append(("start", moment.step))

        def after_step(self, moment, micros):
            assert all(p.grad is not None for n, p in moment.model.named_parameters() if "unused" not in n)
            self.called.append(("after_step", moment.step, [micro.number for micro in micros]))

        def after_evaluation(self, moment, scores):
            self.called.append(("after_evaluation", moment.step, scores["en-Latn"]))

        def end(self, moment):
            self.called.append(("end", moment.step, moment.total))

    noting = Noting()
    with tiny_run(tmp_path) as run:
        train(
            TinyModel(),
            TinyBatches(),
            tiny_step,
            plan=tiny_plan(steps=2, accumulate=2),
            run=run,
            phase="tiny",
            seed=0,
            evaluate=lambda model: {"en-Latn": 0.5},
            hooks=[noting],
        )
    assert noting.called == [
        ("start", 0),
        ("after_step", 1, [0, 1]),
        ("after_step", 2, [2, 3]),
        ("after_evaluation", 2, 0.5),
        ("end", 2, 2),
    ]


def test_a_ledger_tells_what_came_in_each_stage_and_a_milestone_s_checkpoint_stays(tmp_path):
    ledger = Ledger(LANGUAGES, requested=lambda step: dict.fromkeys(LANGUAGES, step / 100), stages=(2, 6))
    batches = TinyBatches()
    with tiny_run(tmp_path) as run:
        train(
            TinyModel(), batches, tiny_step, plan=tiny_plan(checkpoint_every=1, keep_checkpoints=1), run=run,
            phase="tiny", seed=0, hooks=[ledger], milestones=(2, 6),
        )  # fmt: skip
        lines = measurements(run)
        saved = {path.name for path in run.checkpoints.iterdir()}
    assert saved >= {"tiny-2", "tiny-6"}
    assert "tiny-3" not in saved
    stages = [line for line in lines if line["metric"] == "stage_tokens"]
    assert {(line["step"], line["stage"]) for line in stages} == {(2, 1), (6, 2)}
    for name, count in ledger.tokens().items():
        assert sum(line["value"] for line in stages if line["language"] == name) == count
    asked = [line["value"] for line in lines if line["metric"] == "requested_share"]
    assert asked == [0.06] * 3
