"""From a budget to a plan, a recipe, a student, and whether the promise was kept."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml

from isogloss.compress.plan import Block, Limits, Line
from isogloss.core.errors import DataError, UserError
from isogloss.methods import budget as module
from isogloss.methods.budget import check_promise, load_plan, plan_budget
from isogloss.methods.latency_table import Conditions, Measured, latency_table
from isogloss.methods.table import load_recipe, run_recipe
from isogloss.models.backbone import load_config
from tiny_models import tiny_model, tiny_tokenizer

CORPORA = {"en-Latn": ("miniature/train:200",), "sw-Latn": ("miniature/train:200",)}
FAST = Conditions(length=8)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Four layers, a vocabulary far larger than two languages of the embedded world need."""
    from transformers import AutoModelForMaskedLM

    from isogloss.data.miniature import sentences

    texts = tuple(text for tag in ("en-Latn", "sw-Latn", "ru-Cyrl") for text in sentences(tag, "train", 100))
    tokenizer = tiny_tokenizer("unigram", texts=texts, size=600)
    place = tmp_path_factory.mktemp("teacher")
    tiny_model("bert", AutoModelForMaskedLM, tokenizer, num_hidden_layers=4).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def planned(teacher):
    limits = Limits(disk=200_000)
    return plan_budget(teacher, corpora=CORPORA, limits=limits, conditions=FAST, precision="fp32")


def test_the_plan_fits_and_is_smaller_than_the_teacher(planned, teacher):
    whole = plan_budget(teacher, corpora=CORPORA, limits=Limits(), conditions=FAST).choice.chosen
    chosen = planned.choice.chosen
    assert chosen.disk <= 200_000 < whole.disk
    assert whole.layers == 4
    assert min(chosen.vocabulary.kept.values()) >= 0.99


@pytest.mark.parametrize("disk", [200_000, 160_000, 130_000, 110_000])
def test_the_recipe_makes_the_student_that_was_planned_and_it_keeps_its_promise(teacher, disk, tmp_path):
    limits = Limits(disk=disk)
    planned = plan_budget(teacher, corpora=CORPORA, limits=limits, conditions=FAST, precision="fp32")
    chosen = planned.choice.chosen
    values = yaml.safe_load(planned.recipe_text())
    assert planned.recipe().languages.all == ("en-Latn", "sw-Latn")
    values["phase1"] = None
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    folder = run_recipe(load_recipe(str(tmp_path / "recipe.yaml")), out=tmp_path / "runs")
    config = load_config(folder / "model")
    assert config.num_hidden_layers == chosen.layers
    assert config.vocab_size == chosen.vocabulary.size
    found = Block(config.hidden_size, config.num_attention_heads, config.intermediate_size)
    assert found == chosen.block

    (tmp_path / "plan.json").write_text(json.dumps(planned.to_json()), encoding="utf-8")
    promises = {one.what: one for one in check_promise(load_plan(tmp_path / "plan.json"), folder)}
    assert all(one.kept for one in promises.values())
    assert promises["disk"].measured <= chosen.disk
    assert promises["disk"].measured > chosen.disk - 20_000
    for tag, share in chosen.vocabulary.kept.items():
        assert promises[f"coverage, {tag}"].measured == pytest.approx(share)


def test_a_student_that_is_too_large_breaks_its_promise(planned, teacher):
    promises = {one.what: one for one in check_promise(planned.to_json(), teacher)}
    assert promises["disk"].kept is False
    assert promises["coverage, sw-Latn"].kept


def test_times_are_promised_in_pytorch_and_unknown_in_int8(teacher, tmp_path):
    limits = Limits(disk=1_000_000, latency=60.0)
    found = plan_budget(
        teacher, corpora=CORPORA, limits=limits, conditions=FAST, precision="int8", cache=tmp_path
    )
    assert found.choice.chosen.storage == "int8"
    assert found.conditions.precision == "fp32"
    promises = {one.what: one for one in check_promise(found.to_json(), teacher)}
    assert promises["latency"].kept is True
    assert promises["latency in int8"].kept is None
    assert promises["latency in int8"].measured is None
    assert "by arithmetic in int8" in promises["disk"].note


def test_what_was_measured_is_not_measured_again_unless_asked_or_disturbed(teacher, tmp_path, monkeypatch):
    config, blocks = load_config(teacher), [Block(32, 4, 64)]
    quiet = Measured(Line(0.5, 0.25), {1: 0.75, 4: 1.5}, spread=0.1, load=None)
    asked, answers = [], [replace(quiet, spread=0.5), quiet, quiet, quiet, quiet]
    monkeypatch.setattr(
        "isogloss.methods.latency_table._measure", lambda *more: asked.append(more) or answers.pop(0)
    )

    def table(conditions=FAST, **more):
        return latency_table(config, blocks, conditions, cache=tmp_path, **more)[blocks[0]]

    assert table().disturbed
    assert [table(), table()] == [quiet, quiet]
    assert len(asked) == 2
    table(Conditions(length=9))
    table(again=True)
    assert len(asked) == 4
    for file in tmp_path.rglob("*.json"):
        file.write_text('{"medians": 3}', encoding="utf-8")  # damaged, or of another version
    table()
    assert len(asked) == 5


def test_a_line_goes_through_what_was_measured(teacher, tmp_path):
    measured = latency_table(load_config(teacher), [Block(32, 4, 64)], FAST, cache=tmp_path)[Block(32, 4, 64)]
    assert set(measured.medians) == {1, 2, 4}
    assert measured.line.seconds(4) >= measured.line.seconds(1) >= 0


def test_precision_left_open_is_fp32_where_that_fits_and_bf16_where_it_buys_something(teacher):
    def stored(disk):
        found = plan_budget(teacher, corpora=CORPORA, limits=Limits(disk=disk), conditions=FAST)
        return found.choice.chosen.storage

    assert stored(10_000_000) == "fp32"
    assert "bf16" in {stored(disk) for disk in range(150_000, 400_000, 50_000)}


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"limits": Limits(disk=10)}, "--disk"),
        ({"limits": Limits(coverage=1.5)}, "--coverage 1.5"),
        ({"conditions": Conditions(8, threads=0)}, "--threads 0"),
        ({"limits": Limits(latency=1.0), "conditions": Conditions(1000)}, "--length 1000"),
        ({"precision": "fp8"}, "--precision fp8"),
    ],
)
def test_what_cannot_be_is_refused_with_advice(teacher, tmp_path, changes, got):
    given = {"limits": Limits(), "conditions": FAST, "cache": tmp_path} | changes
    with pytest.raises(UserError, match=got) as refused:
        plan_budget(teacher, corpora=CORPORA, **given)
    assert refused.value.fix


def test_a_file_that_is_no_plan_is_refused(tmp_path):
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="not a plan"):
        load_plan(tmp_path / "plan.json")


def test_one_language_is_its_own_target(teacher):
    found = module.plan_budget(
        teacher, corpora={"sw-Latn": ("miniature/train:50",)}, limits=Limits(), conditions=FAST
    )
    assert set(found.recipe().languages.all) == {"sw-Latn"}
