"""Batches of examples of like length, in a new order each epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import DataError
from isogloss.core.seeds import generator

if TYPE_CHECKING:
    from torch import Tensor

Item = TypeVar("Item")

_POOL = 50
"""Batches drawn at random and sorted by length together: enough to lose little to padding, few enough that
a batch's company differs from epoch to epoch."""


class BucketedBatches(Generic[Item]):
    """Endless batches of examples; each epoch holds every example once.

    Batch m of epoch e depends on (seed, e, m) alone. Each epoch's examples are shuffled, cut into pools of
    fifty batches, sorted by length within the pool, cut into batches, and the batches shuffled; where the
    examples do not fill the last batch, that one is smaller.
    """

    def __init__(
        self,
        items: Sequence[Item],
        collate: Callable[[list[Item]], dict[str, Tensor]],
        *,
        lengths: Sequence[int],
        batch_size: int,
        seed: int,
    ) -> None:
        """Put the parts together.

        Args:
            items: the examples, in any form `collate` reads.
            collate: makes a batch of some of them.
            lengths: by which examples are brought together, usually their tokens; as many as items.
            batch_size: examples in a batch.
            seed: of the run.

        Raises:
            DataError: there is no example.
        """
        assert len(items) == len(lengths), (len(items), len(lengths))
        if not items:
            raise DataError("no example to train on", fix="check the file and the languages asked for")
        self._items, self._collate = items, collate
        self._lengths = np.asarray(lengths)
        self._batch_size, self._seed = batch_size, seed
        self._planned: tuple[int, list[npt.NDArray[np.int64]]] = (-1, [])

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._items) // self._batch_size)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self._collate([self._items[place] for place in self.places(index)])

    def places(self, index: int) -> list[int]:
        """Which items batch `index` holds."""
        epoch, batch = divmod(index, len(self))
        if self._planned[0] != epoch:
            self._planned = epoch, self._plan(epoch)
        return self._planned[1][batch].tolist()

    def _plan(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        random = generator(self._seed, "buckets", epoch)
        order = random.permutation(len(self._items))
        pool, size = self._batch_size * _POOL, self._batch_size
        batches: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(order), pool):
            chunk = order[start : start + pool]
            chunk = chunk[np.argsort(self._lengths[chunk], kind="stable")]
            batches += [chunk[first : first + size] for first in range(0, len(chunk), size)]
        return [batches[place] for place in random.permutation(len(batches))]
