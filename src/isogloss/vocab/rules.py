"""Which tokens of a vocabulary are worth their rows: three rules, each over any number of languages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import RecipeError

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Close = Callable[[Flags], Flags]
"""Adds to flags by id what those tokens need, and what stays in any case."""


@dataclass(frozen=True)
class ByProbability:
    """A token stays if its share of any one language's tokens reaches a bound (BiStil, 2306.01709).

    Attributes:
        minimum: in [0, 1]; 0 keeps every token that occurs at all.
    """

    minimum: float = 1e-6

    def __post_init__(self) -> None:
        _check_share(self.minimum, "a least probability")

    def choose(self, counts: Mapping[str, Ints], close: Close) -> Flags:
        """Flags by id, closed."""
        frequent = [(count > 0) & (count >= self.minimum * count.sum()) for count in counts.values()]
        return close(np.any(frequent, axis=0))


@dataclass(frozen=True)
class ByCoverage:
    """Of each language, the fewest tokens that make up a share of its text stay.

    Attributes:
        share: of each language's tokens, in [0, 1]; 1 keeps every token that occurs at all.
    """

    share: float

    def __post_init__(self) -> None:
        _check_share(self.share, "a coverage")

    def choose(self, counts: Mapping[str, Ints], close: Close) -> Flags:
        """Flags by id, closed."""
        return close(np.any([_covering(count, self.share) for count in counts.values()], axis=0))


@dataclass(frozen=True)
class BySize:
    """The tokens of the highest share in any one language stay, as many as there is room for.

    Attributes:
        size: entries at most, those that stay in any case among them. Fewer stay when the text uses fewer,
            or when the next token needs more others than there is room for.
    """

    size: int

    def choose(self, counts: Mapping[str, Ints], close: Close) -> Flags:
        """Flags by id, closed.

        Raises:
            RecipeError: what stays in any case does not fit.
        """
        ranked = by_share(counts)

        def first(number: int) -> Flags:
            chosen = np.zeros(len(next(iter(counts.values()))), dtype=np.bool_)
            chosen[ranked[:number]] = True
            return close(chosen)

        least = int(first(0).sum())
        if least > self.size:
            raise RecipeError(
                f"a trimmed vocabulary of {self.size:,} entries",
                wanted=f"at least {least:,}, as many as special tokens and the alphabet take",
                fix="raise the size, or keep fewer letters (alphabet: seen)",
            )
        numbers = range(1, len(ranked) + 1)
        return first(bisect_right(numbers, self.size, key=lambda number: int(first(number).sum())))


def by_share(counts: Mapping[str, Ints]) -> Ints:
    """Ids of all tokens that occur, those of the highest share in any one language first, ties by id."""
    shares = np.max([count / count.sum() for count in counts.values()], axis=0)
    return np.argsort(-shares, kind="stable")[: int((shares > 0).sum())]


Rule: TypeAlias = ByProbability | ByCoverage | BySize


def rule_of(
    *, min_probability: float | None = None, size: int | None = None, coverage: float | None = None
) -> Rule:
    """The rule that one of three numbers stands for; none of them: a probability of 1e-6, as published.

    Raises:
        RecipeError: more than one is given, or one is out of its range.
    """
    given = [number for number in (min_probability, size, coverage) if number is not None]
    if len(given) > 1:
        raise RecipeError(
            "several rules for one vocabulary",
            wanted="one of a least probability, a size and a coverage",
            fix="leave out the others",
        )
    if size is not None:
        return BySize(size)
    if coverage is not None:
        return ByCoverage(coverage)
    return ByProbability() if min_probability is None else ByProbability(min_probability)


def _covering(count: Ints, share: float) -> Flags:
    """The most frequent tokens, ties by id, until they make up the share."""
    order = np.argsort(-count, kind="stable")
    before = np.cumsum(count[order]) - count[order]
    chosen = np.zeros(len(count), dtype=np.bool_)
    chosen[order] = (before < share * count.sum()) & (count[order] > 0)
    return chosen


def _check_share(share: float, what: str) -> None:
    if not 0 <= share <= 1:
        raise RecipeError(f"{what} of {share}", wanted="a number from 0 to 1", fix="write 0.1 % as 0.001")
