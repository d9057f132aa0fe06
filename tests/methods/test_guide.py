"""Learning a task from a teacher that was tuned for it."""

from __future__ import annotations

import re

import pytest
import torch
from safetensors.torch import load_file

from isogloss.core.errors import DataError, ModelError, RecipeError
from isogloss.core.quantities import bytes_of
from isogloss.methods import guide, task
from isogloss.methods.planning import plan
from isogloss.methods.sources import MiniatureText
from isogloss.models.origin import ORIGIN, read_origin
from isogloss.models.tasks import load_task_model
from tiny_runs import DISTIL, FINETUNE, PRETRAIN, logged, ran, tiny

KINDS = ["nli", "copa", "ner", "parsing", "qa"]


@pytest.fixture(scope="module")
def student(model, tmp_path_factory):
    """A general student with a smaller vocabulary than its teacher's."""
    recipe = tiny(DISTIL, teacher=str(model), student__vocabulary__min_probability=0.002)
    return ran(recipe, tmp_path_factory.mktemp("student")).folder / "model"


def tuned(model, task, out, **more):
    return ran(tiny(FINETUNE, model=str(model), task=task, **more), out).folder


def test_a_student_knows_where_it_comes_from(model, student):
    origin = read_origin(student)
    assert origin.layers == (1,)
    assert origin.basis is None
    teacher, own = (load_file(folder / "model.safetensors") for folder in (model, student))
    [name] = [name for name in own if "tok_embeddings" in name]
    assert len(origin.kept) == len(own[name]) < len(teacher[name])
    assert read_origin(model) is None


@pytest.mark.parametrize("task", KINDS)
def test_a_student_of_every_kind_learns_from_a_teacher_of_the_whole_vocabulary(
    model, student, task, tmp_path
):
    teacher = tuned(model, task, tmp_path / "teacher") / "model"
    run = ran(tiny(FINETUNE, model=str(student), task=task, teacher=str(teacher)), tmp_path / "student")
    for name in ("hidden", "attention", "logits"):
        assert len(logged(run, name, phase="finetune", split="train")) == 3, name
    assert not logged(run, "gold", phase="finetune")
    assert run.sizes["model"]["parameters"] < run.sizes["teacher"]["parameters"]
    for name in ("teacher", "model"):
        assert {line["language"] for line in logged(run, line_metric(run), model=name, split="test")} == {
            "en-Latn",
            "fr-Latn",
        }


def line_metric(run):
    """The metric that the run's first score is of."""
    return next(line["metric"] for line in run.metrics if line["phase"] == "evaluate")


@pytest.mark.parametrize("name", ["teacher", "tuned"])
def test_a_teacher_that_is_scored_too_is_in_memory_once(model, student, name, tmp_path, monkeypatch):
    teacher = str(tuned(model, "ner", tmp_path / "teacher") / "model")
    loaded = []

    def load(folder):
        loaded.append(folder)
        return load_task_model(folder)

    for module in (guide, task):
        monkeypatch.setattr(module, "load_task_model", load)
    beside = {} if name == "teacher" else {name: teacher}
    recipe = tiny(FINETUNE, model=str(student), task="ner", teacher=teacher, beside=beside)
    run = ran(recipe, tmp_path / "student")
    assert loaded == [teacher]
    assert logged(run, line_metric(run), model=name, split="test")


def test_a_student_is_tuned_sparsely_beside_its_teacher(model, student, tmp_path):
    teacher = tuned(model, "ner", tmp_path / "teacher") / "model"
    recipe = tiny(FINETUNE, model=str(student), task="ner", teacher=str(teacher), sparse={"density": 0.1})
    run = ran(recipe, tmp_path / "student")
    assert logged(run, "logits", phase="finetune-full")
    assert logged(run, "logits", phase="finetune")
    before = load_file(student / "model.safetensors")
    after = load_file(run.folder / "model" / "model.safetensors")
    body = {name: tensor for name, tensor in after.items() if "layers." in name}
    changed = sum(int((tensor != before[name]).sum()) for name, tensor in body.items())
    assert 0 < changed < 0.2 * sum(tensor.numel() for tensor in body.values())


def test_a_teacher_of_deltas_teaches_like_the_whole_model(model, student, tmp_path):
    """A base with the task's delta on it is the task model, to the bit."""
    folder = tuned(model, "ner", tmp_path / "teacher", sparse={"density": 0.2})
    deltas = {"model": str(model), "deltas": [str(folder / "deltas" / "ner.safetensors")]}
    runs = [
        ran(tiny(FINETUNE, model=str(student), task="ner", teacher=teacher), tmp_path / name)
        for name, teacher in (("whole", str(folder / "model")), ("deltas", deltas))
    ]
    whole, pieces = (
        [line["value"] for line in logged(run, "loss", phase="finetune", split="train")] for run in runs
    )
    assert whole == pieces


def test_the_teachers_head_can_be_the_students_first(model, student, tmp_path):
    teacher = tuned(model, "ner", tmp_path / "teacher") / "model"
    recipe = tiny(
        FINETUNE,
        model=str(student),
        task="ner",
        teacher=str(teacher),
        head="teacher",
        training={"steps": 1, "batch_size": 4, "learning_rate": 1e-12, "weight_decay": 0.0},
    )
    own, _ = load_task_model(ran(recipe, tmp_path / "student").folder / "model")
    theirs, _ = load_task_model(teacher)
    torch.testing.assert_close(own.model.classifier.weight, theirs.model.classifier.weight)


def test_a_teacher_of_another_vocabulary_is_refused(model, student, tmp_path):
    other = ran(
        tiny(DISTIL, teacher=str(model), phase1=None, dev={}, student__vocabulary__size=300), tmp_path / "x"
    )
    teacher = tuned(other.folder / "model", "ner", tmp_path / "teacher") / "model"
    with pytest.raises(ModelError, match="another vocabulary"):
        ran(tiny(FINETUNE, model=str(student), task="ner", teacher=str(teacher)), tmp_path / "student")


def test_a_teacher_for_another_task_is_refused_before_anything_runs(model, student, tmp_path):
    teacher = tuned(model, "ner", tmp_path / "teacher") / "model"
    with pytest.raises(ModelError, match="asked to do parsing"):
        ran(tiny(FINETUNE, model=str(student), task="parsing", teacher=str(teacher)), tmp_path / "student")
    assert not (tmp_path / "student").exists()


def test_a_label_the_teacher_does_not_know_is_refused(model, student, tmp_path):
    tags = tmp_path / "tags.tsv"
    tags.write_text("Anna\tB-PER\nsings\tO\n\n", encoding="utf-8")
    teacher = tuned(model, "ner", tmp_path / "teacher", train={"eng": str(tags)}) / "model"
    with pytest.raises(DataError, match="which the teacher does not know"):
        ran(tiny(FINETUNE, model=str(student), task="ner", teacher=str(teacher)), tmp_path / "student")


def test_no_loss_at_all_is_refused(model):
    with pytest.raises(RecipeError, match="at least one must weigh more than 0"):
        tiny(FINETUNE, model=str(model), task="ner", teacher="x", losses={"hidden": 0})


def test_several_sources_are_learnt_from_together(model, student, tmp_path):
    teacher = tuned(model, "ner", tmp_path / "teacher") / "model"
    both = {"eng": "miniature/train:12", "fra": "miniature/train:12"}
    recipe = tiny(FINETUNE, model=str(student), task="ner", teacher=str(teacher), train=both)
    assert logged(ran(recipe, tmp_path / "student"), "logits")


def test_a_damaged_origin_is_reported(student, tmp_path):
    (tmp_path / ORIGIN).write_bytes((student / ORIGIN).read_bytes()[:40])
    with pytest.raises(Exception, match="not readable") as caught:
        read_origin(tmp_path)
    assert ORIGIN in str(caught.value)


def test_a_student_may_be_tuned_on_the_rows_in_use_beside_a_teacher_with_all(model, student, tmp_path):
    teacher = tuned(model, "ner", tmp_path / "teacher") / "model"
    rows = {"training": {"steps": 2, "batch_size": 4, "learning_rate": 1e-3, "clip": None, "log_every": 1}}
    recipe = {"model": str(student), "task": "ner", "teacher": str(teacher), **rows}
    runs = [
        ran(tiny(FINETUNE, **recipe, used_rows_only=few), tmp_path / f"rows-{few}") for few in (False, True)
    ]
    whole, fewer = (load_file(run.folder / "model" / "model.safetensors") for run in runs)
    assert whole.keys() == fewer.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(fewer[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_teacher_wears_a_delta_for_each_language_and_none_where_there_is_none(model, tmp_path):
    """Only French batches see the delta: the first losses of English are those of a bare teacher."""
    few = {"steps": 2, "batch_size": 4, "learning_rate": 1e-2}
    tuned_to = ran(
        tiny(PRETRAIN, without=("architecture", "vocabulary", "mixture", "dev", "test"), model=str(model),
             corpora={"fra": "miniature/train:50"}, training=few, sparse={"density": 0.2}),
        tmp_path / "fra",
    )  # fmt: skip
    [delta] = (tuned_to.folder / "deltas").glob("*.safetensors")
    frozen = {"steps": 4, "batch_size": 4, "learning_rate": 1e-12, "evaluate_every": 4, "log_every": 1}
    found = {}
    for name, more in {
        "bare": {},
        "worn": {"phase1__deltas": {"fra": str(delta)}},
        "copies": {"phase1__deltas": {"fra": str(delta)}, "phase1__copies": True},
    }.items():
        run = ran(tiny(DISTIL, teacher=str(model), phase1__training=frozen, **more), tmp_path / name)
        found[name] = {
            line["language"]: line["value"] for line in logged(run, "loss", split="dev") if "language" in line
        }
    assert found["worn"] == found["copies"]
    assert found["worn"]["en-Latn"] == found["bare"]["en-Latn"]
    assert found["worn"]["fr-Latn"] != found["bare"]["fr-Latn"]


def test_a_student_meets_its_teacher_on_text_of_languages_without_a_label(model, student, tmp_path):
    teacher = tuned(model, "ner", tmp_path / "teacher") / "model"
    text = {"corpora": {"fra": "miniature/train:20"}, "length": 32, "batch_size": 2}
    recipe = {"model": str(student), "task": "ner", "teacher": str(teacher)}
    run = ran(tiny(FINETUNE, **recipe, unlabelled=text), tmp_path / "student")
    for name in ("text/hidden", "text/attention", "hidden", "logits"):
        assert len(logged(run, name, phase="finetune")) == 3, name
    assert not logged(run, "text/logits")
    bare = ran(tiny(FINETUNE, **recipe), tmp_path / "bare")
    assert [line["value"] for line in logged(run, "tokens", phase="finetune")] == [3 * 2 * 32]
    [share] = logged(run, "share", phase="finetune")
    assert (share["language"], share["value"]) == ("fr-Latn", 1.0)
    first = [logged(each, "loss", phase="finetune", split="train")[0]["value"] for each in (run, bare)]
    names = ("text/hidden", "text/attention")
    beside = sum(logged(run, name, phase="finetune")[0]["value"] for name in names)
    assert first[0] == pytest.approx(first[1] + beside, rel=1e-3)


def test_a_second_run_beside_the_first_does_not_tokenise_again(model, tmp_path, monkeypatch):
    recipe = {
        "model": str(model),
        "task": "ner",
        "teacher": str(tuned(model, "ner", tmp_path / "t") / "model"),
    }
    text = {"corpora": {"fra": "miniature/train:20"}, "length": 32, "batch_size": 2}
    first = ran(tiny(FINETUNE, **recipe, unlabelled=text), tmp_path / "runs")
    monkeypatch.setattr(MiniatureText, "__iter__", None)
    second = ran(tiny(FINETUNE, **recipe, unlabelled=text, seed=1), tmp_path / "runs")
    losses = [logged(run, "text/hidden") for run in (first, second)]
    assert losses[0] != losses[1]


def test_a_plan_counts_the_text_beside_a_task_and_the_teachers_memory(model, student, tmp_path):
    teacher = str(tuned(model, "ner", tmp_path / "teacher") / "model")
    text = {"corpora": {"fra": "miniature/train:20"}, "length": 32, "batch_size": 2}

    def rows(**more):
        planned = plan(tiny(FINETUNE, model=str(student), task="ner", sparse={"density": 0.1}, **more))[0]
        return {row.what: row for row in planned.rows}

    alone, taught = rows(), rows(teacher=teacher, unlabelled=text)
    assert taught["tokens of text"].value == f"{(3 + 3) * 2 * 32:,}"
    assert "tokens of text" not in alone
    parts = [
        [bytes_of(size, option="") for size in re.findall(r"[\d.]+ [kM]B", found["memory"].note)]
        for found in (alone, taught)
    ]
    assert all(less < more for less, more in zip(*parts, strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": None}, "unlabelled, teacher"),
        ({"losses": {"logits": 1}}, "unlabelled, teacher"),
        ({"used_rows_only": True}, "used_rows_only, unlabelled"),
    ],
)
def test_text_without_anything_to_learn_from_it_is_refused(changes, message):
    recipe = {"model": "x", "task": "ner", "teacher": "y", "unlabelled": {"corpora": {"fra": "z"}}}
    with pytest.raises(RecipeError, match=message):
        tiny(FINETUNE, **(recipe | changes))


def test_a_teacher_may_be_a_base_with_a_languages_delta_and_a_tasks(model, student, tmp_path):
    few = {"steps": 2, "batch_size": 4, "learning_rate": 1e-2}
    language = ran(
        tiny(PRETRAIN, without=("architecture", "vocabulary", "mixture", "dev", "test"), model=str(model),
             corpora={"eng": "miniature/train:50"}, training=few, sparse={"density": 0.1}),
        tmp_path / "eng",
    )  # fmt: skip
    [spoken] = (language.folder / "deltas").glob("*.safetensors")
    learnt = tuned(model, "ner", tmp_path / "ner", sparse={"density": 0.2}) / "deltas" / "ner.safetensors"
    losses = {}
    for name, deltas in {"task": [str(learnt)], "both": [str(spoken), str(learnt)]}.items():
        teacher = {"model": str(model), "deltas": deltas}
        run = ran(tiny(FINETUNE, model=str(student), task="ner", teacher=teacher), tmp_path / name)
        losses[name] = logged(run, "hidden", phase="finetune", split="train")[0]["value"]
    assert losses["task"] != losses["both"]


def test_a_student_may_have_several_sources(model, tmp_path):
    languages = {"source": ["eng", "fra"], "target": "fra"}
    run = ran(tiny(DISTIL, teacher=str(model), languages=languages), tmp_path)
    assert {line["language"] for line in logged(run, "loss", split="dev") if "language" in line} == {
        "en-Latn",
        "fr-Latn",
    }
