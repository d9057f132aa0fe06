from __future__ import annotations

import math

import pytest
import run_folders

from isogloss.core.run import RunRecord, read_run
from isogloss.data.tasks import TASKS
from isogloss.evaluate.metrics import LOWER_IS_BETTER
from isogloss.report.curves import loss_curves, score_curves, throughput
from isogloss.report.measurements import measurements, model_name, source_language
from isogloss.report.numbers import (
    NOTHING,
    count,
    duration,
    megabytes,
    metric,
    percent,
    rank,
    shown,
    signed,
    tone,
)
from isogloss.report.samples import sample_groups
from isogloss.report.tables import compare, mixture_tables, score_tables, size_table


def a_run(tmp_path, *, metrics=(), recipe=None, sizes=None, samples=(), state="finished"):
    return RunRecord(
        folder=tmp_path / "run",
        recipe={"method": "finetune"} if recipe is None else recipe,
        environment={},
        status={"state": state},
        sizes=sizes or {},
        metrics=list(metrics),
        samples=list(samples),
    )


def score(language, value, model="base", metric="accuracy", task="nli", **more):
    facts = {"phase": "evaluate", "step": 0, "split": "test", "task": task, "metric": metric}
    return facts | {"language": language, "model": model, "value": value} | more


@pytest.fixture
def before_and_after(tmp_path):
    values = {"base": (0.5, 0.3, 0.1), "student": (0.6, 0.5, 0.4)}
    tags = ("sw-Latn", "en-Latn", "de-Latn")
    lines = [score(t, v, m) for m, vs in values.items() for t, v in zip(tags, vs, strict=True)]
    recipe = {"method": "distil", "languages": {"source": "eng", "target": "swh"}}
    return score_tables(a_run(tmp_path, metrics=lines, recipe=recipe))


def test_a_score_table_has_a_row_for_each_language_and_a_column_for_each_model(before_and_after):
    (table,) = before_and_after
    assert (table.task, table.metric, table.split, table.columns) == (
        "nli",
        "accuracy",
        "test",
        ("base", "student"),
    )
    assert [row.name for row in table.rows] == ["English", "Swahili", "German"]  # the source, then by score
    assert [row.values for row in table.rows] == [(0.3, 0.5), (0.5, 0.6), (0.1, 0.4)]
    assert [row.change for row in table.rows] == pytest.approx([0.2, 0.1, 0.3])


def test_disparity_is_as_computed_by_hand(before_and_after):
    (table,) = before_and_after
    found = {row.key: row.values for row in table.disparity}
    assert found["mean"] == pytest.approx((0.3, 0.5))
    assert found["worst"] == pytest.approx((0.1, 0.4))
    assert found["gap"] == pytest.approx((0.4, 0.2))
    assert found["spread"] == pytest.approx((math.sqrt(0.08 / 3), math.sqrt(0.02 / 3)))
    assert found["transfer"] == pytest.approx((0.3 - 0.3, 0.5 - 0.5))
    assert table.figure("worst").languages == ("de-Latn", "de-Latn")
    assert table.figure("gap").change == pytest.approx(-0.2)


def test_where_lower_is_better_the_worst_language_is_the_highest(tmp_path):
    lines = [score("en-Latn", 1.0, metric="bits_per_byte"), score("sw-Latn", 3.0, metric="bits_per_byte")]
    (table,) = score_tables(a_run(tmp_path, metrics=lines, recipe={"source": "en"}))
    assert table.figure("worst").values == (3.0,)
    assert table.figure("gap").values == (2.0,)
    assert table.figure("transfer").values == (2.0,)
    assert table.figure("transfer").label == "mean of others − source"


def test_disparity_is_over_the_languages_that_every_column_has(tmp_path):
    lines = [score(t, v, "teacher") for t, v in {"en-Latn": 0.9, "de-Latn": 0.8, "tr-Latn": 0.1}.items()]
    lines += [score(t, v, "student") for t, v in {"en-Latn": 0.7, "de-Latn": 0.6}.items()]
    (table,) = score_tables(a_run(tmp_path, metrics=lines))
    assert set(table.compared) == {"en-Latn", "de-Latn"}
    assert table.figure("mean").values == pytest.approx((0.85, 0.65))
    assert table.rows[-1].scores[-1] is None
    assert table.rows[-1].change is None


def test_one_language_has_no_disparity(tmp_path):
    (table,) = score_tables(a_run(tmp_path, metrics=[score("en-Latn", 0.5)]))
    assert table.disparity == ()


@pytest.mark.parametrize(("other", "compares"), [("sw-Latn", False), ("en-Latn-x-2", True)])
def test_perplexities_of_two_languages_have_no_mean_and_no_gap_unless_they_are_clones(
    other, compares, tmp_path
):
    lines = [score("en-Latn", 20.0, metric="perplexity"), score(other, 30.0, metric="perplexity")]
    (table,) = score_tables(a_run(tmp_path, metrics=lines))
    assert bool(table.disparity) == compares


def test_what_a_result_is_compared_with_stands_first(tmp_path):
    lines = [score("en-Latn", 0.5, "student"), score("en-Latn", 0.6, "teacher")]
    (table,) = score_tables(a_run(tmp_path, metrics=lines))
    assert table.columns == ("teacher", "student")


def test_measured_again_the_later_line_holds(tmp_path):
    (table,) = score_tables(a_run(tmp_path, metrics=[score("en-Latn", 0.5), score("en-Latn", 0.7)]))
    assert table.rows[0].values == (0.7,)


def test_of_several_metrics_the_one_to_read_first_comes_first(tmp_path):
    lines = [score("en-Latn", 0.5, metric=name, task="parsing") for name in ("other", "uas", "las")]
    assert [t.metric for t in score_tables(a_run(tmp_path, metrics=lines))] == ["las", "uas", "other"]


def test_without_a_test_result_the_first_and_last_development_scores_stand_in(tmp_path):
    lines = [
        {
            "phase": "finetune",
            "step": step,
            "split": "dev",
            "metric": "accuracy",
            "language": "en-Latn",
            "value": v,
        }
        for step, v in ((10, 0.3), (20, 0.4), (30, 0.6))
    ]
    (table,) = score_tables(a_run(tmp_path, metrics=lines))
    assert table.split == "dev"
    assert table.columns == ("finetune step 10", "finetune step 30")
    assert table.rows[0].change == pytest.approx(0.3)


def test_overlapping_intervals_are_within_chance(tmp_path):
    near = [
        score("en-Latn", 0.50, "base", low=0.45, high=0.55),
        score("en-Latn", 0.52, "student", low=0.5, high=0.6),
    ]
    far = [
        score("de-Latn", 0.50, "base", low=0.45, high=0.55),
        score("de-Latn", 0.7, "student", low=0.6, high=0.8),
    ]
    (table,) = score_tables(a_run(tmp_path, metrics=near + far))
    assert {row.language: row.within_chance for row in table.rows} == {"en-Latn": True, "de-Latn": False}
    assert not table.within_chance


def test_lines_that_are_no_measurement_are_left_out(tmp_path):
    odd = [
        7,
        {"metric": "loss"},
        {"value": 3},
        {"metric": "loss", "value": "much"},
        {"metric": "loss", "value": 2},
    ]
    assert [m.value for m in measurements(a_run(tmp_path, metrics=odd))] == [2.0]


def test_runs_compare_on_what_both_were_tested_on(tmp_path):
    one = a_run(tmp_path, metrics=[score("en-Latn", 0.5), score("en-Latn", 0.2, task="copa")])
    two = a_run(tmp_path, metrics=[score("en-Latn", 0.1, "base"), score("en-Latn", 0.7, "student")])
    (table,) = compare({"one": one, "two": two})
    assert table.columns == ("one", "two")
    assert table.rows[0].values == (0.5, 0.7)


def test_sizes_are_measured_against_the_teacher(tmp_path):
    table = size_table(read_run(run_folders.distil(tmp_path / "run")))
    assert table.reference == "teacher"
    assert [row.share for row in table.rows] == pytest.approx([1.0, 1_390_211 / 4_213_571])


def test_a_size_that_was_not_noted_is_none(tmp_path):
    table = size_table(a_run(tmp_path, sizes={"a": {"parameters": 5}, "b": {"layers": 2}}))
    assert table.rows[1].parameters is None
    assert table.rows[1].share is None
    assert size_table(a_run(tmp_path)).rows == ()


def test_the_mixture_ledger_keeps_each_phase_apart(tmp_path):
    tables = mixture_tables(read_run(run_folders.distil(tmp_path / "run")))
    assert [table.phase for table in tables] == ["phase1", "phase2"]
    assert {row.language: row.requested for row in tables[0].rows} == {"en-Latn": 0.5, "sw-Latn": 0.5}


def test_curves_are_thinned_and_the_total_loss_comes_first(tmp_path):
    lines = [
        {"phase": "p", "step": step, "split": "train", "metric": name, "value": 1.0}
        for step in range(1000)
        for name in ("hidden", "loss", "learning_rate", "tokens_per_second")
    ]
    (drawn,) = loss_curves(a_run(tmp_path, metrics=lines))
    assert [series.name for series in drawn.series] == ["loss", "hidden"]
    assert len(drawn.series[0].steps) == 200
    assert drawn.series[0].steps[-1] == 999


def test_values_that_are_not_finite_are_not_drawn(tmp_path):
    lines = [
        {"phase": "p", "step": step, "split": "train", "metric": "loss", "value": value}
        for step, value in enumerate([2.0, math.nan, 1.0, math.inf])
    ]
    (drawn,) = loss_curves(a_run(tmp_path, metrics=lines))
    assert drawn.series[0].values == (2.0, 1.0)


def test_development_scores_are_drawn_by_language_and_throughput_is_a_median(tmp_path):
    run = read_run(run_folders.finetune(tmp_path / "run"))
    (drawn,) = score_curves(run)
    assert {series.name for series in drawn.series} == {
        "English",
        "French",
        "German",
        "Russian",
        "Turkish",
        "Swahili",
    }
    assert throughput(run) == {"finetune": 21_039.5}


def test_samples_are_chosen_right_and_wrong_with_every_models_answer(tmp_path):
    group = sample_groups(read_run(run_folders.distil(tmp_path / "run")))[0]
    assert (group.task, group.name) == ("nli", "English")
    assert [answer.model for answer in group.samples[0].answers] == ["teacher", "student"]
    assert all(sample.answers[-1].correct for sample in group.samples)


def test_what_has_no_gold_is_neither_right_nor_wrong(tmp_path):
    line = {"model": "base", "task": "lm", "language": "en-Latn", "id": "1", "input": "Hello.", "gold": None}
    (group,) = sample_groups(a_run(tmp_path, samples=[{**line, "predicted": "2.1 nats", "correct": True}]))
    assert group.samples[0].answers[0].correct is None


def test_several_gold_answers_are_kept_apart(tmp_path):
    line = {
        "input": {"question": "Who?"},
        "gold": ["Amina", "the girl"],
        "predicted": "Amina",
        "correct": True,
    }
    (group,) = sample_groups(a_run(tmp_path, samples=[line]))
    assert group.samples[0].gold == "Amina / the girl"
    assert group.samples[0].parts == (("question", "Who?"),)


def test_sequences_of_one_length_are_laid_out_word_by_word(tmp_path):
    line = {"task": "pos", "language": "en-Latn", "input": ["a", "dog"], "gold": ["DET", "NOUN"]}
    (group,) = sample_groups(a_run(tmp_path, samples=[{**line, "predicted": ["DET", "VERB"]}]))
    assert [(t.word, t.gold, t.predicted) for t in group.samples[0].tokens] == [
        ("a", "DET", ("DET",)),
        ("dog", "NOUN", ("VERB",)),
    ]
    (group,) = sample_groups(a_run(tmp_path, samples=[{**line, "predicted": ["DET"]}]))
    assert group.samples[0].tokens == ()


@pytest.mark.parametrize(
    ("recipe", "wanted"),
    [
        ({"languages": {"source": "eng", "target": "swh"}}, "en-Latn"),
        ({"tasks": [{"train": {"en-Latn": "a"}}, {"train": {"eng": "b"}}]}, None),
        ({"task": {"train": {"en-Latn": "a"}, "test": {"de-Latn": "a"}}}, "en-Latn"),
        ({"task": {"train": {"en-Latn": "a", "de-Latn": "b"}}}, None),
        ({"source": "no such language"}, None),
        ({}, None),
    ],
)
def test_the_source_language_is_read_from_the_recipe(recipe, wanted):
    assert source_language(recipe) == wanted


def test_models_are_named_for_a_sentence():
    assert model_name("xlm-roberta-base") == "xlm-roberta-base"
    assert model_name("org/name") == "org/name"
    assert model_name("../runs/first/model") == "first"
    assert model_name("/models/mini") == "mini"
    assert model_name(None) is None


def test_numbers_are_shown_in_their_units():
    assert shown("accuracy", 0.8456) == "84.6"
    assert shown("perplexity", math.inf) == "∞"
    assert shown("accuracy", math.nan) == shown("accuracy", None) == NOTHING
    assert signed("accuracy", 0.012) == "+1.2"
    assert signed("accuracy", -0.012) == "−1.2"
    assert signed("accuracy", -0.0001) == "0.0"
    assert signed("accuracy", None) == NOTHING
    assert (count(950), count(12_400), count(278_000_000), count(None)) == ("950", "12.4 k", "278 M", NOTHING)
    assert (megabytes(5_560_844), megabytes(None)) == ("5.56 MB", NOTHING)
    assert (percent(0.33), percent(None)) == ("33.0%", NOTHING)
    assert (duration(42), duration(185), duration(7800), duration(None)) == (
        "42 s",
        "3 min 5 s",
        "2 h 10 min",
        NOTHING,
    )


def test_a_change_is_good_or_bad_only_as_far_as_its_digits_tell():
    assert tone("accuracy", 0.01) == "good"
    assert tone("perplexity", 1.0) == "bad"
    assert tone("perplexity", -1.0) == "good"
    assert tone("accuracy", 0.0004) == ""
    assert tone("something_else", 5.0) == ""
    assert tone("accuracy", None) == ""


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_report_reads_every_metric_of_a_task_as_the_task_does(task):
    assert sorted(task.metrics, key=rank) == list(task.metrics)
    lower = {name for name in task.metrics if metric(name).better == "lower"}
    assert lower == LOWER_IS_BETTER & set(task.metrics)
