"""How much of each language: shares, and the draw that follows them.

The language of draw *i* depends on (seed, *i*) alone, so any number of workers agree on it and a resumed run
needs no saved state. A draw is one sequence, or one batch where batches are monolingual.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from isogloss.core.config import Record
from isogloss.core.errors import RecipeError, did_you_mean
from isogloss.core.fields import LanguageShares
from isogloss.core.seeds import uniforms

_BLOCK = 1 << 14
_BLOCKS_KEPT = 4
_STREAM = "mixture"

Shares = Mapping[str, float]
Sizes = Mapping[str, int]


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
    """An endless stream of draws, each of one language, at fixed shares.

    `texts` gives for each language the index of the first that reads the same text; (languages,).

    `languages` and `draws` answer for any stretch of the stream in any order. Positions come from counts
    at block borders, worked out once as far as anyone has asked: a first look at draw 10^9 costs about half
    a minute, the next one a block of 16,384 draws.
    """

    def __init__(self, shares: Shares, *, seed: int, texts: Mapping[str, str] | None = None) -> None:
        """Start the stream.

        Args:
            shares: per language, scaled to sum to 1; their order is the order of language indices.
            seed: of the run.
            texts: the language whose text a language reads, for those that read another's: clones of one
                language take turns through its text. None: each reads its own.

        Raises:
            RecipeError: a negative share, or nothing above 0.
        """
        self.shares = fixed_shares(shares)
        self.names = tuple(self.shares)
        self.seed = seed
        self.texts = _texts(self.names, texts or {})
        self._upper = _upper_bounds(self.shares)
        self._counts = np.zeros((1, len(self.names)), dtype=np.int64)
        self._blocks: OrderedDict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = OrderedDict()

    def languages(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Language indices (into `names`) of draws start, …, stop - 1; (stop - start,)."""
        drawn = uniforms(self.seed, _STREAM, np.arange(start, stop, dtype=np.uint64))
        return np.searchsorted(self._upper, drawn, side="right").astype(np.int64)

    def draws(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """`languages` of a stretch, and for each draw how many earlier ones had its language's text.

        Both (stop - start,).
        """
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
            texts = self.texts[languages]
            self._blocks[block] = languages, self._counts[block][texts] + _ranks(texts)
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block)
        return self._blocks[block]

    def _count_up_to(self, block: int) -> None:
        """Extend the counts at block borders to the beginning of a block."""
        if block < len(self._counts):
            return
        width = len(self.names)
        counts = [
            np.bincount(self.texts[self.languages(b * _BLOCK, (b + 1) * _BLOCK)], minlength=width)
            for b in range(len(self._counts) - 1, block)
        ]
        self._counts = np.vstack([self._counts, self._counts[-1] + np.cumsum(counts, axis=0)])


def _texts(names: tuple[str, ...], read: Mapping[str, str]) -> npt.NDArray[np.int64]:
    """For each language, the first of those that read the same text; (languages,)."""
    whose = [read.get(name, name) for name in names]
    return np.array([whose.index(text) for text in whose], dtype=np.int64)


def _upper_bounds(shares: Shares) -> npt.NDArray[np.float64]:
    """Cumulative shares; from the last language with a share on, exactly 1, so rounding draws no other."""
    values = np.array(list(shares.values()))
    upper = np.cumsum(values)
    upper[np.flatnonzero(values)[-1] :] = 1.0
    return upper


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
    """

    kind: Literal["fixed", "proportional", "tempered", "unimax"] = "proportional"
    shares: LanguageShares | None = None
    alpha: float | None = Field(default=None, ge=0, le=1)
    max_epochs: float | None = Field(default=None, gt=0)

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
        _same_languages(shares, tokens)
        return fixed_shares({language: shares[language] for language in tokens})


def _same_languages(shares: Shares, tokens: Sizes) -> None:
    for language in shares:
        if language not in tokens:
            raise RecipeError(
                f"the mixture has a share for {language!r}, which has no corpus",
                fix=did_you_mean(language, tokens),
            )
    if missing := [language for language in tokens if language not in shares]:
        raise RecipeError(
            f"the mixture has no share for {', '.join(missing)}",
            wanted="a share for every language that has a corpus",
            fix="add it, 0 if the language shall not be drawn",
        )
