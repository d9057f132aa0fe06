"""Micro-batches in order, the next one being made while the model is busy with the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from isogloss.data.beside import PREFIXES, part_of

Batch: TypeAlias = Mapping[str, Tensor]


@runtime_checkable
class Batches(Protocol):
    """What the loop trains on: batch i is a function of i alone, for any i ≥ 0, over and beyond one pass."""

    def __len__(self) -> int:
        """Micro-batches in one pass over the data."""
        ...

    def __getitem__(self, index: int, /) -> Mapping[str, Tensor]:
        """Micro-batch `index`; pass `index // len(self)` of the data."""
        ...


@dataclass(frozen=True)
class Micro:
    """A micro-batch on its way: its number, its tensors as made (on the CPU), its tokens without padding."""

    number: int
    batch: Batch
    tokens: int


class Feed:
    """Yields `batches[number]` for each number, one ahead in a thread of its own.

    The thread changes when a batch is made, never what is in it. An error in making a batch is raised when
    that batch's turn comes.
    """

    def __init__(self, batches: Batches, numbers: Iterable[int]) -> None:
        self._batches = batches
        self._numbers = iter(numbers)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="isogloss-feed")
        self._next: Future[Micro] | None = None

    def __enter__(self) -> Feed:
        self._ask()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[Micro]:
        return self

    def __next__(self) -> Micro:
        if self._next is None:
            raise StopIteration
        micro = self._next.result()
        self._ask()
        return micro

    def _ask(self) -> None:
        number = next(self._numbers, None)
        self._next = None if number is None else self._thread.submit(self._make, number)

    def _make(self, number: int) -> Micro:
        batch = self._batches[number]
        return Micro(number, batch, count_tokens(batch))


def count_tokens(batch: Batch) -> int:
    """Tokens without padding, those of what stands beside the batch among them.

    Of each part: the ones in `attention_mask`, else the size of `input_ids`, else 0.
    """
    return sum(map(_tokens, (batch, *(part_of(batch, prefix) for prefix in PREFIXES))))


def _tokens(batch: Batch) -> int:
    if "attention_mask" in batch:
        return int((batch["attention_mask"] != 0).sum())
    return batch["input_ids"].numel() if "input_ids" in batch else 0
