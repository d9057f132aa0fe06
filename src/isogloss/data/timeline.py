"""Which shares are in force at which draw: pieces of constant shares, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import RecipeError

Shares = Mapping[str, float]
Numbers = npt.NDArray[np.float64]


def fixed_shares(shares: Shares) -> dict[str, float]:
    """Given shares, scaled to sum to 1. A language with share 0 stays in the mixture and is never drawn."""
    total = sum(shares.values())
    wrong = {language: share for language, share in shares.items() if not 0 <= share < float("inf")}
    if wrong or not total > 0:
        raise RecipeError(
            f"shares {dict(wrong or shares)}",
            wanted="numbers of 0 or more, at least one of them above 0",
            fix="correct the mixture's shares; they need not sum to 1",
        )
    return {language: share / total for language, share in shares.items()}


@dataclass(frozen=True, eq=False)
class Timeline:
    """Shares over the draws of a training.

    Attributes:
        names: the languages.
        starts: the first draw of each piece, the first of all 0, rising; (pieces,).
        shares: of each piece, each row summing to 1; (pieces, languages).
    """

    names: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    shares: Numbers

    @classmethod
    def of(cls, pieces: Sequence[tuple[int, Shares]]) -> Timeline:
        """A timeline from pieces in order, each with its first draw; one that no draw falls into is left out.

        Raises:
            RecipeError: a negative share, or nothing above 0.
        """
        names = tuple(pieces[0][1])
        rows = {first: list(fixed_shares(shares).values()) for first, shares in pieces}
        return cls(names, np.array(list(rows), dtype=np.int64), np.array(list(rows.values())))

    def then(self, first: int, shares: Shares) -> Timeline:
        """This timeline up to draw `first`, and from there on these shares."""
        before = self.starts < first
        row = list(fixed_shares({name: shares[name] for name in self.names}).values())
        return Timeline(
            self.names, np.append(self.starts[before], first), np.vstack([self.shares[before], row])
        )

    def scaled(self, draws: int) -> Timeline:
        """The same over `draws` times as many draws: from steps to draws."""
        return Timeline(self.names, self.starts * draws, self.shares)

    def weighed(self, factors: Shares) -> Timeline:
        """Each share times a factor of its language, scaled to sum to 1 again."""
        rows = self.shares * np.array([factors[name] for name in self.names])
        return Timeline(self.names, self.starts, rows / rows.sum(axis=1, keepdims=True))

    def at(self, draw: int) -> dict[str, float]:
        """The shares in force at a draw."""
        piece = int(np.searchsorted(self.starts, draw, side="right")) - 1
        return dict(zip(self.names, self.shares[piece].tolist(), strict=True))

    def mean(self, stop: int) -> dict[str, float]:
        """The mean of the shares in force at draws 0, …, stop - 1: what each language is expected to get."""
        lengths = np.diff(np.minimum(np.append(self.starts, stop), stop))
        found = lengths @ self.shares / max(1, stop)
        return dict(zip(self.names, found.tolist(), strict=True))

    def pieces(self, start: int, stop: int) -> Iterator[tuple[int, int, Numbers]]:
        """The pieces that draws start, …, stop - 1 fall into: first draw, end, and cumulative shares."""
        piece = int(np.searchsorted(self.starts, start, side="right")) - 1
        while start < stop:
            end = int(self.starts[piece + 1]) if piece + 1 < len(self.starts) else stop
            yield start, min(end, stop), self._upper[piece]
            start, piece = end, piece + 1

    @cached_property
    def _upper(self) -> Numbers:
        """Cumulative shares; exactly 1 from the last language with a share on, so rounding draws no other."""
        upper = np.cumsum(self.shares, axis=1)
        width = len(self.names)
        last = width - 1 - np.argmax(self.shares[:, ::-1] > 0, axis=1)
        upper[np.arange(width) >= last[:, None]] = 1.0
        return upper
