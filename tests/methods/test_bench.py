"""Models measured side by side. Nothing here depends on how long anything takes."""

from __future__ import annotations

import json

import pytest

from every_family import small_model
from isogloss.cli.show_bench import bench_markdown, print_bench
from isogloss.core.errors import UserError
from isogloss.evaluate.memory import Memory
from isogloss.methods.bench import Settings, bench
from isogloss.models.tasks import build_task_model, save_task_model
from tiny_models import tiny_tokenizer

FAST = {"batches": (1, 2), "lengths": (1, 5), "threads": (1,), "repeats": 3, "memory": False}

MEMORY = Memory(loaded=1, peak=2, baseline=3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A language model and a shallower parser."""
    place = tmp_path_factory.mktemp("models")
    tokenizer = tiny_tokenizer("wordpiece")
    small_model("bert", vocab_size=len(tokenizer)).save_pretrained(place / "teacher")
    base = small_model("bert", "base", num_hidden_layers=2, vocab_size=len(tokenizer))
    parser = build_task_model("tree", base, labels=("nsubj", "obj"))
    save_task_model(parser, tokenizer, place / "run" / "model")
    return place / "teacher", place / "run" / "model"


@pytest.fixture(scope="module")
def found(folders):
    told = []
    result = bench(folders, Settings(**FAST), progress=lambda share, what: told.append(share))
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    return result


def test_each_model_is_measured_under_each_combination(found):
    cases = [(one.batch, one.length, one.model) for one in found.measurements]
    assert cases == [(b, n, m) for b in (1, 2) for n in (1, 5) for m in (0, 1)]
    for one in found.measurements:
        assert len(one.timing.seconds) == 3
        assert one.tokens_per_second == pytest.approx(one.length * one.rows_per_second)
        assert (one.speed_up is None) == (one.model == 0)


def test_sizes_are_those_of_the_models_and_their_files(found, folders):
    teacher, student = found.subjects
    assert (teacher.layers, student.layers) == (4, 2)
    for subject, folder in zip(found.subjects, folders, strict=True):
        weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        assert subject.files["weights"] == weights
        assert 0 < weights - subject.weights["fp32"] < 20_000
        parts = subject.parameters
        assert parts["total"] == parts["embedding"] + parts["layers"] + parts["head"]
    assert student.name == "run"


def test_the_json_file_is_plain_and_says_everything(found):
    read = json.loads(json.dumps(found.to_json()))
    assert set(read) == {"machine", "load", "settings", "models", "measurements"}
    assert set(read["measurements"][0]) == {
        "model", "batch", "length", "threads", "precision", "seconds", "rows_per_second",
        "tokens_per_second", "memory_bytes", "speed_up",
    }  # fmt: skip
    assert set(read["measurements"][0]["seconds"]) == {"p25", "p50", "p75", "p95", "repeats"}
    assert set(read["measurements"][1]["speed_up"]) == {"value", "low", "high"}
    assert read["models"][1]["flops"]["5"]["total"] > 0


def test_the_tables_name_every_model_and_combination(found, capsys):
    print_bench(found)
    assert "2: run" in capsys.readouterr().out
    text = bench_markdown(found)
    assert text.count("2 × 5") == 1
    assert "|  | 1: teacher | 2: run |" in text


def test_heads_and_precisions_and_memory_are_options(folders, monkeypatch):
    settings = Settings(
        batches=(1,), lengths=(3,), threads=(1,), precisions=("fp32", "bf16"), repeats=2, head=True
    )
    asked = []
    monkeypatch.setattr("isogloss.methods.bench.measure_memory", lambda load: asked.append(load) or MEMORY)
    found = bench(folders[:1], settings)
    assert [one.precision for one in found.measurements] == ["fp32", "bf16"]
    assert [(load.precision, load.head) for load in asked] == [("fp32", True), ("bf16", True)]
    assert found.to_json()["measurements"][0]["memory_bytes"]["peak"] == 2


def test_without_a_length_the_usual_ones_are_cut_to_what_the_model_reads(folders):
    found = bench(folders[:1], Settings(batches=(1,), threads=(1,), repeats=1, memory=False))
    assert found.settings.lengths == (30,)  # of 30 positions
    assert {one.length for one in found.measurements} == {30}


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"threads": (0,)}, "--threads 0"),
        ({"threads": (100_000,)}, "--threads 100000 on a machine"),
        ({"batches": (0,)}, "--batch 0"),
        ({"lengths": (0,)}, "--length 0"),
        ({"lengths": (31,)}, "--length 31 for a model that reads 30 tokens at most"),
        ({"repeats": 0}, "--repeats 0"),
        ({"precisions": ("fp31",)}, "did you mean 'fp32'"),
        ({"precisions": ("int8",)}, "to int8 yet"),
    ],
)
def test_a_setting_out_of_range_is_refused_before_anything_is_measured(folders, changes, got):
    with pytest.raises(UserError, match=got) as refused:
        bench(folders, Settings(**{**FAST, **changes}))
    assert refused.value.wanted
    assert refused.value.fix


def test_what_is_not_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"config\.json"):
        bench([tmp_path], Settings(**FAST))
    with pytest.raises(UserError, match="no model"):
        bench([], Settings(**FAST))
