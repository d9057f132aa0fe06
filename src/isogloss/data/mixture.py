"""How much of each language: shares, and the draw that follows them.

The language of draw *i* depends on (seed, *i*, the shares in force at *i*) alone, so any number of workers
agree on it and a resumed run needs no saved state. A draw is one sequence, or one batch where batches are
monolingual.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from isogloss.core.config import Record
from isogloss.core.errors import RecipeError
from isogloss.core.fields import LanguageShares
from isogloss.core.seeds import uniforms
from isogloss.data.timeline import Shares, Timeline, fixed_shares

Unit: TypeAlias = Literal["sequences", "tokens"]
"""What a share is a share of."""

_BLOCK = 1 << 14
_BLOCKS_KEPT = 4
_STREAM = "mixture"

Sizes = Mapping[str, int]


def proportional_shares(tokens: Sizes) -> dict[str, float]:
    """Share ∝ tokens: one pass over everything shows every token once."""
    return tempered_shares(tokens, alpha=1.0)


def tempered_shares(tokens: Sizes, *, alpha: float) -> dict[str, float]:
    """Share ∝ tokens^alpha.

    alpha = 1/T for the sampling temperature T of multilingual BERT and mT5 (Xue et al., 2021, 2010.11934,
    use alpha 0.3): 1 is proportional, 0 gives every language the same share.
    """
    return fixed_shares({language: float(count) ** alpha for language, count in _checked(tokens).items()})


def unimax_shares(tokens: Sizes, *, budget: int, max_epochs: float) -> dict[str, float]:
    """UniMax (Chung et al., 2023, 2304.09151, algorithm 1): as uniform as an epoch cap allows.

    Languages are taken from the smallest up; each gets an equal part of the budget that is left, but no
    more than `max_epochs` passes over its own tokens. What it cannot use goes to the larger ones.

    Args:
        tokens: available tokens per language.
        budget: tokens the whole run will draw.
        max_epochs: the cap, above 0.

    Raises:
        RecipeError: even every language at its cap cannot fill the budget.
    """
    room = int(sum(_checked(tokens).values()) * max_epochs)
    if room < budget:
        raise RecipeError(
            f"a budget of {budget:,} tokens, but {max_epochs:g} epochs of all languages hold {room:,}",
            wanted="a budget that fits under the epoch cap",
            fix="take fewer steps, add text, or raise max_epochs",
        )
    drawn: dict[str, float] = {}
    left = float(budget)
    smallest_first = sorted(tokens, key=lambda language: (tokens[language], language))
    for done, language in enumerate(smallest_first):
        drawn[language] = min(left / (len(tokens) - done), tokens[language] * max_epochs)
        left -= drawn[language]
    return fixed_shares({language: drawn[language] for language in tokens})


def _checked(tokens: Sizes) -> Sizes:
    empty = [language for language, count in tokens.items() if count < 1]
    if empty or not tokens:
        raise RecipeError(
            f"no tokens for {', '.join(empty) or 'any language'}",
            wanted="at least one token for each language of the mixture",
            fix="give the language a corpus, or leave it out",
        )
    return tokens


class Mixture:
    """An endless stream of draws, each of one language, at the shares in force.

    `languages` and `draws` answer for any stretch of the stream in any order. Positions come from counts
    at block borders, worked out once as far as anyone has asked: a first look at draw 10^9 costs about half
    a minute, the next one a block of 16,384 draws.

    `texts` gives for each language the index of the first that reads the same text; (languages,).
    """

    def __init__(
        self, shares: Shares | Timeline, *, seed: int, texts: Mapping[str, str] | None = None
    ) -> None:
        """Start the stream.

        Args:
            shares: per language, scaled to sum to 1, or those of each draw; their order is the order of
                language indices.
            seed: of the run.
            texts: the language whose text a language reads, for those that read another's: clones of one
                language take turns through its text. None: each reads its own.

        Raises:
            RecipeError: a negative share, or nothing above 0.
        """
        timeline = shares if isinstance(shares, Timeline) else Timeline.of([(0, shares)])
        self.names, self.seed = timeline.names, seed
        self.texts = _texts(self.names, texts or {})
        self._course = _Course(timeline, seed, self.texts)

    @property
    def timeline(self) -> Timeline:
        """The shares of each draw, as far as they are decided."""
        return self._course.timeline

    @property
    def shares(self) -> dict[str, float]:
        """The shares of the first draw; where they never change, of every one."""
        return self.timeline.at(0)

    def change(self, first: int, shares: Shares) -> None:
        """From draw `first` on, other shares; the draws before it stay as they are.

        Another thread may be asking for earlier draws meanwhile: what it sees is whole, before or after.
        """
        self._course = self._course.changed(first, shares)

    def languages(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Language indices (into `names`) of draws start, …, stop - 1; (stop - start,)."""
        return self._course.languages(start, stop)

    def drawn(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """How many of draws start, …, stop - 1 each language has; (languages,)."""
        counts = np.zeros(len(self.names), dtype=np.int64)
        for first in range(start, stop, _BLOCK):
            counts += np.bincount(self.languages(first, min(first + _BLOCK, stop)), minlength=len(self.names))
        return counts

    def draws(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """`languages` of a stretch, and for each draw how many earlier ones had its language's text.

        Both (stop - start,).
        """
        return self._course.draws(start, stop)


class _Course:
    """The draws of one timeline, and what was worked out of them so far."""

    def __init__(self, timeline: Timeline, seed: int, texts: npt.NDArray[np.int64]) -> None:
        self.timeline, self._seed, self._texts = timeline, seed, texts
        self._counts = np.zeros((1, len(texts)), dtype=np.int64)
        self._blocks: OrderedDict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = OrderedDict()

    def changed(self, first: int, shares: Shares) -> _Course:
        """What was counted of blocks that end before draw `first` still holds."""
        course = _Course(self.timeline.then(first, shares), self._seed, self._texts)
        course._counts = self._counts[: first // _BLOCK + 1]
        return course

    def languages(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        drawn = uniforms(self._seed, _STREAM, np.arange(start, stop, dtype=np.uint64))
        found = np.empty(len(drawn), dtype=np.int64)
        for first, end, upper in self.timeline.pieces(start, stop):
            inside = slice(first - start, end - start)
            found[inside] = np.searchsorted(upper, drawn[inside], side="right")
        return found

    def draws(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        if stop <= start:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        pieces = []
        for block in range(start // _BLOCK, (stop - 1) // _BLOCK + 1):
            first = block * _BLOCK
            inside = slice(max(start - first, 0), min(stop - first, _BLOCK))
            pieces.append([column[inside] for column in self._block(block)])
        languages, positions = zip(*pieces, strict=True)
        return np.concatenate(languages), np.concatenate(positions)

    def _block(self, block: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        if block not in self._blocks:
            self._count_up_to(block)
            languages = self.languages(block * _BLOCK, (block + 1) * _BLOCK)
            texts = self._texts[languages]
            self._blocks[block] = languages, self._counts[block][texts] + _ranks(texts)
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block)
        return self._blocks[block]

    def _count_up_to(self, block: int) -> None:
        """Extend the counts at block borders to the beginning of a block."""
        if block < len(self._counts):
            return
        width = len(self._texts)
        counts = [
            np.bincount(self._texts[self.languages(b * _BLOCK, (b + 1) * _BLOCK)], minlength=width)
            for b in range(len(self._counts) - 1, block)
        ]
        self._counts = np.vstack([self._counts, self._counts[-1] + np.cumsum(counts, axis=0)])


def _texts(names: tuple[str, ...], read: Mapping[str, str]) -> npt.NDArray[np.int64]:
    """For each language, the first of those that read the same text; (languages,)."""
    whose = [read.get(name, name) for name in names]
    return np.array([whose.index(text) for text in whose], dtype=np.int64)


def _ranks(languages: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each entry, how many entries before it are equal to it; (n,)."""
    order = np.argsort(languages, kind="stable")
    ordered = languages[order]
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(ordered)) - np.searchsorted(ordered, ordered, side="left")
    return ranks


class MixtureSpec(Record):
    """The `mixture:` part of a recipe.

    `fixed` reads `shares` (None: the same for all); `tempered` reads `alpha`; `unimax` reads `max_epochs`;
    `proportional` reads nothing.

    Attributes:
        by: "sequences": a share is one of the sequences drawn. "tokens": of the tokens in them; as all are of
            one length but for the last of a text, which is padded, this corrects the draws by each
            language's mean tokens of a sequence.
    """

    kind: Literal["fixed", "proportional", "tempered", "unimax"] = "proportional"
    shares: LanguageShares | None = None
    alpha: float | None = Field(default=None, ge=0, le=1)
    max_epochs: float | None = Field(default=None, gt=0)
    by: Unit = "sequences"

    @model_validator(mode="after")
    def _fields_belong_to_the_kind(self) -> MixtureSpec:
        reads = {"fixed": "shares", "tempered": "alpha", "unimax": "max_epochs"}.get(self.kind)
        given = [name for name in ("shares", "alpha", "max_epochs") if getattr(self, name) is not None]
        if stray := [name for name in given if name != reads]:
            raise ValueError(f"a {self.kind} mixture does not read {stray[0]}")
        if self.kind in ("tempered", "unimax") and reads not in given:
            raise ValueError(f"a {self.kind} mixture needs {reads}")
        return self

    def resolve(self, tokens: Sizes, *, budget: int) -> dict[str, float]:
        """The shares, summing to 1, in the order of `tokens`.

        Args:
            tokens: available tokens per language.
            budget: tokens the run will draw; only UniMax asks.

        Raises:
            RecipeError: `shares` names other languages than `tokens`, or the numbers cannot be met.
        """
        if self.kind == "proportional":
            return proportional_shares(tokens)
        if self.kind == "tempered":
            assert self.alpha is not None
            return tempered_shares(tokens, alpha=self.alpha)
        if self.kind == "unimax":
            assert self.max_epochs is not None
            return unimax_shares(tokens, budget=budget, max_epochs=self.max_epochs)
        shares = self.shares or dict.fromkeys(_checked(tokens), 1.0)
        same_languages(shares, tokens)
        return fixed_shares({language: shares[language] for language in tokens})


def same_languages(shares: Shares, tokens: Sizes, *, of: str = "the mixture") -> None:
    """Refuse shares of other languages than those there are.

    Args:
        of: what the shares belong to.

    Raises:
        RecipeError: a language that has no corpus, or one without a share.
    """
    for language in shares:
        if language not in tokens:
            raise RecipeError(
                f"{of} has a share for {language!r}, which has no corpus",
                wanted=f"shares of the languages there are: {', '.join(tokens)}",
                fix="give it a corpus, or take its share out",
            )
    if missing := [language for language in tokens if language not in shares]:
        raise RecipeError(
            f"{of} has no share for {', '.join(missing)}",
            wanted="a share for every language that has a corpus",
            fix="add it, 0 if the language shall not be drawn",
        )
