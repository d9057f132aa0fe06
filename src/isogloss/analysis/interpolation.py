"""Monolingual perplexity against tokens, read off between the runs: for where no law fits.

A law smooths noise and reaches beyond its runs, if learning goes on as it began. Where something is learnt
at once and perplexity drops, it errs on both sides of the drop, and a straight line from one number of tokens
to the next, in the logarithms of both, says what was seen and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isogloss.analysis.efficiency import (
    ONE_SIZE,
    Array,
    CurveFit,
    by_size,
    checked_runs,
    never_better,
    off_by,
    with_other_noise,
)

_FEWEST = 2


@dataclass(frozen=True, slots=True, eq=False)
class Interpolation:
    """A curve from size to size; outside of them it says nothing.

    Attributes:
        sizes: (sizes,) tokens, ascending.
        losses: (sizes,) nats a token, never rising.
    """

    sizes: Array
    losses: Array

    @property
    def best(self) -> float:
        """The perplexity of the longest runs."""
        return float(np.exp(self.losses[-1]))

    @property
    def worst(self) -> float:
        """The perplexity of the shortest runs."""
        return float(np.exp(self.losses[0]))

    def perplexity(self, tokens: npt.ArrayLike) -> Array:
        """MLPE; NaN outside the sizes."""
        had = np.asarray(tokens, dtype=np.float64)
        found = np.exp(np.interp(np.log(had), np.log(self.sizes), self.losses))
        return np.where(self._within(had), found, np.nan)

    def tokens(self, perplexity: npt.ArrayLike) -> Array:
        """MLTE: the fewest tokens of this perplexity; infinite below `best`, 0 above `worst`."""
        wanted = _exact(np.log(np.asarray(perplexity, dtype=np.float64)))
        # From the largest size to the smallest: of equal losses the last, so the fewest tokens, is found.
        losses, places = _exact(self.losses)[::-1], np.log(self.sizes)[::-1]
        return np.asarray(np.exp(np.interp(wanted, losses, places, left=np.inf, right=-np.inf)))

    def covers(self, tokens: float) -> bool:
        """Whether there are runs of as few and as many tokens, to the per cent within which sizes are one."""
        return bool(self._within(np.float64(tokens)))

    def _within(self, tokens: Array | np.float64) -> npt.NDArray[np.bool_]:
        low, high = self.sizes[0] / ONE_SIZE, self.sizes[-1] * ONE_SIZE
        return np.asarray((low <= tokens) & (tokens <= high))


def _exact(losses: Array) -> Array:
    """Without the last digits, which differ after exp and log: the ends are part of the curve."""
    return np.round(losses, 12)


def interpolate(
    tokens: Sequence[float], perplexities: Sequence[float], *, draws: int = 1000, seed: int = 0
) -> CurveFit[Interpolation]:
    """A curve through the mean loss of each size, with resampled curves and leave-one-out errors.

    Where a larger size has the higher mean, both get the mean of the two (isotonic regression). Resampled are
    the runs' distances from their size's mean, those of all sizes together. What the curve misses between two
    sizes is in no interval: `left_out` shows it, with a whole size missing.

    Args:
        tokens: of each monolingual run, above 0; at least two sizes (`by_size`). Several runs of one size are
            seeds; without any there are no intervals.
        perplexities: of each, above 1.
        draws: resampled curves.
        seed: of the draws.

    Raises:
        DataError: fewer than two sizes, a number that cannot be, or runs that do not get better.
    """
    x, p = checked_runs(tokens, perplexities, sizes=_FEWEST)
    of_size = by_size(x)
    curve = _through(x, np.log(p), of_size)
    if curve.best >= curve.worst:
        raise never_better()
    noisy = with_other_noise(
        _means(np.log(p), of_size)[np.argmax(of_size, axis=0)],
        np.log(p),
        parameters=len(of_size),
        draws=draws,
        seed=seed,
    )
    left_out = np.array([_left_out(x, p, chosen) for chosen in of_size])
    return CurveFit(curve, tuple(_through(x, y, of_size) for y in noisy), left_out, curve.sizes, seed)


def _through(x: Array, losses: Array, of_size: Sequence[npt.NDArray[np.bool_]]) -> Interpolation:
    from scipy.optimize import isotonic_regression

    runs = [int(chosen.sum()) for chosen in of_size]
    falling = isotonic_regression(_means(losses, of_size), weights=runs, increasing=False).x
    return Interpolation(_means(x, of_size), np.asarray(falling))


def _means(values: Array, of_size: Sequence[npt.NDArray[np.bool_]]) -> Array:
    return np.array([values[chosen].mean() for chosen in of_size])


def _left_out(x: Array, p: Array, chosen: npt.NDArray[np.bool_]) -> float:
    """NaN for the first and the last size, which lie between no two others."""
    others = x[~chosen], np.log(p[~chosen])
    return off_by(_through(*others, by_size(others[0])), x[chosen], p[chosen])
