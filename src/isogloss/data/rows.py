"""Rows of tables with the line each stands on: TSV, CSV and JSON lines.

TSV in the wild comes in two kinds, raw, and written by a CSV writer that quotes a field when it holds a
quotation mark (SIB-200, parts of PAWS-X, with raw fields between). `unquoted` tells them apart per field.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from isogloss.core.errors import DataError, did_you_mean
from isogloss.data.lines import numbered_lines, suffix


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The object of each line that is not blank, with the line's number.

    Raises:
        DataError: a line is not JSON, or not an object.
    """
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"not JSON: {error.msg} at character {error.pos + 1}",
                wanted="one JSON object a line",
                where=where,
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"a JSON {type(row).__name__}", wanted="one JSON object a line", where=where)
        yield number, row


def cell_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that is not blank, with the line's number; `.csv` by commas, else by tabs.

    A CSV cell may run over several lines; its row then counts from where it starts.

    Raises:
        DataError: a row has another number of cells than the first.
    """
    rows = _csv_rows(path) if suffix(path) == ".csv" else _tsv_rows(path)
    width = 0
    for number, cells in rows:
        width = width or len(cells)
        if len(cells) != width:
            raise DataError(
                f"{len(cells)} columns", wanted=f"{width}, as in the first row", where=f"{path}:{number}"
            )
        yield number, cells


def _tsv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in numbered_lines(path):
        if line.strip(" "):  # a row of tabs alone is a row: skipping it would shift those after it
            yield number, [unquoted(cell) for cell in line.split("\t")]


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    lines = (line for _, line in numbered_lines(path, exact=True))
    reader = csv.reader(lines, strict=True)
    start = 1
    try:
        for cells in reader:
            if cells:
                yield start, [cell.removeprefix("\ufeff") for cell in cells] if start == 1 else cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"not CSV: {error}", fix="check its quotation marks", where=f"{path}:{start}"
        ) from error


def unquoted(cell: str) -> str:
    """The content of a cell that a CSV writer quoted, any other cell as it is.

    Such a writer quotes a cell because of a quotation mark in it, which it doubles. So a cell counts as
    quoted when it starts and ends with one and holds others that are all doubled; `"Hello"`, raw speech,
    stays.
    """
    inner = cell[1:-1]
    if len(cell) > 3 and cell[0] == cell[-1] == '"' and '""' in inner and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell


def missing_column(column: str, columns: Iterable[str], where: str) -> DataError:
    """The error for a column that is not there; it names those that are."""
    columns = list(columns)
    return DataError(
        f"no column {column!r}",
        wanted=f"one of the columns there are: {', '.join(columns) or '(none)'}",
        fix=did_you_mean(column, columns) if columns else "",
        where=where,
    )
