"""How many kinds of things there still are that a sample has not shown."""

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
