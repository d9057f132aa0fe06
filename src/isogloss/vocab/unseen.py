"""What a sample of text has not shown of a vocabulary: how many rows, and how much of further text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def unseen_kinds(counts: npt.ArrayLike) -> float:
    """Chao's estimate (1984) of the kinds that did not occur, from those that occurred once and twice.

    It is a lower bound on average, and close to the truth where few kinds are rare. Here kinds are rows of
    a vocabulary: a sample of text that shows some of them once has not shown all that its language uses.

    Args:
        counts: how often each kind occurred; zeros may be among them.

    Returns:
        0 or more: f1 (f1 - 1) / (2 (f2 + 1)), the form that holds when nothing occurred twice.
    """
    found = np.asarray(counts)
    once, twice = int((found == 1).sum()), int((found == 2).sum())
    return once * (once - 1) / (2 * (twice + 1))


def unseen_share(counts: npt.ArrayLike) -> float:
    """Of further text like the sample, the share that is of kinds the sample has not shown.

    Good and Turing's estimate (Good 1953): things that occurred once, of all that occurred.

    Args:
        counts: how often each kind occurred; zeros may be among them.

    Returns:
        In [0, 1]; 1 for a sample of nothing.
    """
    found = np.asarray(counts)
    total = int(found.sum())
    return int((found == 1).sum()) / total if total else 1.0
