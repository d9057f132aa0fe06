"""Distillation, from the teacher to scores of the student beside it."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from isogloss.core.errors import DataError, ModelError, RecipeError
from isogloss.losses.plan import GENERAL
from isogloss.methods import distil
from isogloss.methods.guide import DistillationStep
from isogloss.methods.planning import plan
from isogloss.methods.student import make_student
from isogloss.methods.task import load_teacher
from isogloss.models.anatomy import anatomy
from isogloss.models.distillation import Distillation
from isogloss.models.tasks import TaskModel
from isogloss.models.teacher import Teacher
from tiny_runs import DISTIL, FINETUNE, PRETRAIN, TINY, logged, ran, tiny

PHASE2 = {key: value for key, value in FINETUNE.items() if key != "method"} | {"task": "ner"}


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A finished distillation without a task, of a teacher that has learnt enough to differ from noise."""
    longer = {"steps": 60, "batch_size": 4, "learning_rate": 5e-3}
    teacher = ran(tiny(PRETRAIN, training=longer, dev={}), tmp_path_factory.mktemp("teacher"))
    longer = {"steps": 24, "learning_rate": 3e-3, "batch_size": 4, "evaluate_every": 8, "log_every": 1}
    recipe = tiny(DISTIL, teacher=str(teacher.folder / "model"), phase1__training=longer)
    return ran(recipe, tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory):
    """A pretrained XLM-R-like model of four layers."""
    recipe = tiny(
        PRETRAIN,
        architecture={"family": "xlm-roberta", **TINY, "layers": 4},
        vocabulary__size=520,
        training__steps=2,
    )
    return ran(recipe, tmp_path_factory.mktemp("xlmr")).folder / "model"


def undistilled(teacher, out, **changes):
    """Teacher and copied student, before any step."""
    run = ran(tiny(DISTIL, teacher=str(teacher), phase1=None, dev={}, **changes), out)
    return [AutoModelForMaskedLM.from_pretrained(folder) for folder in (teacher, run.folder / "model")]


def test_the_base_is_out_of_memory_when_a_task_teacher_comes_in(model, tmp_path, monkeypatch):
    made, gone = [], []

    def make(*arguments, **options):
        pair = make_student(*arguments, **options)
        made.append(weakref.ref(pair.teacher))
        return pair

    def load(task):
        gc.collect()
        gone.extend(reference() is None for reference in made)  # nothing was made when it is first looked at
        return load_teacher(task)

    monkeypatch.setattr(distil, "make_student", make)
    monkeypatch.setattr(distil, "load_teacher", load)
    few = {"steps": 2, "batch_size": 2, "log_every": 1}
    ran(tiny(DISTIL, teacher=str(model), phase1__training=few, phase2=PHASE2), tmp_path)
    assert gone == [True]


def layers_of(model):
    return [dict(layer.named_parameters()) for layer in anatomy(model).layers]


@pytest.mark.parametrize(
    ("keep", "layers"), [("every-2nd", [1, 3]), ("bottom-3", [0, 1, 2]), ([0, 3], [0, 3])]
)
def test_student_layers_are_bit_equal_to_the_mapped_ones_of_an_xlmr_teacher(xlmr, tmp_path, keep, layers):
    teacher, student = map(layers_of, undistilled(xlmr, tmp_path, student__layers__keep=keep))
    assert len(student) == len(layers)
    for own, number in zip(student, layers, strict=True):
        assert own.keys() == teacher[number].keys()
        for name, tensor in own.items():
            assert torch.equal(tensor, teacher[number][name]), name


def test_student_layers_of_a_modernbert_are_bit_equal_but_for_the_folded_projection(model, tmp_path):
    teacher, student = map(layers_of, undistilled(model, tmp_path))
    [own] = student
    unequal = {name for name, tensor in own.items() if not torch.equal(tensor, teacher[1][name])}
    assert unequal == {"attn.Wqkv.weight"}
    assert set(teacher[1]) - set(own) == {"attn_norm.weight"}


def test_the_trimmed_rows_are_those_of_the_teacher_and_spell_the_same(xlmr, tmp_path):
    teacher, student = undistilled(xlmr, tmp_path, student__vocabulary__min_probability=0.002)
    [folder] = tmp_path.iterdir()
    old, new = AutoTokenizer.from_pretrained(xlmr), AutoTokenizer.from_pretrained(folder / "model")
    assert len(new) < len(old)
    for token, number in new.get_vocab().items():
        row = teacher.get_input_embeddings().weight[old.convert_tokens_to_ids(token)]
        assert torch.equal(student.get_input_embeddings().weight[number], row), token


def test_the_loss_of_phase_1_falls_on_held_out_text(student):
    for language in ("en-Latn", "fr-Latn"):
        first, _, last = logged(student, "loss", split="dev", phase="phase1", language=language)
        assert last["value"] < 0.7 * first["value"]


def test_both_losses_and_the_share_of_each_language_are_logged(student):
    for name in ("hidden", "hidden/0", "hidden/1", "attention", "attention/0"):
        assert [line["step"] for line in logged(student, name, phase="phase1")] == list(range(1, 25))
    requested = logged(student, "requested_share", phase="phase1")
    assert [line["value"] for line in requested] == [0.5, 0.5]
    lost = logged(student, "probability_lost", phase="trim")
    assert {line["language"] for line in lost} == {"en-Latn", "fr-Latn"}


def test_only_the_student_is_in_the_checkpoints(student):
    [*_, newest] = sorted((student.folder / "checkpoints").glob("phase1-*"))
    names = load_file(newest / "weights.safetensors").keys()
    assert all(name.startswith("student.") for name in names)
    layers = {name.split("layers.")[1].split(".")[0] for name in names if "layers." in name}
    assert layers == {"0"}


def pair_of(student, teacher):
    both = [TaskModel(model, None, kind="text") for model in (student, teacher)]
    return Distillation(both[0], Teacher(both[1]), layers=(0, 1), losses=GENERAL)


def test_the_teacher_does_not_change_and_the_student_does(model):
    def load():
        return AutoModelForMaskedLM.from_pretrained(model)

    teacher, student = load(), load()
    pair = pair_of(student, teacher).train()
    teacher.get_input_embeddings().weight.data += 0.1
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    batch = {"input_ids": torch.tensor([[0, 9, 10, 11, 2]]), "attention_mask": torch.ones(1, 5).long()}
    optimiser = torch.optim.AdamW(pair.parameters(), lr=0.01)
    DistillationStep(GENERAL.weights)(pair, batch)["loss"].backward()
    optimiser.step()
    after = teacher.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    own = load().state_dict()
    changed = [name for name, tensor in student.state_dict().items() if not torch.equal(tensor, own[name])]
    assert any("Wqkv" in name for name in changed)


def test_padding_changes_no_loss(model):
    teacher, student = (AutoModelForMaskedLM.from_pretrained(model) for _ in range(2))
    student.get_input_embeddings().weight.data += 0.05
    pair, step = pair_of(student, teacher), DistillationStep(GENERAL.weights, by_tokens=True)
    ids, mask = torch.tensor([[0, 9, 10, 11, 2], [0, 20, 30, 40, 2]]), torch.ones(2, 5).long()
    bare = step(pair, {"input_ids": ids, "attention_mask": mask})
    padding = torch.full((2, 4), 77)
    padded = step(
        pair,
        {
            "input_ids": torch.cat([ids, padding], dim=1),
            "attention_mask": torch.cat([mask, torch.zeros(2, 4).long()], dim=1),
        },
    )
    assert float(bare["weight"]) == float(padded["weight"]) == 10
    for name in ("loss", "hidden", "attention"):
        torch.testing.assert_close(bare[name], padded[name])


def test_student_and_models_beside_it_are_scored_on_every_test_language(model, tmp_path):
    teacher = ran(tiny(FINETUNE, model=str(model), task="ner"), tmp_path / "teacher")
    beside = {"teacher": str(teacher.folder / "model")}
    run = ran(tiny(DISTIL, teacher=str(model), phase2=PHASE2 | {"beside": beside}), tmp_path / "student")
    for language in ("en-Latn", "fr-Latn"):
        [own] = logged(teacher, "span_f1", split="test", language=language)
        [again] = logged(run, "span_f1", split="test", language=language, model="teacher")
        assert again["value"] == own["value"]
        assert logged(run, "span_f1", split="test", language=language, model="student")
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "teacher" in page
    assert (run.folder / "student" / "config.json").exists()
    assert (run.folder / "model" / "head.json").exists()


def test_plans_know_the_parameters_of_teacher_and_untrimmed_student(model, tmp_path):
    recipe = tiny(DISTIL, teacher=str(model), student__vocabulary__trim=False, phase1__training__steps=2)
    run = ran(recipe, tmp_path)
    [planned] = plan(recipe)
    rows = {row.what: row.value for row in planned.rows}
    assert rows["teacher"] == f"{run.sizes['teacher']['parameters']:,} parameters"
    assert rows["student"] == f"{run.sizes['student']['parameters']:,} parameters"


def test_a_trimmed_student_is_planned_to_the_parameter_and_bounded_by_its_rows_alone(model, tmp_path):
    recipe = tiny(DISTIL, teacher=str(model), phase1=None, dev={}, student__vocabulary__min_probability=0.002)
    run = ran(recipe, tmp_path)
    [planned] = plan(recipe, out=tmp_path / "elsewhere")
    [exact] = [row.value for row in planned.rows if row.what == "student"]
    assert exact == f"{run.sizes['student']['parameters']:,} parameters"
    [whole] = plan(tiny(DISTIL, teacher=str(model), phase1=None, student__vocabulary__trim=False))
    [at_most] = [row.value for row in whole.rows if row.what == "student"]
    gone = run.sizes["teacher"]["vocabulary"] - run.sizes["student"]["vocabulary"]
    assert gone > 0
    fewer = int(at_most.split()[0].replace(",", "")) - run.sizes["student"]["parameters"]
    assert fewer == gone * (run.sizes["student"]["hidden"] + 1)  # a row, and its bias in the head


def test_sequences_longer_than_the_teacher_reads_are_refused_before_anything_runs(model, tmp_path):
    with pytest.raises(RecipeError, match=r"phase1\.length: 65 tokens, but the model reads 64"):
        ran(tiny(DISTIL, teacher=str(model), phase1__length=65), tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_test_file_without_answers_is_found_before_the_first_phase(model, tmp_path):
    (tmp_path / "blind.tsv").write_text("Anton\nging\n")
    phase2 = PHASE2 | {"test": {"deu": str(tmp_path / "blind.tsv")}}
    with pytest.raises(DataError, match="none with an answer"):
        ran(tiny(DISTIL, teacher=str(model), phase2=phase2), tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*/metrics.jsonl"))


def test_a_task_teacher_of_another_vocabulary_is_found_before_anything_runs(model, xlmr, tmp_path):
    recipe = tiny(FINETUNE, model=str(xlmr), task="ner", training__steps=1)
    stranger = ran(recipe, tmp_path / "stranger").folder / "model"
    phase2 = PHASE2 | {"teacher": str(stranger)}
    with pytest.raises(ModelError, match="another vocabulary than the student"):
        ran(tiny(DISTIL, teacher=str(model), phase2=phase2), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_teacher_s_delta_of_another_model_is_found_before_the_first_phase(model, tmp_path):
    sparse = {"density": 0.05}
    other = ran(tiny(PRETRAIN, training__steps=2, seed=5), tmp_path / "other").folder / "model"
    recipe = tiny(FINETUNE, model=str(other), task="ner", sparse=sparse, training__steps=1)
    delta = ran(recipe, tmp_path / "stranger").folder / "deltas" / "ner.safetensors"
    phase2 = PHASE2 | {"teacher": {"model": str(model), "deltas": [str(delta)]}}
    with pytest.raises(ModelError, match="a delta learnt on another"):
        ran(tiny(DISTIL, teacher=str(model), phase2=phase2), tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*/metrics.jsonl"))
