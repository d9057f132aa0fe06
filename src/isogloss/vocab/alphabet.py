"""The letters a trimmed vocabulary keeps, so that words of dropped pieces can still be spelt.

A letter here is any single character. Marks, digits, punctuation and symbols belong to no script.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

from isogloss.core.errors import RecipeError, did_you_mean

Alphabet: TypeAlias = Literal["scripts", "seen", "whole"]
_OF_A_LANGUAGE = 0.01
"""A script with a smaller share of a language's letters is that of names and quotations."""


def kept_letters(
    alphabet: Alphabet, *, known: Iterable[str], used: Mapping[str, Mapping[str, int]]
) -> set[str]:
    """Which of the vocabulary's letters stay.

    Args:
        alphabet: `seen`, the letters that occur; `scripts`, also the others of the scripts that make up 1 %
            or more of some language's letters, and all characters of no script; `whole`, all.
        known: the letters of the vocabulary.
        used: per language, the occurrences of each letter.

    Raises:
        RecipeError: no such alphabet.
    """
    if alphabet not in get_args(Alphabet):
        raise RecipeError(
            f"the alphabet {alphabet!r}",
            wanted=f"one of: {', '.join(get_args(Alphabet))}",
            fix=did_you_mean(alphabet, get_args(Alphabet)),
        )
    seen = {letter for letters in used.values() for letter in letters}
    if alphabet == "seen":
        return seen.intersection(known)
    if alphabet == "whole":
        return set(known)
    scripts = {"", *(script for letters in used.values() for script in _scripts(letters))}
    return {letter for letter in known if letter in seen or script_of(letter) in scripts}


def _scripts(letters: Mapping[str, int]) -> set[str]:
    shares: Counter[str] = Counter()
    for letter, count in letters.items():
        shares[script_of(letter)] += count
    del shares[""]
    return {script for script, count in shares.items() if count >= _OF_A_LANGUAGE * shares.total()}


@lru_cache(maxsize=1 << 16)
def script_of(letter: str) -> str:
    """The script in the words of Unicode's names (LATIN, CJK, DEVANAGARI); "" for what belongs to none.

    Python has no table of scripts, but the names of letters begin with their script.
    """
    if not unicodedata.category(letter).startswith(("L", "M")):
        return ""
    first = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
    return "" if first in ("COMBINING", "MODIFIER") else first
