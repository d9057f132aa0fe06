"""How many tokens a perplexity is worth: the scaling law of monolingual runs, and token efficiency.

The law of one language at one model size (2404.07982): 1 / PPL(x) = c - a x^-b, least squares on 1 / PPL, x
in units of tokens. From it

- MLPE, monolingual perplexity equivalent: the law at a language's own tokens;
- MLTE, monolingual token equivalent: the tokens at which the law has the perplexity observed;
- TEff, token efficiency: MLTE over the tokens that the language had. Above 1 other languages helped.

Perplexities must be of one test set and one protocol. Those of two languages do not compare; their TEff do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import DataError
from isogloss.core.resampling import Estimate, draw_counts
from isogloss.core.seeds import generator

Array: TypeAlias = npt.NDArray[np.float64]
Resampling: TypeAlias = Literal["residuals", "runs"]

PUBLISHED_UNIT = 1_197_015_040
"""Tokens of a published run: 18,265 steps of 128 sequences of 512. Published a and b are for x in these."""

PARAMETERS = 3
_ONE_SIZE = 1.01
"""Runs whose tokens differ by no more than this factor are seeds of one size: a text's last row is short."""
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

    def perplexity(self, tokens: npt.ArrayLike) -> Array:
        """MLPE: the perplexity of a monolingual run; infinite where there are too few tokens for the law."""
        x = np.asarray(tokens, dtype=np.float64) / self.unit
        with np.errstate(divide="ignore"):
            inverse = self.c - self.a * x**-self.b
            return np.where(inverse > 0, 1 / np.maximum(inverse, 0.0), np.inf)

    def tokens(self, perplexity: npt.ArrayLike) -> Array:
        """MLTE: the tokens of a monolingual run of this perplexity; infinite at `best` and below it."""
        lacking = self.c - 1 / np.asarray(perplexity, dtype=np.float64)
        with np.errstate(divide="ignore"):
            share = np.maximum(lacking, 0.0) / self.a if self.a else np.where(lacking > 0, np.inf, 0.0)
            return np.asarray(self.unit * share ** (-1 / self.b))

    def covers(self, tokens: float) -> bool:
        """Whether it was fitted to runs of as few and as many tokens."""
        return self.low <= tokens <= self.high


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What a language's perplexity in a multilingual run is worth.

    Attributes:
        perplexity: as observed, the geometric mean over seeds.
        tokens: that the language had.
        mlpe: perplexity of a monolingual run of as many tokens.
        mlte: tokens of a monolingual run of this perplexity.
        teff: `mlte` over `tokens`.
        extrapolated: what lies outside the runs that the law was fitted to: "mlpe", "mlte", both, or nothing.
    """

    perplexity: float
    tokens: float
    mlpe: Estimate
    mlte: Estimate
    teff: Estimate
    extrapolated: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ScalingFit:
    """A law, and how far it could have come out otherwise.

    Attributes:
        law: fitted to all runs.
        drawn: laws fitted to resampled runs; () where there is nothing to tell noise from, with three runs.
        left_out: for each number of tokens, how far off the law of the other runs is there: perplexity by
            that law over the observed one (geometric mean over seeds), minus 1. NaN with three sizes.
        sizes: these numbers of tokens, ascending; of runs within a per cent of each other, their mean.
        seed: of the draws.
    """

    law: ScalingLaw
    drawn: tuple[ScalingLaw, ...]
    left_out: Array
    sizes: Array
    seed: int

    def mlpe(self, tokens: float, *, level: float = 0.95) -> Estimate:
        """The law's perplexity at so many tokens, with its interval."""
        drawn = np.array([float(law.perplexity(tokens)) for law in self.drawn])
        return _estimate(float(self.law.perplexity(tokens)), drawn, level)

    def efficiency(
        self, perplexity: float | Sequence[float], tokens: float, *, level: float = 0.95
    ) -> Efficiency:
        """MLPE, MLTE and TEff of a language in a multilingual run.

        Intervals are over resampled monolingual runs. With several seeds of the multilingual run their mean
        loss varies too, as Student's t has it; with one, its noise is in no interval. An end is infinite
        where a share of the resampled laws does not reach the perplexity with any number of tokens.

        Args:
            perplexity: observed, above 1; one for each seed.
            tokens: that the language had in the run, by the ledger.
            level: coverage of the intervals, between 0 and 1.

        Raises:
            DataError: no perplexity or one that is not above 1, no tokens, or a perplexity as good as
                infinitely many tokens would give or better.
        """
        losses = _losses(perplexity)
        observed = float(np.exp(losses.mean()))
        if not tokens > 0:
            raise DataError(f"{tokens} tokens", wanted="more than 0", fix="take them from the run's ledger")
        mlte = float(self.law.tokens(observed))
        if not np.isfinite(mlte):
            raise DataError(
                f"perplexity {observed:.4g}, and the law comes no lower than {self.law.best:.4g}",
                wanted="one that some number of monolingual tokens gives",
                fix="fit the law to longer monolingual runs",
            )
        varied = np.exp(_varied(losses, draws=len(self.drawn), seed=self.seed))
        drawn = np.array([float(law.tokens(p)) for law, p in zip(self.drawn, varied, strict=True)])
        outside = {"mlpe": not self.law.covers(tokens), "mlte": not self.law.covers(mlte)}
        return Efficiency(
            perplexity=observed,
            tokens=tokens,
            mlpe=self.mlpe(tokens, level=level),
            mlte=_estimate(mlte, drawn, level),
            teff=_estimate(mlte / tokens, drawn / tokens, level),
            extrapolated=tuple(name for name, is_outside in outside.items() if is_outside),
        )


def fit(
    tokens: Sequence[float],
    perplexities: Sequence[float],
    *,
    unit: float = PUBLISHED_UNIT,
    resample: Resampling = "residuals",
    draws: int = 1000,
    seed: int = 0,
) -> ScalingFit:
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
    x, p = _checked(tokens, perplexities)
    law = fit_law(tokens, perplexities, unit=unit)
    drawer = {"residuals": _by_residuals, "runs": _by_runs}[resample]
    drawn = tuple(drawer(law, x, 1 / p, draws=draws, seed=seed)) if len(x) > PARAMETERS else ()
    of_size = by_size(x)
    sizes = np.array([x[chosen].mean() for chosen in of_size])
    left_out = np.array([_left_out(x, p, chosen, unit) for chosen in of_size])
    return ScalingFit(law, drawn, left_out, sizes, seed)


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
    x, p = _checked(tokens, perplexities)
    a, b, c = _least_squares(x / unit, 1 / p)
    if a <= 0:
        raise DataError(
            "perplexity does not fall with tokens in these runs",
            wanted="monolingual runs of which longer ones are better",
            fix="check that each perplexity stands beside its own tokens, on one test set",
        )
    return ScalingLaw(a, b, c, unit, float(x.min()), float(x.max()))


def by_size(tokens: Sequence[float] | Array) -> list[npt.NDArray[np.bool_]]:
    """Which runs are of each size, sizes ascending: one begins where tokens rise by more than a per cent.

    Args:
        tokens: of each run, above 0.
    """
    found = np.asarray(tokens, dtype=np.float64)
    different = np.unique(found)
    begins = np.diff(np.log(different), prepend=-np.inf) > np.log(_ONE_SIZE)
    numbers = np.cumsum(begins)[np.searchsorted(different, found)]
    return [numbers == number for number in range(1, int(begins.sum()) + 1)]


def _checked(tokens: Sequence[float], perplexities: Sequence[float]) -> tuple[Array, Array]:
    x, p = np.asarray(tokens, dtype=np.float64), np.asarray(perplexities, dtype=np.float64)
    fits = x.ndim == 1 and x.shape == p.shape and np.isfinite(x).all() and np.isfinite(p).all()
    possible = fits and bool((x > 0).all() and (p > 1).all())
    sizes = len(by_size(x)) if possible else 0
    if sizes < PARAMETERS:
        different = f" ({sizes} different)" if possible else ""
        raise DataError(
            f"{x.size} numbers of tokens{different} and {p.size} perplexities",
            wanted="a perplexity above 1 for each run, and runs of at least three sizes: there are three "
            "parameters to fit",
            fix="add monolingual runs of other lengths",
        )
    return x, p


def _losses(perplexity: float | Sequence[float]) -> Array:
    found = np.atleast_1d(np.asarray(perplexity, dtype=np.float64))
    if not found.size or not (np.isfinite(found).all() and (found > 1).all()):
        raise DataError(f"perplexity {perplexity}", wanted="one or more numbers above 1")
    return np.asarray(np.log(found))


def _varied(losses: Array, *, draws: int, seed: int) -> Array:
    """Means of the losses of as many other seeds; the mean itself where there is one seed alone."""
    count = losses.size
    if count < 2:
        return np.full(draws, losses.mean())
    spread = generator(seed, "seeds").standard_t(count - 1, size=draws)
    return np.asarray(losses.mean() + spread * losses.std(ddof=1) / np.sqrt(count))


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
    expected = 1 / law.perplexity(x)
    count = len(x)
    residuals = (y - expected) * np.sqrt(count / (count - PARAMETERS))
    chosen = generator(seed, "residuals").integers(count, size=(draws, count))
    return [_refitted(law, x, drawn) for drawn in expected + residuals[chosen]]


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
    expected = ScalingLaw(a, b, c, unit).perplexity(x[chosen])
    return float(np.exp(np.log(expected / p[chosen]).mean()) - 1)


def _estimate(value: float, drawn: Array, level: float) -> Estimate:
    """Percentiles that may be infinite: between a number and infinity nothing can be interpolated."""
    if not drawn.size:
        return Estimate(value, float("nan"), float("nan"))
    low = np.quantile(drawn, (1 - level) / 2, method="lower")
    high = np.quantile(drawn, (1 + level) / 2, method="higher")
    return Estimate(value, float(low), float(high))
