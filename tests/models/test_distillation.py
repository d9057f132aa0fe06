"""A student beside its teacher, for every kind of task and family."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

from isogloss.compress.layers import keep_layers
from isogloss.compress.vocabulary import keep_rows
from isogloss.core.errors import ModelError, RecipeError
from isogloss.data.features import IGNORED
from isogloss.data.labels import inventory
from isogloss.losses.plan import TASK, DistillationLosses
from isogloss.models.distillation import Distillation
from isogloss.models.outputs import recording
from isogloss.models.tasks import TaskModel, build_task_model
from isogloss.models.teacher import Teacher
from tiny_batches import batch_of
from tiny_examples import EXAMPLES
from tiny_models import DECODERS, STYLES, tiny_model, tiny_tokenizer

EVERYTHING = DistillationLosses.model_validate(
    {
        "hidden": 1.0,
        "attention": {"weight": 1.0, "form": "kl"},
        "relations": 1.0,
        "logits": {"weight": 1.0, "temperature": 2.0},
        "gold": 1.0,
    }
)
KINDS = [kind for kind in EXAMPLES if kind not in ("gap", "text")]
CASES = [(kind, family) for kind in KINDS for family in ("modernbert", "xlm-roberta", "llama")]


def model_of(kind, family, **options):
    auto = AutoModelForCausalLM if family in DECODERS else AutoModelForMaskedLM
    tokenizer = tiny_tokenizer(STYLES[family])
    source = tiny_model(family, auto if kind in ("gap", "text") else AutoModel, tokenizer)
    return build_task_model(kind, source, labels=inventory(EXAMPLES[kind]), **options), tokenizer


def beside(student, teacher, losses=EVERYTHING, **options):
    layers = range(teacher.config.num_hidden_layers)
    return Distillation(student, Teacher(teacher), layers=tuple(layers), losses=losses, **options)


@pytest.mark.parametrize(("kind", "family"), CASES)
def test_nothing_but_the_gold_loss_is_left_when_student_and_teacher_are_one(kind, family):
    (student, tokenizer), (teacher, _) = model_of(kind, family), model_of(kind, family)
    pair = beside(student, teacher).eval()
    found = {name: loss.detach() for name, loss in pair(batch_of(kind, student, tokenizer)).items()}
    assert set(found) == {"hidden", "attention", "relations", "logits", "gold"}
    assert float(found.pop("gold")) > 0
    for name, loss in found.items():
        assert float(loss.abs().max()) < 1e-5, name


@pytest.mark.parametrize(("kind", "family"), CASES)
def test_every_loss_teaches_the_student_and_none_the_teacher(kind, family):
    (student, tokenizer), (teacher, _) = model_of(kind, family), model_of(kind, family, seed=1)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.1 * torch.sin(torch.arange(parameter.numel()).view_as(parameter).float())
    pair = beside(student, teacher).train()
    for name, loss in pair(batch_of(kind, student, tokenizer)).items():
        gradients = torch.autograd.grad(
            loss.mean(), list(pair.parameters()), retain_graph=True, allow_unused=True
        )
        assert any(float(g.abs().max()) > 0 for g in gradients if g is not None), name
        assert all(bool(g.isfinite().all()) for g in gradients if g is not None), name
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not any(name.startswith("teacher") for name in pair.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_padding_change_no_loss(kind):
    (student, tokenizer), (teacher, _) = model_of(kind, "xlm-roberta"), model_of(kind, "xlm-roberta", seed=1)
    with torch.no_grad():
        student.get_submodule("model").base_model.embeddings.word_embeddings.weight += 0.05
    pair = beside(student, teacher, DistillationLosses.model_validate({"hidden": 1, "logits": 1})).eval()
    shortest = sorted(EXAMPLES[kind], key=lambda one: len(str(one)))[:1]
    longest = sorted(EXAMPLES[kind], key=lambda one: len(str(one)))[-1:]
    with torch.no_grad():
        alone = [pair(batch_of(kind, student, tokenizer, examples)) for examples in (shortest, longest)]
        together = pair(batch_of(kind, student, tokenizer, [*shortest, *longest]))
    low, high = sorted(float(each["logits"]) for each in alone)
    assert low - 1e-6 <= float(together["logits"]) <= high + 1e-6


def text_batch(tokenizer, *, vocabulary):
    ids = torch.randint(5, vocabulary, (3, 12), generator=torch.Generator().manual_seed(0))
    labels = torch.where(torch.arange(12) % 3 == 1, ids, IGNORED)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


@pytest.mark.parametrize("family", ["modernbert", "xlm-roberta", "deberta-v2", "llama"])
def test_a_whole_teacher_and_a_trimmed_one_say_the_same_of_the_pieces_both_have(family):
    """A trimmed student reads its own ids, a whole teacher its own of the same pieces."""
    auto = AutoModelForCausalLM if family in DECODERS else AutoModelForMaskedLM
    tokenizer = tiny_tokenizer(STYLES[family])
    whole = tiny_model(family, auto, tokenizer)
    special = {n for n in tokenizer.all_special_ids if n is not None}
    kept = np.array([n for n in range(whole.config.vocab_size) if n in special or n % 3], dtype=np.int64)
    trimmed = keep_rows(whole, kept)
    layers = range(whole.config.num_hidden_layers)
    student = keep_layers(trimmed, [layers[-1]], dropout=0.0)
    losses = DistillationLosses.model_validate({"hidden": 1, "logits": {"weight": 1, "temperature": 1.0}})
    batch = text_batch(tokenizer, vocabulary=len(kept))
    found = []
    for teacher in (
        Teacher(TaskModel(whole, None, kind="text"), kept=kept),
        Teacher(TaskModel(trimmed, None, kind="text")),
    ):
        pair = Distillation(
            TaskModel(student, None, kind="text"), teacher, layers=(layers[-1],), losses=losses
        )
        with torch.no_grad():
            found.append(pair.eval()(batch))
    lost = float(found[0].pop("lost_mass"))
    assert 0.1 < lost < 0.6  # a third of a model that has learnt nothing
    assert found[0].keys() == found[1].keys() == {"hidden", "logits"}
    for name, loss in found[0].items():
        torch.testing.assert_close(loss, found[1][name], rtol=1e-4, atol=1e-5)


def test_no_head_is_run_where_no_loss_asks_for_it():
    student, tokenizer = model_of("text", "modernbert")
    teacher, _ = model_of("text", "modernbert")
    calls = []
    for model in (student, teacher):
        model.model.decoder.register_forward_hook(lambda *_: calls.append(1))
    losses = DistillationLosses.model_validate({"hidden": 1, "attention": 1})
    beside(student, teacher, losses)(text_batch(tokenizer, vocabulary=50))
    assert not calls
    beside(student, teacher, TASK)(text_batch(tokenizer, vocabulary=50))
    assert len(calls) == 2


def test_the_teacher_wears_what_the_batch_asks_for():
    student, tokenizer = model_of("text", "modernbert")
    worn = []
    teacher = Teacher(model_of("text", "modernbert")[0], wear=worn.append)
    losses = DistillationLosses.model_validate({"hidden": 1})
    pair = Distillation(student, teacher, layers=(0, 1), losses=losses)
    for language in (1, 0, 0):
        batch = text_batch(tokenizer, vocabulary=50) | {"language": torch.full((3,), language)}
        pair(batch)
    assert worn == [1, 0, 0]
    with pytest.raises(AssertionError, match="one language"):
        pair(text_batch(tokenizer, vocabulary=50) | {"language": torch.tensor([0, 1, 0])})


def test_a_narrower_student_is_compared_in_the_directions_it_has():
    student, tokenizer = model_of("text", "modernbert")
    teacher, _ = model_of("text", "modernbert")
    width = teacher.config.hidden_size
    losses = DistillationLosses.model_validate({"hidden": 1})
    batch = text_batch(tokenizer, vocabulary=50)
    plain = beside(student, teacher, losses).eval()(batch)["hidden"]
    turned = beside(student, teacher, losses, basis=torch.eye(width)).eval()(batch)["hidden"]
    torch.testing.assert_close(plain, turned)
    mirrored = beside(student, teacher, losses, basis=-torch.eye(width)).eval()(batch)["hidden"]
    with recording(student, hidden=[0]) as kept, torch.no_grad():
        student(batch)
    torch.testing.assert_close(mirrored[0], (2 * kept.hidden[0]).square().mean())


def test_gold_alone_needs_no_teacher():
    student, tokenizer = model_of("tags", "modernbert")
    losses = DistillationLosses.model_validate({"gold": 1})
    batch = batch_of("tags", student, tokenizer)
    found = Distillation(student, None, layers=(0,), losses=losses).eval()(batch)
    assert found.keys() == {"gold"}
    torch.testing.assert_close(found["gold"], student(batch).loss)


@pytest.mark.parametrize(
    ("layers", "losses", "message"),
    [
        ((0,), {"hidden": 1}, "a student of 2 layers compared with the teacher's layers"),
        ((0, 7), {"hidden": 1}, "numbers from 0 to 1"),
        ((0, 1), {"hidden": 1}, r"losses\.hidden: states of width"),
        ((0, 1), {"attention": 1}, r"losses\.attention: maps of"),
    ],
)
def test_what_cannot_be_compared_is_refused(layers, losses, message):
    student, _ = model_of("text", "modernbert")
    other = copy.deepcopy(student.model.config)
    other.hidden_size, other.num_attention_heads = 2 * other.hidden_size, 2 * other.num_attention_heads
    wide = TaskModel(AutoModelForMaskedLM.from_config(other), None, kind="text")
    teacher = wide if len(layers) == 2 and layers[1] == 1 else model_of("text", "modernbert")[0]
    with pytest.raises((ModelError, RecipeError), match=message):
        Distillation(
            student, Teacher(teacher), layers=layers, losses=DistillationLosses.model_validate(losses)
        )


def test_students_of_another_width_are_compared_by_relations():
    student, tokenizer = model_of("text", "modernbert")
    other = copy.deepcopy(student.model.config)
    other.hidden_size, other.num_attention_heads = 2 * other.hidden_size, 4 * other.num_attention_heads
    teacher = TaskModel(AutoModelForMaskedLM.from_config(other), None, kind="text")
    losses = DistillationLosses.model_validate({"relations": {"weight": 1, "heads": 2}})
    pair = Distillation(student, Teacher(teacher), layers=(0, 1), losses=losses)
    found = pair(text_batch(tokenizer, vocabulary=50))["relations"]
    assert found.shape == (3,)
    assert bool((found > 0).all())
