"""The same thing measured several times over: by seeds, for the most part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Repeats(NamedTuple):
    """Several measurements of one number.

    Attributes:
        number: how many.
        mean: of them.
        deviation: their standard deviation, estimated with number - 1; None for a single one.
        low: the lower end of the mean's interval; None for a single one.
        high: the upper end.
    """

    number: int
    mean: float
    deviation: float | None = None
    low: float | None = None
    high: float | None = None


def repeats(values: Sequence[float], *, level: float = 0.95) -> Repeats:
    """The mean of a few repeated measurements with Student's interval.

    With two to five seeds, drawing seeds again (a bootstrap) gives intervals far too narrow: of three it can
    never leave their range. Student's t assumes that seeds scatter normally, and is honestly wide for two.

    Args:
        values: at least one; all finite.
        level: the interval's coverage, between 0 and 1.
    """
    from scipy.stats import t

    found = np.asarray(values, dtype=np.float64)
    if found.size < 2:
        return Repeats(found.size, float(found.mean()))
    deviation = float(found.std(ddof=1))
    half = float(t.ppf((1 + level) / 2, found.size - 1)) * deviation / math.sqrt(found.size)
    return Repeats(
        found.size, float(found.mean()), deviation, float(found.mean()) - half, float(found.mean()) + half
    )
