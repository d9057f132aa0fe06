"""How adaptive shares move: multiplicative weights with a floor, under a budget for each language."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_WIDEST = 20.0
"""How far from 1 a weight can go; the mean of their logarithms is taken off first."""


def moved(weights: Numbers, signal: Numbers, *, rate: float) -> Numbers:
    """Weights after a decision: times exp(rate * z), z the signal above its mean, in units of its mean size.

    z is kept in [-1, 1], so one decision moves a weight by a factor of exp(rate) at most, however wild
    the signal; signals that are nearly alike move nearly nothing.

    Args:
        weights: above 0; (languages,).
        signal: more of it asks for more of the language; (languages,).
        rate: above 0.

    Returns:
        (languages,), between 1/20 and 20.
    """
    above = signal - signal.mean()
    size = np.abs(signal).mean()
    grown = np.log(weights) + (rate * np.clip(above / size, -1, 1) if size > 0 else 0.0)
    limit = np.log(_WIDEST)
    bounded: Numbers = np.exp(np.clip(grown - grown.mean(), -limit, limit))
    return bounded


def floored(shares: Numbers, *, floor: float) -> Numbers:
    """Shares in the same order, none below `floor`; (languages,), summing to 1."""
    shares = shares / shares.sum()
    return (1 - floor * len(shares)) * shares + floor


def within_budget(shares: Numbers, *, left: Numbers, draws: int) -> Numbers:
    """The shares for the next draws that spend no more of any language than is left of its budget.

    What a language cannot take goes to the others in proportion to their shares.

    Args:
        shares: wished for, summing to 1; (languages,).
        left: draws that are left of each language's budget, in all at least `draws`; (languages,).
        draws: how many are drawn at these shares.
    """
    most = np.maximum(left, 0.0) / draws
    found = np.zeros_like(shares)
    room = most > 0
    while room.any() and found.sum() < 1 - 1e-12:
        wished = np.where(room, np.maximum(shares, 1e-12), 0.0)
        found = np.minimum(found + wished / wished.sum() * (1 - found.sum()), most)
        room = found < most - 1e-12
    total = found.sum()
    return found / total if total > 0 else shares
