"""The scaling law of monolingual runs of one language at one model size (2404.07982).

1 / PPL(x) = c - a x^-b, least squares on 1 / PPL, x in units of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from isogloss.analysis.efficiency import (
    Array,
    CurveFit,
    by_size,
    checked_runs,
    never_better,
    off_by,
    with_other_noise,
)
from isogloss.core.resampling import draw_counts

Resampling: TypeAlias = Literal["residuals", "runs"]

PUBLISHED_UNIT = 1_197_015_040
"""Tokens of a published run: 18,265 steps of 128 sequences of 512. Published a and b are for x in these."""

PARAMETERS = 3
_EXPONENTS = np.geomspace(0.01, 4.0, 60)
"""Where the search for b starts; a and c follow from b by linear least squares."""


@dataclass(frozen=True, slots=True)
class ScalingLaw:
    """1 / PPL(tokens) = c - a (tokens / unit)^-b.

    Attributes:
        a: 0 or more.
        b: above 0.
        c: 1 over the perplexity that no number of tokens reaches; above 0, at most 1.
        unit: tokens of x = 1.
        low, high: the fewest and the most tokens of the runs it was fitted to; 0 and infinity where unknown.
    """

    a: float
    b: float
    c: float
    unit: float = PUBLISHED_UNIT
    low: float = 0.0
    high: float = float("inf")

    @property
    def best(self) -> float:
        """The perplexity that infinitely many tokens would give."""
        return 1 / self.c

    @property
    def worst(self) -> float:
        """Any perplexity is that of some number of tokens."""
        return float("inf")

    def perplexity(self, tokens: npt.ArrayLike) -> Array:
        """MLPE: the perplexity of a monolingual run; infinite where there are too few tokens for the law."""
        x = np.asarray(tokens, dtype=np.float64) / self.unit
        with np.errstate(divide="ignore"):
            inverse = self.c - self.a * x**-self.b
            return np.where(inverse > 0, 1 / np.maximum(inverse, 0.0), np.inf)

    def tokens(self, perplexity: npt.ArrayLike) -> Array:
        """MLTE: the tokens of a monolingual run of this perplexity; infinite at `best` and below it."""
        with np.errstate(divide="ignore", over="ignore"):
            lacking = self.c - 1 / np.asarray(perplexity, dtype=np.float64)
            share = np.maximum(lacking, 0.0) / self.a if self.a else np.where(lacking > 0, np.inf, 0.0)
            return np.asarray(self.unit * share ** (-1 / self.b))

    def covers(self, tokens: float) -> bool:
        """Whether it was fitted to runs of as few and as many tokens."""
        return self.low <= tokens <= self.high


def fit(
    tokens: Sequence[float],
    perplexities: Sequence[float],
    *,
    unit: float = PUBLISHED_UNIT,
    resample: Resampling = "residuals",
    draws: int = 1000,
    seed: int = 0,
) -> CurveFit[ScalingLaw]:
    """A law with resampled laws and leave-one-out errors.

    Args:
        tokens: of each monolingual run; several runs of one size are seeds.
        perplexities: of each, above 1.
        unit: tokens of x = 1; changes `a` and nothing else.
        resample: "residuals" draws the runs' distances from the law anew, at the same sizes, stretched by
            sqrt(runs / (runs - 3)); "runs" draws whole runs, and leaves out draws of fewer than three sizes,
            so it wants many sizes.
        draws: resampled laws.
        seed: of the draws.

    Raises:
        DataError: as `fit_law`.
    """
    x, p = checked_runs(tokens, perplexities, sizes=PARAMETERS)
    law = fit_law(tokens, perplexities, unit=unit)
    drawer = {"residuals": _by_residuals, "runs": _by_runs}[resample]
    drawn = tuple(drawer(law, x, 1 / p, draws=draws, seed=seed)) if len(x) > PARAMETERS else ()
    of_size = by_size(x)
    sizes = np.array([x[chosen].mean() for chosen in of_size])
    left_out = np.array([_left_out(x, p, chosen, unit) for chosen in of_size])
    return CurveFit(law, drawn, left_out, sizes, seed)


def fit_law(
    tokens: Sequence[float], perplexities: Sequence[float], *, unit: float = PUBLISHED_UNIT
) -> ScalingLaw:
    """The law alone: bounded least squares on 1 / PPL, from many starts.

    Args:
        tokens: of each monolingual run, above 0; at least three sizes (`by_size`).
        perplexities: of each, above 1.

    Raises:
        DataError: fewer than three sizes, a number that cannot be, or runs that do not get better.
    """
    x, p = checked_runs(tokens, perplexities, sizes=PARAMETERS)
    a, b, c = _least_squares(x / unit, 1 / p)
    if a <= 0:
        raise never_better()
    return ScalingLaw(a, b, c, unit, float(x.min()), float(x.max()))


def _least_squares(x: Array, y: Array) -> tuple[float, float, float]:
    """a, b, c: given b the best a and c are known, so only b is searched for, from every valley of a grid."""
    from scipy.optimize import minimize_scalar

    scale = float(np.exp(np.log(x).mean()))  # so that no power overflows; undone below
    near = x / scale

    def error(log_b: float) -> float:
        a, c = _linear(near ** -np.exp(log_b), y)
        return float(((c - a * near ** -np.exp(log_b) - y) ** 2).sum())

    grid = np.log(_EXPONENTS)
    heights = np.array([error(place) for place in grid])
    edged = np.pad(heights, 1, constant_values=np.inf)
    valleys = np.flatnonzero((heights <= edged[:-2]) & (heights <= edged[2:]))
    ends = [(grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]) for place in valleys.tolist()]
    options = {"xatol": 1e-10}
    found = [minimize_scalar(error, bounds=pair, method="bounded", options=options) for pair in ends]
    b = float(np.exp(min(found, key=lambda one: float(one.fun)).x))
    a, c = _linear(near**-b, y)
    return a * scale**b, b, c


def _linear(powers: Array, y: Array) -> tuple[float, float]:
    """The best a >= 0 and 0 < c <= 1 of y = c - a powers."""
    spread = powers - powers.mean()
    a = -float(spread @ y) / float(spread @ spread)
    c = float(y.mean() + a * powers.mean())
    if a < 0:
        a, c = 0.0, float(y.mean())
    if c > 1:
        a, c = float((1 - y) @ powers) / float(powers @ powers), 1.0
    return a, c


def _by_residuals(law: ScalingLaw, x: Array, y: Array, *, draws: int, seed: int) -> list[ScalingLaw]:
    noisy = with_other_noise(1 / law.perplexity(x), y, parameters=PARAMETERS, draws=draws, seed=seed)
    return [_refitted(law, x, drawn) for drawn in noisy]


def _by_runs(law: ScalingLaw, x: Array, y: Array, *, draws: int, seed: int) -> list[ScalingLaw]:
    counts = draw_counts(len(x), draws=draws, seed=seed, name="runs")
    drawn = [(np.repeat(x, times), np.repeat(y, times)) for times in counts]
    return [_refitted(law, *runs) for runs in drawn if len(by_size(runs[0])) >= PARAMETERS]


def _refitted(law: ScalingLaw, x: Array, y: Array) -> ScalingLaw:
    a, b, c = _least_squares(x / law.unit, y)
    return replace(law, a=a, b=b, c=c)


def _left_out(x: Array, p: Array, chosen: npt.NDArray[np.bool_], unit: float) -> float:
    others = ~chosen
    if len(by_size(x[others])) < PARAMETERS:
        return float("nan")
    a, b, c = _least_squares(x[others] / unit, 1 / p[others])
    return off_by(ScalingLaw(a, b, c, unit), x[chosen], p[chosen])
