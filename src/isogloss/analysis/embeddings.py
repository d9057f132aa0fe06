"""Whether two languages' rows for the same piece have come together, by how often the piece was read.

Beside each cosine stands the floor, the mean over all pairs of rows: output rows share a direction, so any
two of them are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from isogloss.analysis.alignment import States, mean_cosine_of_all_pairs, mean_estimates, row_cosines
from isogloss.core.errors import DataError
from isogloss.core.resampling import Estimate

Array: TypeAlias = npt.NDArray[np.float64]
Counts: TypeAlias = npt.NDArray[np.integer]

PER_DECADE = 4


class Bin(NamedTuple):
    """Pieces that were read about as often.

    Attributes:
        low, high: from this many occurrences to fewer than that many.
        pieces: how many such pieces there are, 1 or more.
        cosine: the mean over them, with an interval over pieces.
        floor: the mean cosine of different pieces among them, one in each language; NaN for one piece. Rows
            of rare pieces are alike because nothing but the softmax moved them, so each bin has its own.
    """

    low: float
    high: float
    pieces: int
    cosine: Estimate
    floor: float


@dataclass(frozen=True, slots=True)
class RowAlignment:
    """How alike two languages' rows for the same pieces are.

    Attributes:
        cosine: the mean over pieces, with an interval over pieces.
        floor: the mean over all pairs of rows, one in each language.
        bins: by frequency, ascending; without pieces that were never read.
    """

    cosine: Estimate
    floor: float
    bins: tuple[Bin, ...]


def row_alignment(
    first: States,
    second: States,
    counts: Counts | Sequence[int],
    *,
    per_decade: int = PER_DECADE,
    seed: int = 0,
) -> RowAlignment:
    """Compare two languages' rows for the same pieces.

    Args:
        first: (pieces, hidden), rows of an embedding or of an output layer in one language.
        second: the other language's rows for the same pieces.
        counts: (pieces,), how often each was read in training; 0 or more.
        per_decade: bins for each tenfold frequency.
        seed: of the intervals.

    Raises:
        DataError: no piece, or not a row of both languages and a count for each.
    """
    frequency = np.asarray(counts)
    if first.shape != second.shape or frequency.shape != first.shape[:1] or not frequency.size:
        raise DataError(
            f"rows of shape {first.shape} and {second.shape}, {frequency.shape} counts",
            wanted="a row in both languages and a count for each piece, and some pieces",
        )
    cosines = row_cosines(first, second)
    numbers = bin_numbers(frequency, per_decade=per_decade)
    bins = []
    for number in np.unique(numbers[numbers >= 0]).tolist():
        own = numbers == number
        edges = _edge(number, per_decade), _edge(number + 1, per_decade)
        floor = _floor(first[own], second[own], cosines[own])
        bins.append(Bin(*edges, int(own.sum()), _estimate(cosines[own], seed), floor))
    whole = float(mean_cosine_of_all_pairs(first, second))
    return RowAlignment(_estimate(cosines, seed), whole, tuple(bins))


def bin_numbers(counts: Counts, *, per_decade: int = PER_DECADE) -> npt.NDArray[np.int64]:
    """The bin of each count: n where 10^(n / per_decade) <= count < 10^((n + 1) / per_decade); -1 for 0."""
    decades = int(np.log10(max(int(np.max(counts, initial=1)), 1))) + 1
    edges = [_edge(number, per_decade) for number in range(decades * per_decade + 1)]
    return np.asarray(np.searchsorted(edges, counts, side="right") - 1, dtype=np.int64)


def _edge(number: int, per_decade: int) -> float:
    return float(10 ** (number / per_decade))


def _floor(first: States, second: States, own: Array) -> float:
    """The mean over all pairs but those of a piece with itself."""
    count = len(own)
    if count < 2:
        return float("nan")
    everything = float(mean_cosine_of_all_pairs(first, second)) * count**2
    return (everything - float(own.sum())) / (count**2 - count)


def _estimate(cosines: Array, seed: int) -> Estimate:
    return mean_estimates(cosines[:, None], seed=seed)[0]
