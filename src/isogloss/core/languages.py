"""One name for each language inside, and every spelling of it outside.

Inside, a language is a BCP-47 tag of its shortest code and its script: `sw-Latn`, `zh-Hans`. Outside, FLORES
says `swh_Latn`, Universal Dependencies says a name, XTREME says `sw` or `swh`, Masakhane says `swa`.
`language()` reads them all; `Language.to()` writes them. The facts are in `languages.tsv`, one row per
language and script, the script a bare code means coming first. The table holds FLORES-200, the languages of
Universal Dependencies (but not its code-switched pairs), of XTREME, XTREME-R, AmericasNLI and Masakhane, and
of the larger multilingual models.

A **clone** of a language has the same text and pieces of its own. It is written with a private-use part:
`eng-x-2` or `en-Latn-x-2` is the second English; the original is number 1 and has no such part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

from isogloss.core.errors import LanguageError, nearest

System: TypeAlias = Literal["tag", "short", "iso639-3", "flores", "ud", "name"]

_TABLE = Path(__file__).with_name("languages.tsv")
_CLONE = "-x-"
_OF_A_CLONE = re.compile(r"(?P<original>.+)-(?:x-(?P<number>\d+)|\((?P<named>\d+)\))")


@dataclass(frozen=True, slots=True)
class Language:
    """One language in one script.

    Attributes:
        tag: the internal form, e.g. `sw-Latn`; the same in every file we write.
        name: the English name, e.g. "Swahili".
        iso639_3: the code of the individual language where FLORES-200 names one (`swh`, not `swa`).
        flores: the FLORES-200 spelling (`swh_Latn`), None for a language outside FLORES-200.
        ud: the language part of a Universal Dependencies treebank name ("Old East Slavic"), None where the
            table knows no treebank in this script.
        spellings: further spellings `language()` accepts, beyond those that follow from the other fields.
    """

    tag: str
    name: str
    iso639_3: str
    flores: str | None
    ud: str | None
    spellings: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """The code without the script, two letters where ISO 639-1 has one: `sw`, `kab`. XTREME's form."""
        code, _, clone = self.tag.partition(_CLONE)
        return f"{code.partition('-')[0]}{_CLONE * bool(clone)}{clone}"

    @property
    def script(self) -> str:
        """The ISO 15924 code of the script: `Latn`, `Hans`."""
        return self.tag.split("-")[1]

    @property
    def original(self) -> str:
        """The tag of the language that this one is a clone of; its own where it is none."""
        return original_of(self.tag)

    @property
    def number(self) -> int:
        """Which clone this is: 1 for a language itself, 2 for the first clone beside it."""
        return int(self.tag.partition(_CLONE)[2] or 1)

    def to(self, system: System) -> str:
        """This language as an outside system spells it.

        Raises:
            LanguageError: that system has no spelling for it.
        """
        spelling = self._in(system)
        if spelling is None:
            raise LanguageError(
                f"{self.name} ({self.tag}) has no spelling in {system!r}",
                fix=f"use 'tag', 'short' or 'iso639-3' instead of {system!r}",
            )
        return spelling

    def _in(self, system: System) -> str | None:
        forms: dict[System, str | None] = {
            "tag": self.tag,
            "short": self.short,
            "iso639-3": self.iso639_3,
            "flores": self.flores,
            "ud": self.ud,
            "name": self.name,
        }
        if system not in forms:
            raise LanguageError(f"unknown spelling system {system!r}", wanted=f"one of {', '.join(forms)}")
        return forms[system]

    def every_spelling(self) -> Iterator[str]:
        """All spellings that mean this row, a bare code too when this is its language's first row."""
        yield from (self.tag, self.name, *self.spellings)
        if self.number > 1:
            return
        yield f"{self.iso639_3}-{self.script}"
        yield from (form for form in (self.flores, self.ud) if form)
        if _first_rows().get(self.short) == self.tag:
            yield from (self.short, self.iso639_3)
            if self.flores:
                yield self.flores.partition("_")[0]


def language(spelling: str) -> Language:
    """The language a spelling means, in upper or lower case, with `_`, `-` or a space between its parts.

    A tag outside the table is accepted when it names a valid language and a script (`kw-Latn`), and a clone
    by any spelling of its original and `-x-N`, N from 2 (`swh-x-2`).

    Raises:
        LanguageError: nothing in the table is spelt so, and it is no valid tag with a script.
    """
    if clone := _OF_A_CLONE.fullmatch(_key(spelling)):
        return clone_of(clone["original"], int(clone["number"] or clone["named"]))
    found = _by_spelling().get(_key(spelling)) or _outside_the_table(spelling)
    if found is None:
        raise _unknown(spelling)
    return found


def original_of(tag: str) -> str:
    """The internal tag of the language that one is a clone of; itself where it is none."""
    return tag.partition(_CLONE)[0]


def clone_of(spelling: str, number: int) -> Language:
    """Clone `number` of a language; 1 is the language itself.

    Raises:
        LanguageError: an unknown language, one that is a clone, or a number below 1.
    """
    of = language(spelling)
    if number == 1 and of.number == 1:
        return of
    if number < 1 or of.number != 1:
        raise LanguageError(
            f"clone {number} of {of.name}", wanted="a number from 2, of a language that is no clone itself"
        )
    return Language(
        f"{of.tag}{_CLONE}{number}", f"{of.name} ({number})", f"{of.iso639_3}{_CLONE}{number}", None, None
    )


@lru_cache(maxsize=1)
def languages() -> tuple[Language, ...]:
    """Every row of the table, sorted by tag."""
    lines = _TABLE.read_text(encoding="utf-8").splitlines()[1:]
    return tuple(_row(*line.split("\t")) for line in lines)


def _row(tag: str, name: str, iso639_3: str, flores: str, ud: str, spellings: str) -> Language:
    others = tuple(spellings.split("; ")) if spellings else ()
    return Language(tag, name, iso639_3, flores or None, ud or None, others)


@lru_cache(maxsize=1)
def _first_rows() -> dict[str, str]:
    """From a code without script to the tag it means: the first of its rows."""
    first: dict[str, str] = {}
    for row in languages():
        first.setdefault(row.short, row.tag)
    return first


@lru_cache(maxsize=1)
def _by_spelling() -> dict[str, Language]:
    return {_key(spelling): row for row in languages() for spelling in row.every_spelling()}


def _key(spelling: str) -> str:
    return spelling.strip().casefold().replace("_", "-").replace(" ", "-")


def _outside_the_table(spelling: str) -> Language | None:
    """A valid code with a script: of a language the table lacks, or of one it has in another script."""
    code, _, script = _key(spelling).partition("-")
    if not re.fullmatch(r"[a-z]{2,3}-[a-z]{4}", f"{code}-{script}"):
        return None
    import langcodes  # late: only a rare tag needs it

    known = _by_spelling().get(code)
    short = known.short if known else langcodes.standardize_tag(code)
    parsed = langcodes.Language.get(f"{short}-{script.title()}", normalize=False)
    if not parsed.is_valid():
        return None
    name = known.name if known else parsed.language_name()
    iso639_3 = known.iso639_3 if known else parsed.to_alpha3()
    return Language(f"{short}-{script.title()}", f"{name} ({script.title()})", iso639_3, None, None)


def _unknown(spelling: str) -> LanguageError:
    close = nearest(_key(spelling), _by_spelling()) if spelling.strip() else None
    guess = f"did you mean {_by_spelling()[close].name!r} ({_by_spelling()[close].tag})? " if close else ""
    return LanguageError(
        f"unknown language {spelling!r}",
        wanted="a code or name such as sw, swh, swh_Latn, sw-Latn or Swahili",
        fix=f"{guess}A language outside the table can be written with its script, e.g. kw-Latn",
    )
