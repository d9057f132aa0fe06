"""A tokenizer kept busy on all cores: one batch is encoded while the one before is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
_BATCH_CHARACTERS = 1 << 18
T = TypeVar("T")
R = TypeVar("R")


def ahead(work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Each item with what `work` makes of it, in order; one more is always under way in a thread."""
    with ThreadPoolExecutor(max_workers=1) as worker:
        before: tuple[T, Any] | None = None
        for item in items:
            coming = worker.submit(work, item)
            if before is not None:
                yield before[0], before[1].result()
            before = item, coming
        if before is not None:
            yield before[0], before[1].result()


def batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in batches of some hundred thousand characters."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text) + 1
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def all_ids(encodings: Iterable[Any]) -> Ints:
    """The ids of many encodings, one after the other; (tokens,)."""
    return np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), dtype=np.int64)
