"""Texts that a task's model has to score piece by piece, whatever its vocabulary was trimmed to."""

from __future__ import annotations

from isogloss.data.records import GapExample
from isogloss.data.tasks import TASKS
from isogloss.methods.records import SplitName, TaskData
from isogloss.methods.sources import examples

_SPLITS: tuple[SplitName, ...] = ("train", "dev", "test")


def pieces_needed(task: TaskData | None) -> tuple[str, ...]:
    """Texts whose pieces must stay when a vocabulary is trimmed for a task.

    A gap's candidates are scored as tokens, and one that is cut into more of them, or is unknown, has another
    score. They are what may be answered, in every split, and tell nothing of the answers. Other kinds read
    text and score labels, for which no piece is needed beyond what their languages use.

    Args:
        task: with its files; None needs nothing.

    Returns:
        Each text once, in the order met; () for a kind without.

    Raises:
        DataError: a file is missing or malformed.
    """
    if task is None or TASKS[task.task].kind != "gap":
        return ()
    return tuple(
        dict.fromkeys(
            candidate
            for split in _SPLITS
            for found in examples(task, split).values()
            for example in found
            if isinstance(example, GapExample)
            for candidate in example.candidates
        )
    )
