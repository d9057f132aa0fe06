"""A shuffled order for each epoch, without keeping the order.

The permutation is a Feistel network over the smallest even number of bits that holds the size, walked
until it lands inside (Black and Rogaway, 2002, "Ciphers with arbitrary finite domains"). It was chosen over
a list per epoch because any position costs the same: a run that resumes in the middle of epoch 7 of a
hundred million sequences draws nothing it does not use, holds nothing in memory, and has no state to save.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from isogloss.core.seeds import uniforms

_ROUNDS = 6
_HALF_LIMIT = 20
"""A half must stay below its place in the counter, 2^20: sizes up to 2^40."""


def shuffled(seed: int, name: str, positions: npt.NDArray[np.integer], *, size: int) -> npt.NDArray[np.int64]:
    """Which of `size` items stands at each position of an endless, epoch-wise shuffled stream.

    Every item appears once in positions [0, size), once in [size, 2·size), and so on, each time in another
    order.

    Args:
        seed: of the run.
        name: the use; streams of different names are independent.
        positions: non-negative, any order, any number; (n,).
        size: how many items there are, 1 or more, at most 2^40.

    Returns:
        Item indices in [0, size); (n,).
    """
    assert 1 <= size <= 1 << 2 * _HALF_LIMIT, size
    epoch, place = np.divmod(np.asarray(positions, dtype=np.int64), size)
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    place = _permute(seed, name, epoch, place, half)
    while (outside := place >= size).any():
        place[outside] = _permute(seed, name, epoch[outside], place[outside], half)
    return place


def _permute(
    seed: int, name: str, epoch: npt.NDArray[np.int64], place: npt.NDArray[np.int64], half: int
) -> npt.NDArray[np.int64]:
    """A bijection of [0, 2^(2·half)) for each epoch."""
    left, right = place >> half, place & ((1 << half) - 1)
    for turn in range(_ROUNDS):
        counters = ((epoch * _ROUNDS + turn) << _HALF_LIMIT) | right
        noise = (uniforms(seed, name, counters) * (1 << half)).astype(np.int64)
        left, right = right, left ^ noise
    return (left << half) | right
