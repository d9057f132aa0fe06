"""The same sentences in two languages compared by what they cost: a ratio of sums, with an interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import DataError
from isogloss.core.resampling import Estimate, draw_counts, interval


def ratio(over: Sequence[float], under: Sequence[float], *, seed: int = 0, draws: int = 1000) -> Estimate:
    """Sum of one number over sum of another of the same items, with an interval over the items.

    Items are drawn again in pairs, so what is long in both cancels. With a language's tokens over the
    source's this is the tokenisation premium (Petrov et al., 2023, 2305.15425); with the source's bits over a
    language's, information parity (Tsvetkov and Kipnis, 2024, Findings of EMNLP); with bits over bytes of one
    language, its bits per byte.

    Args:
        over: a number of 0 or more for each item.
        under: likewise, of the same items in their order.

    Returns:
        NaN where the lower sum is 0.

    Raises:
        DataError: no item, or not as many in both.
    """
    above, below = np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64)
    if not above.size or above.shape != below.shape:
        raise DataError(f"{above.size} numbers over {below.size}", wanted="the same items in both, and some")
    counts = draw_counts(above.size, draws=draws, seed=seed, name="parity").astype(np.float64)
    return interval(float(_divided(above.sum(), below.sum())), _divided(counts @ above, counts @ below))


def _divided(above: npt.ArrayLike, below: npt.ArrayLike) -> npt.NDArray[np.float64]:
    one, other = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(one, other, out=np.full_like(one, np.nan), where=other > 0)
