"""The words of a language for the concepts: one table per part of speech in `lexicon/<two letters>/`.

The first column is the concept's id; the others are whatever the language's grammar needs. Every concept must
have a row, and its cells may be empty (`-`) only where the grammar has a rule for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from isogloss.core.errors import DataError, did_you_mean
from isogloss.data.miniature import concepts
from isogloss.data.miniature.tables import Table, read_table


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The tables of one language, each from a concept's id to its row: `lexicon.nouns["boat"]["plural"]`."""

    verbs: Table
    nouns: Table
    adjectives: Table
    names: Table
    places: Table
    times: Table


@cache
def load_lexicon(folder: str) -> Lexicon:
    """The lexicon in `lexicon/<folder>/`, e.g. "en".

    Raises:
        DataError: a table is missing or malformed, a concept has no row, or a row has no concept.
    """
    tables: dict[str, Table] = {}
    for part in concepts.PARTS:
        known: Mapping[str, object] = getattr(concepts, part)()
        tables[part] = read_table(f"{folder}/{part}.tsv")
        check_cover(tables[part], known, f"{folder}/{part}.tsv")
    return Lexicon(**tables)


def check_cover(table: Table, known: Mapping[str, object], name: str) -> None:
    """Raise DataError, naming file and line, unless the table has exactly one row per concept."""
    for line, id in enumerate(table, start=2):
        if id not in known:
            raise DataError(
                f"{id!r} is no concept", fix=did_you_mean(id, known), where=f"lexicon/{name}:{line}"
            )
    missing = [id for id in known if id not in table]
    if missing:
        raise DataError(
            f"no row for {', '.join(missing)}",
            wanted="one row per concept",
            fix="add the rows at the end",
            where=f"lexicon/{name}:{len(table) + 2}",
        )
