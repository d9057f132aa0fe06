"""Russian declension: from the dictionary forms of a noun, adjective or numeral to its cases.

Tables give what cannot be derived (plurals, genitive plurals, fleeting vowels); the rest follows from endings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Case: TypeAlias = Literal["nom", "gen", "dat", "acc", "ins", "prep"]
Gender: TypeAlias = Literal["m", "f", "n", "p"]
"""Masculine, feminine, neuter, or plural: what a verb or an adjective agrees with."""

_HUSHERS = "жшчщ"
_NO_Y = "кгх" + _HUSHERS
"""Consonants after which ы is written и."""


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun or a name as a table gives it.

    Attributes:
        gender: "p" for what exists in the plural alone (деньги), given as `nominative` and `genitive`.
        genitive: "" if it follows from the nominative; equal to it for words that do not decline (кофе).
        plural, genitive_plural: "" for names and mass nouns.
    """

    nominative: str
    gender: Gender
    animate: bool
    genitive: str = ""
    plural: str = ""
    genitive_plural: str = ""

    @property
    def adjectival(self) -> bool:
        """Declined as an adjective is: портной."""
        return self.genitive.endswith("ого")

    def singular(self, case: Case) -> str:
        """The singular in a case (of "ins" there is no need); for plural-only nouns, that plural."""
        if self.gender == "p":
            return _plural(self.nominative, self.genitive, case, animate=self.animate)
        genitive = self.genitive or _genitive(self.nominative, self.gender)
        if case == "nom" or genitive == self.nominative:
            return self.nominative
        if case == "gen":
            return genitive
        if self.adjectival:
            return adjective(self.nominative, self.gender, case, animate=self.animate)
        if self.nominative[-1] in "ая":
            return _first_declension(self.nominative, case)
        if self.gender == "f":
            return self.nominative if case == "acc" else genitive
        return self._second_declension(genitive, case)

    def many(self, case: Case) -> str:
        """The plural in a case (not "ins")."""
        return _plural(self.plural, self.genitive_plural, case, animate=self.animate)

    def _second_declension(self, genitive: str, case: Case) -> str:
        """Masculines without an ending, and neuters."""
        stem, last = genitive[:-1], genitive[-1]
        if case == "acc":
            return genitive if self.animate else self.nominative
        if case == "dat":
            return stem + {"а": "у", "я": "ю"}[last]
        return stem + ("и" if self.nominative.endswith(("ие", "ий")) else "е")


def adjective(form: str, gender: Gender, case: Case, *, animate: bool) -> str:
    """An adjective, given in the masculine nominative; `animate` tells the accusatives apart.

    >>> adjective("хороший", "m", "dat", animate=True)
    'хорошему'
    """
    stem = form[:-2]
    o = "е" if form.endswith("ий") and stem[-1] in _HUSHERS else "о"
    y = "и" if stem[-1] in _NO_Y else "ы"
    if case == "acc" and gender != "f":
        case = "gen" if animate and gender != "n" else "nom"
    if gender == "f":
        return stem + {"nom": "ая", "acc": "ую"}.get(case, o + "й")
    if gender == "p":
        return stem + y + {"nom": "е", "dat": "м", "ins": "ми"}.get(case, "х")
    if case == "nom":
        return form if gender == "m" else stem + o + "е"
    return stem + {"gen": o + "го", "dat": o + "му", "ins": y + "м", "prep": o + "м"}[case]


_NUMERALS: Mapping[int, tuple[str, str, str]] = {
    2: ("два", "двух", "двум"),
    3: ("три", "трёх", "трём"),
    4: ("четыре", "четырёх", "четырём"),
    5: ("пять", "пяти", "пяти"),
    6: ("шесть", "шести", "шести"),
    7: ("семь", "семи", "семи"),
    8: ("восемь", "восьми", "восьми"),
    9: ("девять", "девяти", "девяти"),
    10: ("десять", "десяти", "десяти"),
}
"""Nominative, genitive (and prepositional), dative."""


def numeral(count: int, gender: Gender, case: Case) -> str:
    """A numeral of 2 to 10. "acc" is the one of inanimates; animates take "gen" below five."""
    nominative, genitive, dative = _NUMERALS[count]
    if case in ("nom", "acc"):
        return "две" if count == 2 and gender == "f" else nominative
    return dative if case == "dat" else genitive


def _genitive(nominative: str, gender: Gender) -> str:
    stem, last = nominative[:-1], nominative[-1]
    if last == "а":
        return stem + ("и" if stem[-1] in _NO_Y else "ы")
    if last == "я" or (last == "ь" and gender == "f"):
        return stem + "и"
    if last in "ое":
        return stem + ("а" if last == "о" else "я")
    return stem + "я" if last in "ьй" else nominative + "а"


def _first_declension(nominative: str, case: Case) -> str:
    """Nouns in -а and -я, in the cases but nominative and genitive."""
    stem, last = nominative[:-1], nominative[-1]
    if case == "acc":
        return stem + {"а": "у", "я": "ю"}[last]
    return stem + ("и" if nominative.endswith("ия") else "е")


def _plural(nominative: str, genitive: str, case: Case, *, animate: bool) -> str:
    if case == "acc":
        case = "gen" if animate else "nom"
    if case == "nom" or nominative == genitive:
        return nominative
    if case == "gen":
        return genitive
    ending = "м" if case == "dat" else "х"
    if nominative.endswith(("ые", "ие")):
        return genitive[:-1] + ending
    stem, last = nominative[:-1], nominative[-1]
    soft = last == "я" or (last == "и" and stem[-1] not in _NO_Y)
    return stem + ("я" if soft else "а") + ending
