"""Batches of one thing with batches of another beside them: of a task, and of running text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

TEXT = "text/"
"""Running text beside a task. These are what the names of the other batch's tensors begin with."""
ANCHOR = "anchor/"
"""Labelled items beside unlabelled ones."""
TOLD = "told/"
"""The rows of teacher languages once more by themselves, for a teacher that is another model."""

PREFIXES = (TEXT, ANCHOR, TOLD)


class _Batches(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Tensor]: ...


class Beside:
    """Batch i of one thing and batch i of another as one; a pass is a pass over the first."""

    def __init__(self, first: _Batches, other: _Batches, *, prefix: str) -> None:
        self._first, self._other, self._prefix = first, other, prefix

    def __len__(self) -> int:
        """Batches in a pass over the first."""
        return len(self._first)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {**self._first[index], **under(self._prefix, self._other[index])}


def under(prefix: str, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A batch under names that begin with the prefix."""
    return {prefix + name: tensor for name, tensor in batch.items()}


def part_of(batch: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What stands in a batch under a prefix, under its own names; {} where there is nothing."""
    return {name.removeprefix(prefix): tensor for name, tensor in batch.items() if name.startswith(prefix)}
