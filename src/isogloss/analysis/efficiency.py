"""What a language's perplexity in a multilingual run is worth, in tokens of monolingual runs (2404.07982).

Given a curve of monolingual perplexity against tokens (`scaling`, a law; `interpolation`, the runs alone),

- MLPE, monolingual perplexity equivalent: the curve at a language's own tokens;
- MLTE, monolingual token equivalent: the tokens at which the curve has the perplexity observed;
- TEff, token efficiency: MLTE over the tokens that the language had. Above 1 other languages helped.

Perplexities must be of one test set and one protocol. Those of two languages do not compare; their TEff do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import DataError
from isogloss.core.resampling import Estimate
from isogloss.core.seeds import generator

Array: TypeAlias = npt.NDArray[np.float64]

ONE_SIZE = 1.01
"""Runs whose tokens differ by no more than this factor are seeds of one size: a text's last row is short."""


class Curve(Protocol):
    """Monolingual perplexity, which falls with tokens."""

    @property
    def best(self) -> float:
        """The perplexity below which it says nothing."""

    @property
    def worst(self) -> float:
        """The perplexity above which it says nothing; infinite where there is none."""

    def perplexity(self, tokens: npt.ArrayLike) -> Array:
        """MLPE; NaN where it says nothing."""

    def tokens(self, perplexity: npt.ArrayLike) -> Array:
        """MLTE; infinite from `best` down, 0 above `worst`."""

    def covers(self, tokens: float) -> bool:
        """Whether it was fitted to runs of as few and as many tokens."""


C = TypeVar("C", bound=Curve)


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What a language's perplexity in a multilingual run is worth.

    Attributes:
        perplexity: as observed, the geometric mean over seeds.
        tokens: that the language had.
        mlpe: perplexity of a monolingual run of as many tokens.
        mlte: tokens of a monolingual run of this perplexity.
        teff: `mlte` over `tokens`.
        extrapolated: what lies outside the runs of the curve: "mlpe", "mlte", both, or nothing.
    """

    perplexity: float
    tokens: float
    mlpe: Estimate
    mlte: Estimate
    teff: Estimate
    extrapolated: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CurveFit(Generic[C]):
    """A curve, and how far it could have come out otherwise.

    Attributes:
        curve: fitted to all runs.
        drawn: curves fitted to resampled runs; () where there is nothing to tell noise from.
        left_out: for each size, how far off the curve of the other sizes is there: perplexity by that curve
            over the observed one (geometric mean over seeds), minus 1. NaN where they make no curve.
        sizes: these numbers of tokens, ascending; of runs within a per cent of each other, their mean.
        seed: of the draws.
    """

    curve: C
    drawn: tuple[C, ...]
    left_out: Array
    sizes: Array
    seed: int

    def mlpe(self, tokens: float, *, level: float = 0.95) -> Estimate:
        """The curve's perplexity at so many tokens, with its interval."""
        drawn = np.array([float(curve.perplexity(tokens)) for curve in self.drawn])
        return _estimate(float(self.curve.perplexity(tokens)), drawn, level)

    def efficiency(
        self, perplexity: float | Sequence[float], tokens: float, *, level: float = 0.95
    ) -> Efficiency:
        """MLPE, MLTE and TEff of a language in a multilingual run.

        Intervals are over resampled monolingual runs. With several seeds of the multilingual run their mean
        loss varies too, as Student's t has it; with one, its noise is in no interval. An end is infinite, or
        0, where a share of the resampled curves does not reach the perplexity.

        Args:
            perplexity: observed, above 1; one for each seed.
            tokens: that the language had in the run, by the ledger.
            level: coverage of the intervals, between 0 and 1.

        Raises:
            DataError: no perplexity or one that is not above 1, no tokens, or a perplexity of which the
                curve says nothing.
        """
        losses = _losses(perplexity)
        observed = float(np.exp(losses.mean()))
        if not tokens > 0:
            raise DataError(f"{tokens} tokens", wanted="more than 0", fix="take them from the run's ledger")
        mlte = float(self.curve.tokens(observed))
        if not 0 < mlte < np.inf:
            raise _beyond(self.curve, observed)
        varied = np.exp(_varied(losses, draws=len(self.drawn), seed=self.seed))
        drawn = np.array([float(curve.tokens(p)) for curve, p in zip(self.drawn, varied, strict=True)])
        outside = {"mlpe": not self.curve.covers(tokens), "mlte": not self.curve.covers(mlte)}
        return Efficiency(
            perplexity=observed,
            tokens=tokens,
            mlpe=self.mlpe(tokens, level=level),
            mlte=_estimate(mlte, drawn, level),
            teff=_estimate(mlte / tokens, drawn / tokens, level),
            extrapolated=tuple(name for name, is_outside in outside.items() if is_outside),
        )


def by_size(tokens: Sequence[float] | Array) -> list[npt.NDArray[np.bool_]]:
    """Which runs are of each size, sizes ascending: the fewest tokens, and up to a per cent more.

    Args:
        tokens: of each run, above 0.
    """
    found = np.asarray(tokens, dtype=np.float64)
    sizes: list[npt.NDArray[np.bool_]] = []
    left = np.ones(found.shape, dtype=np.bool_)
    while left.any():
        sizes.append(left & (found <= found[left].min() * ONE_SIZE))
        left &= ~sizes[-1]
    return sizes


def checked_runs(
    tokens: Sequence[float], perplexities: Sequence[float], *, sizes: int
) -> tuple[Array, Array]:
    """Monolingual runs as arrays (runs,) of tokens and perplexities.

    Args:
        sizes: the fewest that a curve takes.

    Raises:
        DataError: fewer sizes, or a number that cannot be.
    """
    x, p = np.asarray(tokens, dtype=np.float64), np.asarray(perplexities, dtype=np.float64)
    fits = x.ndim == 1 and x.shape == p.shape and np.isfinite(x).all() and np.isfinite(p).all()
    possible = fits and bool((x > 0).all() and (p > 1).all())
    found = len(by_size(x)) if possible else 0
    if found < sizes:
        different = f" ({found} different)" if possible else ""
        raise DataError(
            f"{x.size} numbers of tokens{different} and {p.size} perplexities",
            wanted=f"a perplexity above 1 for each run, and runs of at least {sizes} sizes",
            fix="add monolingual runs of other lengths",
        )
    return x, p


def never_better() -> DataError:
    """What is wrong with runs of which longer ones are no better."""
    return DataError(
        "perplexity does not fall with tokens in these runs",
        wanted="monolingual runs of which longer ones are better",
        fix="check that each perplexity stands beside its own tokens, on one test set",
    )


def with_other_noise(expected: Array, observed: Array, *, parameters: int, draws: int, seed: int) -> Array:
    """Runs as they could have come out: each what is expected of it, and the distance of one that is drawn.

    Args:
        expected, observed: (runs,).
        parameters: that what is expected was fitted with: distances are stretched by
            sqrt(runs / (runs - parameters)), since a curve lies nearer to its own runs than to others.

    Returns:
        (draws, runs); (0, runs) where there are no more runs than parameters.
    """
    count = len(observed)
    if count <= parameters:
        return np.empty((0, count))
    distances = (observed - expected) * np.sqrt(count / (count - parameters))
    return np.asarray(expected + distances[generator(seed, "residuals").integers(count, size=(draws, count))])


def off_by(curve: Curve, tokens: Array, perplexities: Array) -> float:
    """A curve's perplexity over that of some runs (geometric mean), minus 1."""
    return float(np.exp(np.log(curve.perplexity(tokens) / perplexities).mean()) - 1)


def _beyond(curve: Curve, observed: float) -> DataError:
    is_better = observed <= curve.best
    limit = f"lower than {curve.best:.4g}" if is_better else f"higher than {curve.worst:.4g}"
    return DataError(
        f"perplexity {observed:.4g}, and the curve of monolingual runs goes no {limit}",
        wanted="one that some number of monolingual tokens gives",
        fix=f"fit it to {'longer' if is_better else 'shorter'} monolingual runs too",
    )


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


def _estimate(value: float, drawn: Array, level: float) -> Estimate:
    """Percentiles that may be infinite: between a number and infinity nothing can be interpolated."""
    if not drawn.size:
        return Estimate(value, float("nan"), float("nan"))
    low = np.quantile(drawn, (1 - level) / 2, method="lower")
    high = np.quantile(drawn, (1 + level) / 2, method="higher")
    return Estimate(value, float(low), float(high))
