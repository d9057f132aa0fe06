"""Text in which each language has its share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from isogloss.core.errors import DataError, RecipeError
from isogloss.core.seeds import uniforms

Unit: TypeAlias = Literal["characters", "bytes"]
_MEASURE: dict[Unit, Callable[[str], int]] = {
    "characters": len,
    "bytes": lambda text: len(text.encode()),
}
_BLOCK = 4096


@dataclass(frozen=True)
class Sampling:
    """How often each text of a language is read.

    Attributes:
        passes: per language; 2.3 reads every text twice and three in ten of them once more.
        sizes: text there is per language, in `unit`.
        unit: what shares are measured in.
    """

    passes: dict[str, float]
    sizes: dict[str, int]
    unit: Unit

    def realised(self) -> dict[str, float]:
        """The share of each language that these passes come to, on average over seeds."""
        read = {language: self.passes[language] * size for language, size in self.sizes.items()}
        return {language: amount / sum(read.values()) for language, amount in read.items()}


def plan_sampling(
    corpora: Mapping[str, Iterable[str]],
    *,
    shares: Mapping[str, float] | None = None,
    budget: int | None = None,
    unit: Unit = "characters",
) -> Sampling:
    """Work out how much of each language to read; reads every corpus once, to measure it.

    Args:
        corpora: texts per language, readable more than once.
        shares: of the text, scaled to sum to 1; None: the same for all.
        budget: text wanted over all languages; None: the most that repeats no language.
        unit: what shares and budget are measured in; bytes give scripts of long encodings more letters less.

    Raises:
        RecipeError: shares for other languages than the corpora, or none above 0.
        DataError: a language with a share has no text.
    """
    shares = _shares(corpora, shares)
    measure = _MEASURE[unit]
    sizes = {language: sum(map(measure, corpora[language])) for language in shares}
    if empty := [language for language, size in sizes.items() if not size]:
        raise DataError(
            f"no text in {', '.join(empty)}",
            wanted="text in every language of the vocabulary",
            fix="check the corpus path, or give the language share 0",
        )
    if budget is None:
        budget = int(min(sizes[language] / share for language, share in shares.items()))
    passes = {language: share * budget / sizes[language] for language, share in shares.items()}
    return Sampling(passes=passes, sizes=sizes, unit=unit)


def _shares(corpora: Mapping[str, Iterable[str]], shares: Mapping[str, float] | None) -> dict[str, float]:
    """Shares above 0, scaled to sum to 1, in the order of the corpora."""
    shares = shares or dict.fromkeys(corpora, 1.0)
    used = {language: shares.get(language, 0.0) for language in corpora if shares.get(language, 0.0) > 0}
    if not used or set(shares) - set(corpora) or min(shares.values()) < 0:
        raise RecipeError(
            f"shares {dict(shares)} for the languages {', '.join(corpora) or '(none)'}",
            wanted="shares of 0 or more for languages that have a corpus, at least one above 0",
            fix="correct the shares of the vocabulary",
        )
    return {language: share / sum(used.values()) for language, share in used.items()}


def sampled(corpora: Mapping[str, Iterable[str]], sampling: Sampling, *, seed: int) -> Iterator[str]:
    """The text, language by language; whether text i is read once more depends on (seed, language, i)."""
    for language, passes in sampling.passes.items():
        whole, part = divmod(passes, 1.0)
        for _ in range(int(whole)):
            yield from corpora[language]
        if part:
            yield from _thinned(corpora[language], part, seed=seed, name=f"vocabulary/{language}")


def _thinned(texts: Iterable[str], part: float, *, seed: int, name: str) -> Iterator[str]:
    drawn = np.empty(0)
    for place, text in enumerate(texts):
        inside = place % _BLOCK
        if not inside:
            drawn = uniforms(seed, name, range(place, place + _BLOCK))
        if drawn[inside] < part:
            yield text
