"""A task with the way to learn it: the part of a recipe that `finetune` and `distil` share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from isogloss.core.config import Record
from isogloss.core.errors import RecipeError
from isogloss.data.prompts import PromptField, check_prompt
from isogloss.data.tasks import TASKS
from isogloss.losses.plan import TASK, DistillationLosses
from isogloss.methods.guide import Tuned
from isogloss.methods.records import ByLanguage, SparseRule, TaskData
from isogloss.training.plan import TrainingPlan


class Unlabelled(Record):
    """Running text, on which a student's inner states are drawn to those of the task teacher.

    A student that meets its teacher in the source language alone drifts from it in the others.

    Attributes:
        corpora: text by language; every batch is of one, all alike often.
        weight: of these losses, times that of each on the task.
        length: tokens of a sequence, special ones included.
        batch_size: sequences beside each batch of the task.
    """

    corpora: ByLanguage = Field(min_length=1)
    weight: float = Field(default=1.0, gt=0)
    length: int = Field(default=64, ge=8)
    batch_size: int = Field(default=16, ge=1)


class TaskTraining(TaskData):
    """A task with the way to learn it.

    Attributes:
        training: how long and how fast.
        teacher: a model tuned for the task, to learn from beside the labels: folder of a task model, or
            {model: BASE, deltas: [LANGUAGE, TASK]}. None learns from labels alone.
        losses: what is learnt from the teacher, and how much each loss weighs.
        unlabelled: text in any languages, to learn from the teacher beside the task.
        head: begin with the teacher's own head, or with a fresh one.
        sparse: tune few entries, after all of them (`training`) have shown which; None tunes all.
        used_rows_only: train with the rows of the vocabulary that training and dev data use, the others put
            back afterwards: less memory and time where the vocabulary is large (`compress.rows`).
        beside: task models to score on the same test sets, by the name that tables have for each, such as
            {teacher: runs/NAME/model}.
        pooling: how a text becomes one vector for classification: "mean" of all states, or "first", the
            architecture's own classifier, which in a causal model reads the last token. None takes the mean,
            where there is no `prompt`. Padding is never read.
        prompt: do without a head for classes: ask the language model by its own, and tune how it fills the
            gap. The name of a shipped prompt, a file, or `patterns` and `verbalisers`. None takes a head.
        max_length: tokens of the longest input; longer ones are cut or windowed by kind. None takes what the
            model allows, 512 at most.
    """

    train: ByLanguage = Field(min_length=1)
    training: TrainingPlan = TrainingPlan(epochs=3)
    teacher: Tuned | None = None
    losses: DistillationLosses = TASK
    unlabelled: Unlabelled | None = None
    head: Literal["fresh", "teacher"] = "fresh"
    sparse: SparseRule | None = None
    used_rows_only: bool = False
    beside: dict[str, str] = Field(default_factory=dict)
    pooling: Literal["first", "mean"] | None = None
    prompt: PromptField | None = None
    max_length: int | None = Field(default=None, ge=8)

    @model_validator(mode="after")
    def _text_has_a_teacher(self) -> TaskTraining:
        if self.unlabelled is not None and not (self.teacher and {*self.losses.weights} - {"logits", "gold"}):
            raise ValueError(
                "unlabelled, teacher: text is learnt from a teacher's inner states; name one, and let "
                "`hidden`, `attention` or `relations` weigh more than 0"
            )
        if self.unlabelled is not None and self.used_rows_only:
            raise ValueError(
                "used_rows_only, unlabelled: not together; text uses rows that the task does not"
            )
        return self

    @model_validator(mode="after")
    def _prompt_fits(self) -> TaskTraining:
        if self.prompt is None:
            return self
        if self.pooling is not None:
            raise ValueError("pooling, prompt: not together; through a prompt no text becomes one vector")
        row = TASKS[self.task]
        try:
            check_prompt(self.prompt, row.kind, row.labels or ())
        except RecipeError as error:
            raise ValueError(f"prompt: {error.got}; {error.wanted}") from error
        return self
