"""One seed, and from it a stream of random numbers for each use, by name.

Streams are counter-based: number *i* of a stream is a function of (seed, name, i) and nothing else. So any
number of workers draw the same values, a resumed run needs no saved generator state, and adding a new use
of randomness moves no other.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one use, e.g. `derive(0, "dropout", step)`.

    Stable over platforms and Python versions (BLAKE2, not `hash`).
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator (Philox) of its own for one use; same arguments, same numbers."""
    return np.random.Generator(np.random.Philox(derive(seed, *names)))


def uniforms(
    seed: int, name: str, counters: npt.NDArray[np.integer] | range, *, lane: int = 0
) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1), one per counter; entry i depends on (seed, name, lane, counters[i]) alone.

    Args:
        counters: non-negative positions in the stream, in any order and any number at a time.
        lane: a second, independent number at the same position.
    """
    key = np.uint64(derive(seed, name, lane))
    counter = np.asarray(counters, dtype=np.uint64)
    bits = _scramble(_scramble(counter * _GOLDEN + key) ^ key)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _scramble(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The SplitMix64 finaliser (Steele, Lea and Flood, 2014); arithmetic wraps on purpose."""
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
        return z ^ (z >> np.uint64(31))
