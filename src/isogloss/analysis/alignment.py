"""How alike a model's states are in two languages, layer by layer: cosine, matching, CKA, retrieval.

Axes: states, the numbered hidden states of a model; tokens, of one sequence; hidden.

Cosines alone mislead: states of a transformer lie in a narrow cone, so any two are alike (Ethayarajh, 2019,
1909.00512). So each cosine stands beside two that hold no alignment: of all pairs of tokens (the floor), and
of the same measure on sequences that do not belong together (chance). And each is given again for states from
which their language's mean was taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import DataError
from isogloss.core.resampling import Estimate, draw_counts, interval

Array: TypeAlias = npt.NDArray[np.float64]
States: TypeAlias = npt.NDArray[np.floating]
Pairing: TypeAlias = Literal["one-to-one", "matching"]
"""Which tokens of two sequences belong together: those at the same place (clones), or the best matching."""

_LEAST = 1e-12
_DEBIASED_ROWS = 4
_SIDES = ((0, 0), (0, 1), (1, 1))


def unit(vectors: States) -> Array:
    """Each vector, along the last axis, at length 1; zeros stay zeros."""
    exact = np.asarray(vectors, dtype=np.float64)
    return exact / np.maximum(np.linalg.norm(exact, axis=-1, keepdims=True), _LEAST)


def row_cosines(first: States, second: States) -> Array:
    """Cosines of vectors at the same places: (..., hidden) twice to (...)."""
    return np.asarray((unit(first) * unit(second)).sum(axis=-1))


def mean_cosine_of_all_pairs(first: States, second: States) -> Array:
    """The mean cosine of each vector of one with each of the other; (..., tokens, hidden) twice to (...)."""
    return np.asarray((unit(first).mean(axis=-2) * unit(second).mean(axis=-2)).sum(axis=-1))


def matching(similarity: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The matching of rows and columns with the largest sum of similarities.

    Every row or every column has a partner, whichever are fewer, so no token is left out because it has none
    that is like it.

    Args:
        similarity: (rows, columns), finite.

    Returns:
        Rows in ascending order, and the column of each.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.asarray(similarity), maximize=True)
    return rows.astype(np.int64), columns.astype(np.int64)


class Likeness(NamedTuple):
    """How alike the tokens of one sequence are in two languages, each (states,).

    Attributes:
        paired: mean cosine of the tokens that belong together.
        floor: mean cosine of all pairs of tokens.
    """

    paired: Array
    floor: Array


def likeness(first: States, second: States, pairing: Pairing) -> Likeness:
    """Compare one sequence in two languages.

    Args:
        first: (states, tokens, hidden), at least one token.
        second: likewise; its number of tokens may differ where `pairing` is "matching".
        pairing: "one-to-one" pairs tokens at the same place, as many as both have; "matching" takes the
            maximum-weight matching on the cosine averaged over states, one matching for all of them.
    """
    one, other = unit(first), unit(second)
    floor = np.asarray((one.mean(axis=1) * other.mean(axis=1)).sum(axis=-1))
    if pairing == "one-to-one":
        shorter = min(one.shape[1], other.shape[1])
        one, other = one[:, :shorter], other[:, :shorter]
    else:
        rows, columns = matching(np.einsum("sth,suh->tu", one, other))
        one, other = one[:, rows], other[:, columns]
    return Likeness(np.asarray((one * other).sum(axis=-1).mean(axis=-1)), floor)


@dataclass(frozen=True, slots=True, eq=False)
class TokenAlignment:
    """Likeness of tokens over many sequences, each (sequences, states).

    Attributes:
        cosine: of tokens that belong together.
        floor: of all pairs of tokens in the two sequences.
        chance: as `cosine`, with the sequence before; NaN for the first.
    """

    cosine: Array
    floor: Array
    chance: Array

    def estimates(self, *, seed: int = 0, draws: int = 1000) -> dict[str, list[Estimate]]:
        """Means over the sequences, with intervals over them, for each state: by the names above."""
        return {
            name: mean_estimates(getattr(self, name), seed=seed, draws=draws)
            for name in ("cosine", "floor", "chance")
        }


class TokenComparison:
    """Sequences in two languages, compared one after another; no more than two are held."""

    def __init__(self, pairing: Pairing, *, means: tuple[States, States] | None = None) -> None:
        """Begin with nothing.

        Args:
            pairing: as in `likeness`.
            means: of each language, (states, hidden), to be taken from every token; None for states as
                they are.
        """
        self._pairing: Pairing = pairing
        self._means = means
        self._before: States | None = None
        self._rows: list[tuple[Array, Array, Array]] = []

    def add(self, first: States, second: States) -> None:
        """Take in a sequence, (states, tokens, hidden) in each language, of one token or more."""
        if self._means is not None:
            first, second = first - self._means[0][:, None], second - self._means[1][:, None]
        found = likeness(first, second, self._pairing)
        chance = np.full(len(first), np.nan)
        if self._before is not None:
            chance = likeness(first, self._before, self._pairing).paired
        self._before = second
        self._rows.append((found.paired, found.floor, chance))

    def result(self) -> TokenAlignment:
        """What was found so far.

        Raises:
            DataError: no sequence.
        """
        if not self._rows:
            raise DataError("no aligned sequence", wanted="at least one text that both languages have")
        return TokenAlignment(*(np.stack(column) for column in zip(*self._rows, strict=True)))


def mean_estimates(values: Array, *, seed: int = 0, draws: int = 1000) -> list[Estimate]:
    """The mean of each column over rows, with an interval over rows; rows with NaN are left out.

    Args:
        values: (items, columns).
    """
    kept = values[~np.isnan(values).any(axis=1)]
    if not len(kept):
        return [Estimate(float("nan"), float("nan"), float("nan"))] * values.shape[1]
    drawn = draw_counts(len(kept), draws=draws, seed=seed, name="sequences") @ kept / len(kept)
    return [interval(float(mean), column) for mean, column in zip(kept.mean(axis=0), drawn.T, strict=True)]


class Retrieval(NamedTuple):
    """How well a text finds itself in the other language by cosine.

    Attributes:
        accuracy: share of texts whose nearest in the other language is their own, in [0, 1].
        reciprocal_rank: mean of 1 over the rank of their own, in (0, 1].
    """

    accuracy: Estimate
    reciprocal_rank: Estimate


def retrieval(first: States, second: States, *, seed: int = 0, draws: int = 1000) -> Retrieval:
    """Look for each text of the first language among all texts of the second; call it both ways.

    A text that is as near as the right one counts as nearer, so a model that says the same of every text
    finds nothing. Intervals are over the texts that are looked for, among the same candidates.

    Args:
        first: (texts, hidden).
        second: the same texts in the other language.

    Raises:
        DataError: not as many texts, or none.
    """
    _check_rows(first, second)
    similarity = unit(first) @ unit(second).T
    own = np.diagonal(similarity)[:, None]
    # Sums of products come out differently by order, so equals are equals up to rounding.
    ranks = (similarity >= own - 1e-9).sum(axis=1)
    scores = np.stack([ranks == 1, 1 / ranks], axis=1).astype(np.float64)
    return Retrieval(*mean_estimates(scores, seed=seed, draws=draws))


def centred(vectors: States) -> Array:
    """Without the mean over rows; (rows, hidden)."""
    exact = np.asarray(vectors, dtype=np.float64)
    return np.asarray(exact - exact.mean(axis=0))


def cka(first: States, second: States, *, debiased: bool = True) -> float:
    """Linear CKA of the same rows in two languages; see `LinearCKA`.

    Args:
        first: (rows, hidden).
        second: (rows, other hidden).

    Raises:
        DataError: not the same number of rows, or too few.
    """
    _check_rows(first, second)
    measure = LinearCKA()
    measure.add(first, second)
    return measure.value(debiased=debiased)


class LinearCKA:
    """Linear centred kernel alignment (Kornblith et al., 2019, 1905.00414), over rows that come in blocks.

    1 when the states of one are the other's turned and scaled, 0 when they have nothing in common. Memory is
    that of three covariances of features, whatever the number of rows.

    The plain estimate is near 1 for any two when there are fewer rows than features. The debiased one is
    the unbiased HSIC of Song et al. (2012, equation 5), in terms of features: 0 on average for states that
    have nothing in common, and so below 0 at times.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._shift: tuple[Array, ...] = ()
        self._sums: dict[int, Array] = {}
        self._products: dict[tuple[int, int], Array] = {}
        self._norms: dict[tuple[int, int], float] = {}
        self._weighted: dict[tuple[int, int], Array] = {}

    def add(self, first: States, second: States) -> None:
        """Take in a block of rows, (rows, hidden) and (rows, other hidden).

        Raises:
            DataError: not the same number of rows, or none.
        """
        _check_rows(first, second)
        sides = [np.asarray(side, dtype=np.float64) for side in (first, second)]
        # CKA does not see a shift; near the mean, the sums below lose no digits to it.
        self._shift = self._shift or tuple(side.mean(axis=0) for side in sides)
        sides = [side - shift for side, shift in zip(sides, self._shift, strict=True)]
        squares = [(side**2).sum(axis=1) for side in sides]
        self.rows += len(first)
        for i, side in enumerate(sides):
            self._sums[i] = self._sums.get(i, 0.0) + side.sum(axis=0)
        for i, j in _SIDES:
            self._products[i, j] = self._products.get((i, j), 0.0) + sides[i].T @ sides[j]
            self._norms[i, j] = self._norms.get((i, j), 0.0) + float(squares[i] @ squares[j])
        for i, j in (*_SIDES, (1, 0)):
            self._weighted[i, j] = self._weighted.get((i, j), 0.0) + squares[i] @ sides[j]

    def value(self, *, debiased: bool = True) -> float:
        """CKA of the rows so far; NaN where one of the two does not vary.

        Raises:
            DataError: fewer than 2 rows, or than 4 where debiased.
        """
        least = _DEBIASED_ROWS if debiased else 2
        if self.rows < least:
            raise DataError(f"CKA of {self.rows} rows", wanted=f"at least {least}")
        hsic = self._debiased_hsic if debiased else self._hsic
        one, both, other = (hsic(*pair) for pair in _SIDES)
        return float(both / np.sqrt(one * other)) if one > 0 and other > 0 else float("nan")

    def _hsic(self, i: int, j: int) -> float:
        """Up to a factor that CKA does not see."""
        means = np.outer(self._sums[i], self._sums[j]) / self.rows
        return float(((self._products[i, j] - means) ** 2).sum())

    def _debiased_hsic(self, i: int, j: int) -> float:
        """Song's equation 5 up to a factor; K and L are the kernels with zeros on their diagonals."""
        n, product, norms = self.rows, self._products[i, j], self._norms[i, j]
        s, t = self._sums[i], self._sums[j]
        trace = float((product**2).sum()) - norms  # of K L
        sums = (s @ s - np.trace(self._products[i, i])) * (t @ t - np.trace(self._products[j, j]))
        rows = s @ product @ t - s @ self._weighted[j, i] - t @ self._weighted[i, j] + norms  # 1 K L 1
        return float(trace + sums / ((n - 1) * (n - 2)) - 2 * rows / (n - 2))


def _check_rows(first: States, second: States) -> None:
    if len(first) != len(second) or not len(first):
        raise DataError(
            f"{len(first)} rows in one language and {len(second)} in the other",
            wanted="the same texts in both, in the same order, and some",
        )
