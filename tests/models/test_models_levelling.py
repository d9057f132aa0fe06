"""Languages of one model drawn together: the same as pair by pair, and no student is anybody's teacher."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel

from isogloss.data.aligned import align, aligned_batches
from isogloss.data.beside import ANCHOR, TOLD, part_of, under
from isogloss.data.encode import encode
from isogloss.data.features import collate
from isogloss.data.pieces import padding_id
from isogloss.data.records import LabelExample
from isogloss.models import levelling
from isogloss.models.classes import class_scores
from isogloss.models.levelling import Levelling, scores_in_parts
from isogloss.models.tasks import build_task_model
from tiny_models import tiny_model, tiny_tokenizer

LANGUAGES = ("en-Latn", "fr-Latn", "de-Latn", "sw-Latn")
LABELS = ("a", "b", "c")
WORDS = "the small cat sat on a red mat with two dogs".split()


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer("wordpiece")


@pytest.fixture
def student(tokenizer):
    backbone = tiny_model("bert", AutoModel, tokenizer)
    model = build_task_model("label", backbone, labels=LABELS, pooling="mean")
    torch.manual_seed(0)
    with torch.no_grad():
        model.head.scorer.weight.normal_(std=2.0)
    return model.eval()


def batch_of(tokenizer, *, size=3, told=()):
    """Items of other lengths in each language; the longest has every word, the shortest one."""
    given = {
        tag: [
            LabelExample(str(i), tag, " ".join(WORDS[: 1 + (3 * number + 5 * i) % len(WORDS)]), None, None)
            for i in range(size)
        ]
        for number, tag in enumerate(LANGUAGES)
    }
    found = align(given)
    features = {
        tag: encode("label", found.examples[tag], tokenizer, labels=LABELS, max_length=32, purpose="predict")
        for tag in LANGUAGES
    }
    return aligned_batches(features, pad_id=padding_id(tokenizer), batch_size=size, seed=0, told=told)[0]


def by_hand(scores, teachers, form):
    """The mean divergence over all pairs of a teacher and another language, pair by pair."""
    found = []
    for teacher in teachers:
        for learner in range(len(scores)):
            if learner != teacher:
                p, q = scores[teacher].log_softmax(-1), scores[learner].log_softmax(-1)
                first, second = (p, q) if form == "forward" else (q, p)
                found.append((first.exp() * (first - second)).sum(-1).mean())
    return torch.stack(found)


@pytest.mark.parametrize("form", ["forward", "reverse"])
@pytest.mark.parametrize("teachers", [[0], [2, 0], [0, 1, 2]])
def test_one_reading_of_each_item_gives_the_loss_of_all_pairs(student, tokenizer, form, teachers):
    batch = batch_of(tokenizer)
    scores = class_scores(student, batch).view(4, -1, 3)
    expected = by_hand(scores, teachers, form)
    found = Levelling(student, languages=4, teachers=teachers, aim="pairs", form=form)(batch)
    assert found["targets"].sum() == len(expected) * scores.shape[1]
    loss = (found["level"] * found["targets"]).sum() / found["targets"].sum()
    torch.testing.assert_close(loss, expected.mean(), atol=1e-5, rtol=1e-5)


def gradient_of_scores(monkeypatch, student, batch, **settings):
    """How each language's scores are drawn, (languages, items, classes)."""
    leaf = torch.randn(
        4 * len(batch["items"]), 3, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    monkeypatch.setattr(levelling, "scores_in_parts", lambda model, batch: leaf)
    found = Levelling(student, languages=4, **settings)(batch)
    (found["level"] * found["targets"]).sum().backward()
    return leaf.grad.view(4, -1, 3)


def test_a_single_teacher_is_drawn_nowhere_and_every_other_language_is(monkeypatch, student, tokenizer):
    drawn = gradient_of_scores(monkeypatch, student, batch_of(tokenizer), teachers=[2], aim="pairs")
    assert [bool(one.abs().sum() > 0) for one in drawn] == [True, True, False, True]


def test_without_the_stop_a_teacher_is_drawn_to_those_it_teaches(monkeypatch, student, tokenizer):
    drawn = gradient_of_scores(
        monkeypatch, student, batch_of(tokenizer), teachers=[2], aim="pairs", stop_gradient=False
    )
    assert all(one.abs().sum() > 0 for one in drawn)


@pytest.mark.parametrize("aim", ["pairs", "consensus"])
def test_no_student_teaches(monkeypatch, student, tokenizer, aim):
    """A student's scores change no other language's loss."""
    batch = batch_of(tokenizer)
    before = torch.randn(4 * len(batch["items"]), 3, generator=torch.Generator().manual_seed(1))
    after = before.view(4, -1, 3).clone()
    after[3] += torch.randn_like(after[3])
    model, losses = Levelling(student, languages=4, teachers=[0, 1], aim=aim), []
    for scores in (before, after.view_as(before)):
        monkeypatch.setattr(levelling, "scores_in_parts", lambda model, batch, scores=scores: scores)
        losses.append(model(batch)["level"])
    torch.testing.assert_close(losses[0][:3], losses[1][:3])
    assert not torch.isclose(losses[0][3], losses[1][3])


def test_a_consensus_weighs_teachers_and_draws_every_language(monkeypatch, student, tokenizer):
    batch = batch_of(tokenizer)
    weights = torch.tensor([0.9, 0.1])
    scores = class_scores(student, batch).view(4, -1, 3)
    pooled = 0.9 * scores[1].softmax(-1) + 0.1 * scores[3].softmax(-1)
    expected = [(pooled * (pooled.log() - one.log_softmax(-1))).sum(-1).mean() for one in scores]
    settings = {"teachers": [1, 3], "aim": "consensus", "weights": weights}
    found = Levelling(student, languages=4, **settings)(batch)
    torch.testing.assert_close(found["level"], torch.stack(expected), atol=1e-5, rtol=1e-4)
    drawn = gradient_of_scores(monkeypatch, student, batch, **settings)
    assert all(one.abs().sum() > 0 for one in drawn)


def test_at_a_temperature_a_language_that_is_the_consensus_has_no_loss(student, tokenizer):
    batch = batch_of(tokenizer)
    settings = {"teachers": [1], "aim": "consensus", "temperature": 3.0}
    assert Levelling(student, languages=4, **settings)(batch)["level"][1].abs() < 1e-5


def test_self_training_learns_from_the_labels_that_are_kept(student, tokenizer):
    batch = batch_of(tokenizer)
    labels = torch.full((4, 3), -100)
    labels[2, int(batch["items"][0])] = 1
    found = Levelling(student, languages=4, teachers=[], aim="self", labels=labels)(batch)
    scores = class_scores(student, batch).view(4, -1, 3)
    assert found["targets"].tolist() == [0, 0, 1, 0]
    torch.testing.assert_close(found["level"][2], -scores[2, 0].log_softmax(-1)[1])
    assert found["level"][[0, 1, 3]].tolist() == [0, 0, 0]


def test_an_average_teacher_follows_slowly(student, tokenizer):
    batch = batch_of(tokenizer, told=(LANGUAGES[1], LANGUAGES[0]))
    model = Levelling(student, languages=4, teachers=[1, 0], aim="pairs", decay=0.75)
    begun = {name: value.clone() for name, value in student.named_parameters()}
    with torch.no_grad():
        for value in student.parameters():
            value.add_(1.0)
    model.average_in()
    for name, value in model.average.named_parameters():
        torch.testing.assert_close(value, begun[name] + 0.25)
    assert not any(value.requires_grad for value in model.average.parameters())
    assert model(batch)["level"].isfinite().all()


def test_an_average_teacher_says_what_it_says_and_not_what_the_student_does(student, tokenizer):
    batch = batch_of(tokenizer, told=(LANGUAGES[2],))
    told = class_scores(student, part_of(batch, TOLD))
    model = Levelling(student, languages=4, teachers=[2], aim="pairs", decay=0.9)
    with torch.no_grad():
        student.head.scorer.weight.mul_(-1)
    found = model.train().eval()(batch)["level"]
    torch.testing.assert_close(found, drawn_to(told, student, batch), atol=1e-5, rtol=1e-4)


def drawn_to(told, student, batch):
    """Each language's mean divergence from what language 2 said, which holds that one itself in place."""
    scores = class_scores(student, batch).view(4, -1, 3)
    expected = [
        (told.softmax(-1) * (told.log_softmax(-1) - one.log_softmax(-1))).sum(-1).mean() for one in scores
    ]
    return torch.stack(expected)


def test_a_teacher_of_the_start_says_of_each_item_what_it_believed_of_it(student, tokenizer):
    batch = batch_of(tokenizer)
    told = class_scores(student, batch).view(4, -1, 3)[2].detach()
    believed = torch.full((1, 3, 4), torch.finfo(torch.float32).min)  # another item has a fourth class
    believed[0, batch["items"], :3] = told.log_softmax(-1)
    model = Levelling(student, languages=4, teachers=[2], aim="pairs", believed=believed)
    with torch.no_grad():
        student.head.scorer.weight.mul_(-1)
    torch.testing.assert_close(model(batch)["level"], drawn_to(told, student, batch), atol=1e-5, rtol=1e-4)
    assert set(model.state_dict()) == {f"student.{name}" for name in student.state_dict()}


def test_labelled_items_hold_the_model_in_place(student, tokenizer):
    gold = [LabelExample("1", "en-Latn", "the small cat", None, "b")]
    features = encode("label", gold, tokenizer, labels=LABELS, max_length=32)
    labelled = collate(features, padding_id(tokenizer))
    model = Levelling(student, languages=4, teachers=[0], aim="pairs")
    found = model(batch_of(tokenizer) | under(ANCHOR, labelled))
    torch.testing.assert_close(found["anchor"], student(labelled).loss)
    assert "anchor" not in model(batch_of(tokenizer))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_rows_read_by_length_have_the_scores_they_have_together(student, tokenizer, size):
    batch = batch_of(tokenizer, size=size)
    torch.testing.assert_close(
        scores_in_parts(student, batch), class_scores(student, batch), atol=1e-5, rtol=1e-5
    )


def test_every_language_moves_the_weights_in_training(student, tokenizer):
    model = Levelling(student, languages=4, teachers=[0, 1], aim="consensus").train()
    found = model(batch_of(tokenizer))
    found["level"].mean().backward()
    gradients = [value.grad for value in student.parameters() if value.grad is not None]
    assert gradients
    assert all(value.isfinite().all() for value in gradients)
    assert student.backbone.get_input_embeddings().weight.grad.abs().sum() > 0
