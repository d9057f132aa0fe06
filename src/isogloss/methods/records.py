"""The parts of a recipe that every method shares: languages, where text and tasks come from."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from isogloss.core.config import Record, Refused
from isogloss.core.errors import LanguageError, RecipeError, did_you_mean
from isogloss.core.languages import language


def _tag(spelling: str) -> str:
    try:
        return language(spelling).tag
    except LanguageError as error:
        raise Refused(error) from error


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _each_once(value: Any) -> Any:
    """Two spellings of one language would be one entry, and the first of them lost in silence."""
    seen: dict[str, str] = {}
    for spelling in value if isinstance(value, dict) else ():
        with contextlib.suppress(Refused):  # an unknown one is refused by name
            tag = _tag(str(spelling))
            if tag in seen:
                raise ValueError(f"{spelling}: the same language as {seen[tag]}; give it once")
            seen[tag] = str(spelling)
    return value


LanguageTag: TypeAlias = Annotated[str, AfterValidator(_tag)]
"""A language in any spelling; the resolved recipe holds the internal tag."""

Sources: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
"""One or more places: files, patterns, folders, `hf://…`, or `miniature/train:2000` (the embedded world)."""

STAGE = "stage:"
"""In a pipeline, `stage:NAME` stands for the model that the earlier stage NAME left."""

SplitName: TypeAlias = Literal["train", "dev", "test"]

ByLanguage: TypeAlias = Annotated[dict[LanguageTag, Sources], BeforeValidator(_each_once)]

Shares: TypeAlias = Annotated[dict[LanguageTag, float], BeforeValidator(_each_once)]


def one_of(names: Any) -> Any:
    """A validator for a name from a closed table, with the nearest name in its message.

    Args:
        names: the table, or a function that returns it (for tables in modules that are costly to import).
    """

    def check(name: str) -> str:
        known = names() if callable(names) else names
        if name not in known:
            choices = f"one of {', '.join(sorted(known))}"
            raise Refused(RecipeError(f"unknown {name!r}", wanted=choices, fix=did_you_mean(name, known)))
        return name

    return AfterValidator(check)


def _tasks() -> list[str]:
    from isogloss.data.tasks import TASKS

    return list(TASKS)


TaskName: TypeAlias = Annotated[str, one_of(_tasks)]


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
