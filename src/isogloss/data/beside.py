"""Batches of one thing with batches of another beside them: of a task, with running text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

TEXT = "text/"
"""What the names of the second batch's tensors begin with."""


class _Batches(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Tensor]: ...


class TaskBesideText:
    """Batch i of a task and batch i of running text as one; a pass is a pass over the task."""

    def __init__(self, task: _Batches, text: _Batches) -> None:
        self._task, self._text = task, text

    def __len__(self) -> int:
        """Batches in a pass over the task."""
        return len(self._task)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        text = {TEXT + name: tensor for name, tensor in self._text[index].items()}
        return {**self._task[index], **text}


def text_of(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The running text in a batch, under its own names; {} where there is none."""
    return {name.removeprefix(TEXT): tensor for name, tensor in batch.items() if name.startswith(TEXT)}
