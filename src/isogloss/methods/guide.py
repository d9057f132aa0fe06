"""A task-tuned teacher beside a student that learns the task: BiStil's second phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import torch
from pydantic import BeforeValidator
from torch import Tensor, nn

from isogloss.core.config import Record
from isogloss.core.errors import DataError, ModelError
from isogloss.losses.combine import combine
from isogloss.losses.plan import DistillationLosses
from isogloss.methods.deltas import tuned_model
from isogloss.models.anatomy import anatomy
from isogloss.models.distillation import Distillation
from isogloss.models.origin import Origin
from isogloss.models.portions import portions
from isogloss.models.tasks import TaskModel, load_task_model
from isogloss.models.teacher import Teacher
from isogloss.training.update import Losses
from isogloss.vocab.fingerprint import fingerprint

Loaded: TypeAlias = tuple[TaskModel, Any]
"""A task model and its tokenizer."""


class TunedModel(Record):
    """A model tuned for a task: whole, or a base with deltas on it.

    Attributes:
        model: folder of a task model; with `deltas`, folder or Hub id of the base they were learnt on.
        deltas: files of deltas, one of them the task's, such as the source language's and the task's.
    """

    model: str
    deltas: tuple[str, ...] = ()

    def load(self) -> Loaded:
        """The task model and its tokenizer.

        Raises:
            ModelError: no task model there, or deltas that do not fit or are of no task or several.
        """
        return tuned_model(self.model, self.deltas) if self.deltas else load_task_model(self.model)


Tuned: TypeAlias = Annotated[
    TunedModel, BeforeValidator(lambda value: {"model": value} if isinstance(value, str) else value)
]


@dataclass(frozen=True)
class Guide:
    """What a student of a task is compared with, and how.

    Attributes:
        teacher: the task-tuned teacher.
        layers: the teacher layer of each student layer.
        losses: what to compare.
        head: whether the student's head begins as a copy of the teacher's.
        basis: for a narrower student; see `Distillation`.
    """

    teacher: Teacher
    layers: tuple[int, ...]
    losses: DistillationLosses
    head: Literal["fresh", "teacher"] = "fresh"
    basis: Tensor | None = None

    def labels(self, learnt: Sequence[str]) -> tuple[str, ...]:
        """The teacher's labels, which the student's must be, number by number.

        Raises:
            DataError: the training data have one that the teacher does not know.
        """
        own = self.teacher.model.labels
        if unknown := [label for label in learnt if label not in own]:
            raise DataError(
                f"the training data have the label {unknown[0]!r}, which the teacher does not know",
                wanted=f"one of: {', '.join(own)}",
                fix="train with data of the task that the teacher was tuned for",
            )
        return own

    def beside(self, student: nn.Module) -> Distillation:
        """The student with the teacher beside it, as something to train."""
        return Distillation(student, self.teacher, layers=self.layers, losses=self.losses, basis=self.basis)

    @torch.no_grad()
    def lend_head(self, student: TaskModel) -> None:
        """Copy the teacher's head onto the student, where `head` says so.

        Raises:
            ModelError: the student's head is of another shape, as a narrower student's is.
        """
        if self.head == "fresh":
            return
        own, theirs = portions(student).heads, portions(self.teacher.model).heads
        for name, tensor in own.items():
            if name not in theirs or theirs[name].shape != tensor.shape:
                raise ModelError(
                    f"the teacher has no {name} of shape {list(tensor.shape)} for the student's head",
                    wanted="a teacher as wide as the student, with the same kind of head",
                    fix="head: fresh",
                )
            tensor.copy_(theirs[name])


def guide_by(
    teacher: Loaded,
    origin: Origin,
    vocabulary: str,
    *,
    losses: DistillationLosses,
    head: Literal["fresh", "teacher"],
    where: str,
) -> Guide:
    """A student's guide by a task teacher, which is not trained from now on.

    Args:
        origin: how the student belongs to the model that the teacher was tuned from.
        vocabulary: fingerprint of the student's tokenizer.
        where: the teacher is from, for error messages.

    Raises:
        ModelError: the teacher reads another vocabulary than the student and the model it was made of, or has
            fewer layers than that model.
    """
    model, tokenizer = teacher
    own = fingerprint(tokenizer)
    refuse_stranger(
        own,
        len(anatomy(model).layers),
        vocabularies=(vocabulary, origin.vocabulary),
        layers=origin.layers,
        where=where,
    )
    kept = None if own == vocabulary else origin.kept
    return Guide(Teacher(model, kept=kept), origin.layers, losses, head, origin.basis)


def refuse_stranger(
    vocabulary: str, depth: int, *, vocabularies: Sequence[str], layers: Sequence[int], where: str
) -> None:
    """Refuse a task teacher that was not tuned from the model that a student was made of.

    Args:
        vocabulary, depth: fingerprint of the teacher's tokenizer, and the number of its layers.
        vocabularies: fingerprints that it may have.
        layers: of that model, which the student has.
        where: the teacher is from.

    Raises:
        ModelError: it reads another vocabulary, or has too few layers.
    """
    fix = "fine-tune that model on the task, and give its folder"
    if vocabulary not in vocabularies:
        raise ModelError(
            "a task teacher of another vocabulary than the student and the model it was made of",
            wanted="a teacher tuned from that model",
            fix=fix,
            where=where,
        )
    if depth <= max(layers):
        raise ModelError(
            f"a task teacher of {depth} layers, for a student of the layers {list(layers)}",
            wanted="a teacher tuned from the model that the student was made of",
            fix=fix,
            where=where,
        )


@dataclass(frozen=True)
class DistillationStep:
    """The weighted sum of the losses, and each by itself, those of several layers layer by layer too.

    Attributes:
        weights: by name of the loss.
        by_tokens: batches count by their tokens, as running text does, and not one like the other.
    """

    weights: Mapping[str, float]
    by_tokens: bool = False

    def __call__(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Losses:
        """The losses of a batch, by a model that gives each loss by name."""
        found = dict(model(batch))
        measured = {name: found.pop(name) for name in list(found) if name not in self.weights}
        combined = combine(found, self.weights)
        logged = {name: part.mean() for name, part in combined.parts.items()}
        for name, part in combined.parts.items():
            if part.ndim == 1:
                logged |= {f"{name}/{number}": value for number, value in enumerate(part)}
        weight = {"weight": batch["attention_mask"].sum()} if self.by_tokens else {}
        return {"loss": combined.total, **weight, **logged, **measured}
