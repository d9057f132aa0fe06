"""Read the package's tab-separated tables; every complaint names file and line."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TypeAlias

from isogloss.core.errors import DataError

Entry: TypeAlias = Mapping[str, str]
"""One row of a table by column name. An empty cell is written `-` in the file and read as ""."""

Table: TypeAlias = Mapping[str, Entry]


@cache
def read_table(name: str) -> Table:
    """The table `lexicon/<name>`, by the value of its first column.

    Raises:
        DataError: no such table, a row with another number of cells than the header, or an id given twice.
    """
    file = files(__package__).joinpath("lexicon").joinpath(name)
    if not file.is_file():
        raise DataError(
            "no such table", wanted="a tab-separated file of the package", where=f"lexicon/{name}"
        )
    lines = file.read_text(encoding="utf-8").splitlines()
    return parse_table(lines, name)


def parse_table(lines: list[str], name: str) -> Table:
    """The rows of a table already read; the first line is its header. Raises as `read_table` does."""
    columns = lines[0].split("\t")
    table: dict[str, Entry] = {}
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        where = f"lexicon/{name}:{number}"
        if len(cells) != len(columns):
            raise DataError(
                f"{len(cells)} cells: {line!r}",
                wanted=f"{len(columns)} cells: {', '.join(columns)}",
                fix="write - for an empty cell, and one tab between cells",
                where=where,
            )
        if cells[0] in table:
            raise DataError(f"{cells[0]!r} is given twice", fix="remove one of the rows", where=where)
        table[cells[0]] = {
            column: "" if cell == "-" else cell for column, cell in zip(columns, cells, strict=True)
        }
    return table
