"""Levelling from the recipe to what each language gained: selection, guards, baselines."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from isogloss.core.errors import DataError, RecipeError
from isogloss.methods.guards import Guard, GuardRule, Judge
from isogloss.methods.level import LevelRecipe, gather
from isogloss.methods.planning import plan
from isogloss.methods.self_distillation import surest
from isogloss.methods.teachers import TeacherRule, believed
from isogloss.models.tasks import load_task_model
from tiny_runs import FINETUNE, LEVEL, logged, ran, tiny

LANGUAGES = ("en-Latn", "fr-Latn", "sw-Latn")


def levelled(topics, folder, **changes):
    run = ran(tiny(LEVEL, model=str(topics), **changes), folder)
    return run, json.loads((run.folder / "levelling.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(topics, tmp_path_factory):
    return levelled(topics, tmp_path_factory.mktemp("levelled"))


def test_both_models_are_scored_in_every_language_and_the_change_has_an_interval(whole):
    run, facts = whole
    scored = {
        (line["model"], line["language"], line["metric"]): line["value"]
        for line in run.metrics
        if line["phase"] == "evaluate"
    }
    assert {key[:2] for key in scored} == {(m, tag) for m in ("before", "levelled") for tag in LANGUAGES}
    for tag, change in facts["changes"].items():
        assert change["before"] == scored["before", tag, "accuracy"]
        assert change["after"] == scored["levelled", tag, "accuracy"]
        assert change["low"] <= change["mean"] <= change["high"]
        assert change["mean"] == pytest.approx(change["after"] - change["before"])
    assert set(facts["disparity"]["change"]) >= {"gap", "deviation", "transfer_gap", "worst_mean"}


def test_every_language_is_a_teacher_or_a_student(whole):
    _, facts = whole
    assert sorted(facts["teachers"] + facts["students"]) == sorted(LANGUAGES)
    assert facts["teachers"]
    assert facts["students"]
    assert set(facts["judges"]) == {"confidence", "confidence-others", "agreement", "reliability", "source"}
    assert set(facts["stability"]["shares"]) == set(LANGUAGES)
    assert all(0 <= facts["calibration"][tag]["error"] <= 1 for tag in LANGUAGES)


def test_agreement_is_a_symmetric_matrix_with_ones(whole):
    _, facts = whole
    for matrix in facts["agreement"].values():
        for i, row in enumerate(matrix):
            assert row[i] == 1.0
            assert row == [other[i] for other in matrix]


def test_a_loss_is_logged_for_each_language_and_agreement_at_each_evaluation(whole):
    run, _ = whole
    for tag in LANGUAGES:
        assert logged(run, f"level/{tag}", split="train", step=4)
    found = [line for line in run.metrics if line["metric"] == "agreement" and line["split"] == "dev"]
    assert {line["step"] for line in found} == {2, 4}
    assert {line["language"] for line in found if "language" in line} == set(LANGUAGES)
    entropies = [line for line in run.metrics if line["metric"] == "entropy"]
    assert len(entropies) == 2 * len(LANGUAGES)


def test_the_levelled_model_loads_and_is_not_the_one_before(whole, topics):
    run, facts = whole
    after, _ = load_task_model(run.folder / "model")
    before, _ = load_task_model(topics)
    assert facts["guards"]["put_back"] is None
    assert any(not torch.equal(a, b) for a, b in zip(after.parameters(), before.parameters(), strict=True))


def test_changed_examples_are_answered_otherwise_than_before(whole):
    _, facts = whole
    assert all(line["before"] != line["predicted"] for line in facts["changed"])


@pytest.mark.parametrize(
    "distillation",
    [
        {"aim": "pairs", "divergence": "reverse", "teacher": "now", "stop_gradient": False},
        {"aim": "pairs", "divergence": "js", "temperature": 2.0},
        {"aim": "consensus", "pooling": "log", "teacher": "average", "decay": 0.9},
        {"aim": "self", "learners": "source"},
        {"aim": "self", "learners": "all", "keep": 0.25},
    ],
)
def test_every_aim_runs(topics, tmp_path, distillation):
    run, facts = levelled(topics, tmp_path, distillation=distillation, training__steps=2)
    assert facts["aim"] == distillation["aim"]
    assert logged(run, "loss", split="train", step=2)


def test_an_anchor_holds_the_source(topics, tmp_path):
    run, _ = levelled(
        topics,
        tmp_path,
        distillation={"anchor": 0.5},
        train={"eng": "miniature/train:20"},
        training__steps=2,
    )
    assert logged(run, "anchor", split="train", step=2)


def test_training_with_the_rows_in_use_leaves_the_others_as_they_were(topics, tmp_path):
    run, _ = levelled(topics, tmp_path, used_rows_only=True, training__steps=2)
    after, before = (load_task_model(place)[0] for place in (run.folder / "model", topics))
    old, new = (one.backbone.get_input_embeddings().weight for one in (before, after))
    assert old.shape == new.shape
    unused = (old == new).all(-1)
    assert unused.any()
    assert not unused.all()


def test_a_choice_and_a_gap_are_levelled_too(model, tmp_path):
    learnt = ran(tiny(FINETUNE, model=str(model), task="copa"), tmp_path / "copa").folder / "model"
    _, facts = levelled(learnt, tmp_path / "levelled", task="copa", training__steps=1)
    assert set(facts["changes"]) == set(LANGUAGES)
    _, facts = levelled(model, tmp_path / "cloze", task="cloze", training__steps=1, test={})
    assert "changes" not in facts
    assert set(facts["entropy"]["after"]) == set(LANGUAGES)


def test_a_teacher_that_falls_ends_the_training_and_the_model_from_before_is_put_back(topics, tmp_path):
    run, facts = levelled(
        topics,
        tmp_path,
        dev={"eng": "miniature/dev:40"},
        selection={"teachers": ["eng"], "draws": 20},
        guards={"tolerance": 0.0, "collapse": 0.0},
        distillation={"aim": "self", "learners": "all", "keep": 0.05},
        training={"steps": 40, "batch_size": 24, "learning_rate": 1.0, "evaluate_every": 1, "log_every": 1},
    )
    guards = facts["guards"]
    assert "the teacher en-Latn fell" in guards["refused"]
    assert guards["steps"] < 40
    if guards["put_back"]:
        assert guards["kept_step"] == 0
        assert all(change["mean"] == 0 for change in facts["changes"].values())
    after, before = (load_task_model(place)[0] for place in (run.folder / "model", topics))
    same = all(torch.equal(a, b) for a, b in zip(after.parameters(), before.parameters(), strict=True))
    assert same == bool(guards["put_back"])


def complaining(verdicts, patience):
    """What a guard says of one verdict after another, taken up from its state each time."""
    judge, said, state = SimpleNamespace(last=SimpleNamespace(entropy={})), [], {"in_a_row": 0}
    for judge.verdict in verdicts:
        guard = Guard(judge, patience=patience)
        guard.load_state_dict(state, main=True)
        refusal = guard.after_evaluation(None, {})
        said.append(refusal and refusal.ends)
        state = guard.state_dict()
    return said


def test_a_guard_ends_the_training_when_it_has_complained_often_enough_in_a_row():
    assert complaining(["fell", "fell"], patience=1) == [True, True]
    assert complaining(["fell", None, "fell", "fell"], patience=2) == [False, None, False, True]


def test_a_model_that_says_the_same_of_everything_is_complained_of(topics):
    recipe = LevelRecipe.model_validate({**LEVEL, "model": str(topics)})
    material = gather(recipe)
    task, tokenizer = load_task_model(topics)
    judge = Judge(
        GuardRule(tolerance=1.0 - 1e-9),
        tokenizer,
        material.held_out,
        {},
        votes={"en-Latn": 1.0},
        metric="accuracy",
        max_length=None,
    )
    start = judge.begin(task)
    assert judge(task) == start.agreement
    assert judge.verdict is None
    classifier = next(part for name, part in task.named_modules() if name.endswith("classifier"))
    with torch.no_grad():
        classifier.weight.zero_()
    judge(task)
    assert "hardly tells items apart" in judge.verdict


def test_the_start_agrees_with_the_vote_of_its_teachers(topics):
    recipe = LevelRecipe.model_validate({**LEVEL, "model": str(topics)})
    task, tokenizer = load_task_model(topics)
    judge = Judge(
        GuardRule(),
        tokenizer,
        gather(recipe).held_out,
        {},
        votes={"fr-Latn": 1.0},
        metric="accuracy",
        max_length=None,
    )
    assert judge.begin(task).agreement["fr-Latn"] == 1.0


def test_an_item_that_is_learnt_from_and_tested_on_is_refused(topics, tmp_path):
    with pytest.raises(DataError, match=r"items in en-Latn are in both unlabelled .* and test"):
        levelled(topics, tmp_path, test={"eng": "miniature/train:12"})


def test_languages_that_nobody_could_teach_are_refused_with_their_scores(topics, tmp_path):
    with pytest.raises(RecipeError, match=r"(?s)nobody teaches.*en-Latn .*learns"):
        levelled(topics, tmp_path, selection={"threshold": 0.99, "draws": 20})


def test_few_items_are_drawn_from_those_that_are_not_held_out(topics):
    recipe = LevelRecipe.model_validate({**LEVEL, "model": str(topics), "items": 5})
    material = gather(recipe)
    assert len(material.learnt) == 5
    assert not set(material.learnt.ids) & set(material.held_out.ids)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "ner"}, "no classes that languages share"),
        ({"distillation": {"anchor": 1.0}}, "needs `train`"),
        ({"guards": {"choose_by": "source"}}, "needs `dev`"),
        ({"distillation": {"stop_gradient": False}}, "a gradient to let through"),
        ({"source": "deu"}, "not among the languages"),
        ({"selection": {"count": 2, "threshold": 0.1}}, "one of the two"),
        ({"source": None, "selection": {"selector": "source"}}, "needs `source`"),
        ({"selection": {"teachers": ["eng"], "count": 2}}, "neither threshold nor count"),
        ({"unlabelled": {"eng": "miniature/train:30"}}, "at least 2"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        LevelRecipe.model_validate({**LEVEL, "model": "x", **changes})


def test_the_surest_answers_stay(topics):
    task, tokenizer = load_task_model(topics)
    recipe = LevelRecipe.model_validate({**LEVEL, "model": str(topics)})
    panel = believed(task, tokenizer, gather(recipe).learnt)
    labels = surest(panel, panel.languages, 0.25)
    assert labels.shape == (3, len(panel.ids))
    for row, own in zip(labels, panel.probabilities, strict=True):
        kept = row >= 0
        assert kept.sum() == round(0.25 * len(row))
        assert (row[kept] == own.argmax(-1)[kept]).all()
        assert own.max(-1)[kept].min() >= own.max(-1)[~kept].max()


def test_named_teachers_are_those(topics):
    task, tokenizer = load_task_model(topics)
    panel = believed(
        task, tokenizer, gather(LevelRecipe.model_validate({**LEVEL, "model": str(topics)})).learnt
    )
    teachers = TeacherRule(teachers=("swa",), draws=10).choose(panel, seed=0)
    assert teachers.languages == ("sw-Latn",)
    assert teachers.stability.shares["sw-Latn"] == 1.0


def test_a_plan_tells_how_many_rows_a_step_reads(topics):
    rows = {
        row.what: row for row in plan(LevelRecipe.model_validate({**LEVEL, "model": str(topics)}))[0].rows
    }
    assert rows["items"].value == "24"
    assert rows["steps"].value == "4"
    assert "18 rows" in rows["steps"].note
    count = sum(parameter.numel() for parameter in load_task_model(topics)[0].parameters())
    assert rows["parameters"].value == f"{count:,}"


def test_a_trusted_teacher_outvotes_two_that_are_not(topics):
    recipe = LevelRecipe.model_validate({**LEVEL, "model": str(topics)})
    task, tokenizer = load_task_model(topics)
    agreement = {}
    for weight in (10.0, 0.01):
        judge = Judge(
            GuardRule(),
            tokenizer,
            gather(recipe).held_out,
            {},
            votes={"en-Latn": weight, "fr-Latn": 1.0, "sw-Latn": 1.0},
            metric="accuracy",
            max_length=None,
        )
        agreement[weight] = judge.begin(task).agreement["en-Latn"]
    assert agreement[10.0] == 1.0
    assert agreement[0.01] <= 1.0
