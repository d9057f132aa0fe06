"""Timing in turns, and forward passes of every kind of model."""

from __future__ import annotations

import pytest
import torch

from every_family import EVERY, SEQ2SEQ, small_model
from isogloss.core.errors import ProcessError
from isogloss.evaluate.forward import random_rows, threads, torch_runtime
from isogloss.evaluate.latency import Timing, speed_up, time_in_turns
from isogloss.evaluate.memory import Load, measure_memory
from isogloss.models.tasks import build_task_model


def test_every_round_calls_each_once_and_ticks_once():
    called, ticks = [], []
    calls = {name: lambda name=name: called.append(name) for name in "abc"}
    found = time_in_turns(calls, repeats=6, tick=lambda: ticks.append(len(called)))
    assert len(ticks) == 6
    measured = called[ticks[0] - 3 :]
    rounds = [measured[start : start + 3] for start in range(0, len(measured), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert {one[0] for one in rounds} == {"a", "b", "c"}
    assert all(len(timing.seconds) == 6 for timing in found.values())


def test_warming_up_ends_when_calls_no_longer_get_faster(monkeypatch):
    clock = iter(range(10_000))
    durations = iter([100, 90, 80, 40, 30, 20, *[10] * 100])
    now = [0.0]

    def tick():
        if next(clock) % 2:
            now[0] += next(durations)
        return now[0]

    monkeypatch.setattr("isogloss.evaluate.latency.time.perf_counter", tick)
    assert time_in_turns({"one": lambda: None}, repeats=2)["one"].seconds == (10, 10)


def test_quantiles_are_those_of_the_repeats():
    timing = Timing((4.0, 1.0, 3.0, 2.0, 5.0))
    assert (timing.p50, timing.quantile(0.25), timing.quantile(1)) == (3, 2, 5)
    assert timing.to_json()["repeats"] == [4, 1, 3, 2, 5]


def test_a_speed_up_is_the_ratio_of_medians_and_its_interval_is_paired():
    slow = [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    found = speed_up(slow, [one / 2 for one in slow])
    assert (found.value, found.low, found.high) == (2, 2, 2)
    noisy = speed_up(slow, slow[::-1])
    assert noisy.low < noisy.value == 1 < noisy.high
    assert speed_up(slow, slow[::-1]) == noisy


@pytest.mark.parametrize("model_type", EVERY)
@pytest.mark.parametrize("head", [False, True])
def test_every_architecture_runs_on_random_rows(model_type, head):
    model = small_model(model_type)
    rows = random_rows(model, batch=2, length=5)
    found = torch_runtime(model, precision="bf16", head=head)(rows)
    scores = found.logits if head else found.last_hidden_state
    assert scores.shape == (2, 5, 50 if head else 16)
    assert scores.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", ["label", "choice", "tree", "span", "tags", "text"])
@pytest.mark.parametrize("model_type", ["bert", "mt5"])
def test_every_kind_of_task_runs_with_its_head_and_without(kind, model_type):
    auto = "base" if kind != "text" else None
    for head in (True, False):
        model = build_task_model(kind, small_model(model_type, auto), labels=("a", "b"))
        rows = random_rows(model, batch=2, length=1)
        assert torch_runtime(model, precision="fp32", head=head)(rows) is not None


def test_without_head_the_pooler_is_left_out_and_the_model_keeps_it():
    model = small_model("bert", "label")
    bare = torch_runtime(model, precision="fp32", head=False)
    assert bare(random_rows(model, batch=1, length=3)).pooler_output is None
    assert model.bert.pooler is not None


def test_rows_hold_no_special_id_but_the_end():
    model = small_model("bert")
    rows = random_rows(model, batch=40, length=6)
    assert rows.shape == (40, 6)
    assert not set(rows[:, :-1].unique().tolist()) & {0, 1, 2}
    assert set(rows[:, -1].tolist()) == {2}
    assert (rows != random_rows(model, batch=40, length=6, seed=1)).any()


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_memory_is_that_of_a_fresh_process(tmp_path):
    # wide enough that its weights stand out from a process's own ups and downs
    model = small_model("bert", vocab_size=20_000, hidden_size=256, num_attention_heads=4)
    model.save_pretrained(tmp_path)
    weights = sum(4 * parameter.numel() for parameter in model.parameters())
    found = measure_memory(Load(str(tmp_path), "torch", "fp32", True, 2, 8, 1))
    assert found is not None
    assert 0 <= found.loaded <= found.peak
    assert weights / 2 < found.peak < 20 * weights
    assert found.baseline > 50e6


def test_a_process_that_fails_says_why(tmp_path):
    with pytest.raises(ProcessError, match="a folder that does not exist"):
        measure_memory(Load(str(tmp_path / "nothing"), "torch", "fp32", True, 2, 8, 1))


@pytest.mark.parametrize("model_type", SEQ2SEQ)
def test_an_encoder_decoder_without_head_is_its_encoder(model_type):
    model = small_model(model_type)
    rows = random_rows(model, batch=1, length=4)
    expected = model.get_encoder()(input_ids=rows).last_hidden_state
    found = torch_runtime(model, precision="fp32", head=False)(rows).last_hidden_state
    torch.testing.assert_close(found, expected)
