"""A shuffled order for each epoch, without keeping the order.

The permutation is a Feistel network on pairs of numbers below about √size, walked until it lands inside
(Black and Rogaway, 2002, "Ciphers with arbitrary finite domains", the generalised form). It was chosen over
a list per epoch because any position costs the same: a run that resumes in the middle of epoch 7 of a
hundred million sequences draws nothing it does not use, holds nothing in memory, and has nothing to save.
The price: of fewer than a dozen items, some orders are several times as likely as others.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from isogloss.core.seeds import uniforms

_ROUNDS = 6
_PLACE_BITS, _TURN_BITS = 21, 31
"""A counter holds lane, epoch and round, and one number of the pair: sizes to 2^40, 4,096 lanes."""

Ints: TypeAlias = npt.NDArray[np.int64]


def shuffled(
    seed: int,
    name: str,
    positions: npt.NDArray[np.integer],
    *,
    size: int | Ints,
    lane: int | Ints = 0,
) -> Ints:
    """Which of `size` items stands at each position of an endless, epoch-wise shuffled stream.

    Every item appears once in positions [0, size), once in [size, 2·size), and so on, each time in another
    order.

    Args:
        seed: of the run.
        name: the use; streams of different names are independent.
        positions: non-negative, any order, any number; (n,).
        size: how many items there are, from 1 to 2^40; a number, or one for each position, (n,).
        lane: which of several streams under one name, from 0 to 4,095; a number, or one for each position.

    Returns:
        Item indices in [0, size); (n,).
    """
    place = np.asarray(positions, dtype=np.int64)
    size, lane = (np.broadcast_to(np.asarray(value, dtype=np.int64), place.shape) for value in (size, lane))
    epoch, place = np.divmod(place, size)
    assert not place.size or (size.max() <= 1 << 40 and lane.max() < 1 << 12), "counters would overlap"
    epoch = (lane << _TURN_BITS) + epoch * _ROUNDS
    place = _permute(seed, name, epoch, place, size)
    while (outside := place >= size).any():
        place[outside] = _permute(seed, name, epoch[outside], place[outside], size[outside])
    return place


def _permute(seed: int, name: str, stream: Ints, place: Ints, size: Ints) -> Ints:
    """For each stream, a bijection of a rectangle of numbers that just holds [0, size)."""
    rows = np.sqrt(size).astype(np.int64) + 1
    shape = rows, -(-size // rows)
    sides = list(np.divmod(place, shape[1]))
    for turn in range(_ROUNDS):
        moved, fixed = turn % 2, 1 - turn % 2
        noise = uniforms(seed, name, ((stream + turn) << _PLACE_BITS) | sides[fixed])
        sides[moved] = (sides[moved] + (noise * shape[moved]).astype(np.int64)) % shape[moved]
    return sides[0] * shape[1] + sides[1]
