"""Texts that a task's model has to score piece by piece, whatever its vocabulary was trimmed to."""

from __future__ import annotations

from collections.abc import Iterator

from isogloss.data.prompts import pieces_of
from isogloss.data.records import ChoiceExample, GapExample
from isogloss.data.tasks import TASKS
from isogloss.methods.records import SplitName
from isogloss.methods.sources import examples
from isogloss.methods.task_recipe import TaskTraining

_SPLITS: tuple[SplitName, ...] = ("train", "dev", "test")


def pieces_needed(task: TaskTraining | None) -> tuple[str, ...]:
    """Texts whose pieces must stay when a vocabulary is trimmed for a task.

    A gap's candidates are scored as tokens, and one that is cut into more of them, or is unknown, has another
    score. They are what may be answered, in every split, and tell nothing of the answers. So with the words
    of a prompt, in the task's languages, and with alternatives that a prompt is filled with. Other kinds read
    text and score labels, for which no piece is needed beyond what their languages use.

    Args:
        task: with its files; None needs nothing.

    Returns:
        Each text once, in the order met; () for a kind without.

    Raises:
        DataError: a file is missing or malformed.
    """
    return () if task is None else tuple(dict.fromkeys((*_prompt(task), *_candidates(task))))


def _prompt(task: TaskTraining) -> Iterator[str]:
    if task.prompt is not None:
        for language in dict.fromkeys((*task.train, *task.dev, *task.test)):
            yield from pieces_of(task.prompt, language)


def _candidates(task: TaskTraining) -> Iterator[str]:
    kind = TASKS[task.task].kind
    if kind != "gap" and (kind != "choice" or task.prompt is None):
        return
    for split in _SPLITS:
        for found in examples(task, split).values():
            for example in found:
                if isinstance(example, GapExample):
                    yield from example.candidates
                elif isinstance(example, ChoiceExample):
                    yield from example.choices
