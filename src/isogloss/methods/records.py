"""The parts of a recipe that every method shares: where text and tasks come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from isogloss.core.config import Record, Refused
from isogloss.core.errors import DataError
from isogloss.core.fields import EachOnce, LanguageTag
from isogloss.data.tasks import task_named


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Sources: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
"""One or more places: files, patterns, folders, `hf://…`, or `miniature/train:2000` (the embedded world)."""

STAGE = "stage:"
"""In a pipeline, `stage:NAME` stands for the model that the earlier stage NAME left."""

SplitName: TypeAlias = Literal["train", "dev", "test"]

ByLanguage: TypeAlias = Annotated[dict[LanguageTag, Sources], EachOnce]


def _known_task(name: str) -> str:
    try:
        return task_named(name).name
    except DataError as error:
        raise Refused(error) from error


TaskName: TypeAlias = Annotated[str, AfterValidator(_known_task)]


class TaskData(Record):
    """A task and its files, per language.

    Attributes:
        task: a name from the table of tasks (`isogloss.data.tasks.TASKS`).
        format: the file format when the files' names do not tell; None guesses.
        train: what to learn from; several languages are mixed by size.
        dev: chooses the checkpoint and stops early; empty means the last checkpoint is kept.
        test: every language to report.
        options: what else the reader is told, by split: {test: {labels: xnli/test.labels.txt}}.
        limit: examples to read per language and file at most; None reads all.
    """

    task: TaskName
    format: str | None = None
    train: ByLanguage = Field(default_factory=dict)
    dev: ByLanguage = Field(default_factory=dict)
    test: ByLanguage = Field(default_factory=dict)
    options: dict[SplitName, dict[str, Any]] = Field(default_factory=dict)
    limit: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _test_or_train(self) -> TaskData:
        if not (self.train or self.test):
            raise ValueError("`train` or `test` files: a task without either does nothing")
        return self
