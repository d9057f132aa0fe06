"""Turkish suffixes: vowel harmony, buffer consonants, and consonants that soften before a vowel.

Suffixes are written with the letters that vary in capitals: A is a or e; I is ı, i, u or ü; D is d or t. A
buffer in brackets, as in `(y)I`, is said after a vowel only.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Case: TypeAlias = Literal["nom", "acc", "dat", "loc"]

_FRONT, _ROUND = "eiöü", "ouöü"
_VOWELS = "aâıoueiöü"
_VOICELESS = "fstkçşhp"

_CASES: dict[Case, str] = {"nom": "", "acc": "(y)I", "dat": "(y)A", "loc": "DA"}
_CASES_AFTER_POSSESSIVE: dict[Case, str] = {"nom": "", "acc": "nI", "dat": "nA", "loc": "nDA"}


def attach(form: str, suffix: str, *, soft: str = "", front: bool = False, proper: bool = False) -> str:
    """A form with a suffix.

    Args:
        suffix: such as "lAr", "(y)I" or "mADI"; "" for none.
        soft: what the form becomes before a vowel (kitap: "kitab"); "" if it stays.
        front: takes front vowels against its own last vowel (Senegal'de).
        proper: an apostrophe stands before the suffix.

    >>> attach("kitap", "(y)I", soft="kitab"), attach("Paris", "DA", proper=True)
    ('kitabı', "Paris'te")
    """
    if not suffix:
        return form
    if suffix[0] == "(":
        suffix = suffix[1] + suffix[3:] if form[-1] in _VOWELS else suffix[3:]
    if soft and suffix[0] in "AI":
        form = soft
    vowel = next(letter for letter in reversed(form) if letter in _VOWELS)
    is_front, is_round = front or vowel in _FRONT, vowel in _ROUND
    said, last = "", form[-1]
    for letter in suffix:
        if letter == "A":
            letter, is_round = ("e" if is_front else "a"), False
        elif letter == "I":
            letter = ("ü" if is_round else "i") if is_front else ("u" if is_round else "ı")
        elif letter == "D":
            letter = "t" if last in _VOICELESS else "d"
        said, last = said + letter, letter
    return f"{form}'{said}" if proper else form + said


def decline(
    form: str,
    case: Case,
    *,
    soft: str = "",
    plural: bool = False,
    possessed: bool = False,
    irregular: str = "",
) -> str:
    """A common noun in a case, perhaps in the plural, perhaps as someone's.

    Args:
        irregular: the possessed singular if it is not regular (su: "suyu").
    """
    if plural:
        form, soft = attach(form, "lAr"), ""
    if not possessed:
        return attach(form, _CASES[case], soft=soft)
    owned = irregular if irregular and not plural else attach(form, "(s)I", soft=soft)
    return attach(owned, _CASES_AFTER_POSSESSIVE[case])


def decline_name(form: str, case: Case, *, front: bool = False) -> str:
    """A name in a case, its suffix after an apostrophe."""
    return attach(form, _CASES[case], front=front, proper=True)


def genitive_name(form: str) -> str:
    """The name of an owner: Anna'nın."""
    return attach(form, "(n)In", proper=True)
