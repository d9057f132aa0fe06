"""Texts, or pairs of them, with a label: TSV, CSV and JSON lines, with a header or without.

A header is known by its column names (table below); AmericasNLI, SICK, SIB-200, GLUE (but for CoLA) and the
originals of XNLI and PAWS-X have one, their XTREME and XGLUE forms do not. Without one, the columns of a pair
task are first text, second text and, where there is a third, the label; those of a single-text task are text
and label.

Oddities of real files: SICK shouts its labels (CRLF in one split); PAWS-X and XNLI tests come without labels,
XNLI's in a file of their own; cells may be quoted or not within one file (`rows.unquoted`); three premises of
AmericasNLI's Nahuatl test are empty, and kept, so that scores compare with those published.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from isogloss.core.errors import DataError, LanguageError
from isogloss.core.languages import language as find_language
from isogloss.core.languages import original_of
from isogloss.data.lines import numbered_lines, suffix
from isogloss.data.records import LabelExample
from isogloss.data.rows import cell_rows, json_rows, missing_column

ROLES: dict[str, tuple[str, ...]] = {
    "text": (
        *("text", "premise", "sentence1", "sentence_a", "question1", "#1 string", "question", "sentence"),
        "text1",
    ),
    "pair": ("hypothesis", "sentence2", "sentence_b", "question2", "#2 string", "text2", "sentence"),
    "label": (
        *("label", "category", "gold_label", "entailment_judgment", "topic", "class", "is_duplicate"),
        "quality",
    ),
    "id": ("id", "index_id", "pair_id", "pairid", "idx", "guid"),
    "language": ("language", "lang"),
}
"""By role, the column names it goes by, in lower case, the first that a file has winning."""


def labelled(
    path: Path,
    *,
    language: str,
    pairs: bool,
    known: Sequence[str] | None = None,
    labels: Path | None = None,
    columns: Mapping[str, str | int] | None = None,
    names: Sequence[str] | None = None,
) -> Iterator[LabelExample]:
    """The rows of a file as labelled texts.

    The id is the file's own, or the row's number from 1. Where the file has a language column, only rows of
    this language are read.

    Args:
        pairs: whether an example is two texts.
        known: the labels there are, compared without regard to case and given back in this spelling; None
            takes any. An empty label, and SNLI's `-`, are no gold.
        labels: a file with one label a line, for a file without them.
        columns: from role (`text`, `pair`, `label`, `id`, `language`) to the name of the header's column, for
            names that the table lacks; or to its number from 1, in a file without a header.
        names: what the labels 0, 1, 2, ... of a file that numbers them mean; -1 is then no gold. None takes
            labels as they are written.

    Raises:
        DataError: a row of another width, a column that is not there, a label that is not known, as many
            labels as rows not in the labels file, or no row in this language.
    """
    tag = find_language(language).tag
    numbered = bool(columns) and all(isinstance(column, int) for column in (columns or {}).values())
    spelt = {role: str(column) for role, column in (columns or {}).items()}
    rows = _in_language(_roles(path, pairs=pairs, columns=spelt, numbered=numbered), tag, path)
    for number, (row, label) in enumerate(_with_gold(rows, path, labels), start=1):
        identifier, pair = row.get("id") or str(number), row["pair"] if pairs else None
        yield LabelExample(identifier, tag, row["text"], pair, _label(_named(label, names), known))


class _Spelt(NamedTuple):
    """A label as its file spells it, None without one, and where it stands."""

    spelt: str | None
    where: str


def _with_gold(
    rows: Iterable[tuple[int, dict[str, str]]], path: Path, labels: Path | None
) -> Iterator[tuple[dict[str, str], _Spelt]]:
    """Each row with its label, its own or the labels file's."""
    if labels is None:
        yield from ((row, _Spelt(row.get("label"), f"{path}:{line}")) for line, row in rows)
        return
    gold = list(numbered_lines(labels))
    count = 0
    for count, (_, row) in enumerate(rows, start=1):
        line, spelt = gold[count - 1] if count <= len(gold) else (count, None)
        yield row, _Spelt(spelt, f"{labels}:{line}")
    if len(gold) != count:
        raise DataError(
            f"{len(gold)} labels in {labels} but {count} rows", wanted="one label a row", where=str(path)
        )


def _in_language(
    rows: Iterable[tuple[int, dict[str, str]]], tag: str, path: Path
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows whose language column, if they have one, means this language."""
    others: set[str] = set()
    original = original_of(tag)
    found = False
    for line, row in rows:
        spelt = row.get("language")
        if spelt and not _means(spelt, original):
            others.add(spelt)
            continue
        found = True
        yield line, row
    if others and not found:
        raise DataError(f"only rows in {', '.join(sorted(others))}", wanted=f"rows in {tag}", where=str(path))


def _means(spelt: str, tag: str) -> bool:
    try:
        return find_language(spelt).tag == tag
    except LanguageError:
        return False


def _named(given: _Spelt, names: Sequence[str] | None) -> _Spelt:
    """A label that is a number, by its name."""
    number = (given.spelt or "").strip()
    if names is None or number in ("", "-1"):
        return given if names is None else _Spelt(None, given.where)
    if not number.isdigit() or int(number) >= len(names):
        raise DataError(
            f"label {number!r}",
            wanted=f"a number from 0 to {len(names) - 1}, as `names` says",
            where=given.where,
        )
    return _Spelt(names[int(number)], given.where)


def _label(given: _Spelt, known: Sequence[str] | None) -> str | None:
    spelt = (given.spelt or "").strip()
    if spelt in ("", "-"):
        return None
    if known is None:
        return spelt
    for label in known:
        if label.casefold() == spelt.casefold():
            return label
    raise DataError(f"unknown label {spelt!r}", wanted=f"one of {', '.join(known)}", where=given.where)


def _roles(
    path: Path, *, pairs: bool, columns: Mapping[str, str], numbered: bool
) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row by role: `text` and, for pairs, `pair` always, the others where the file has them."""
    needed = ("text", "pair") if pairs else ("text",)
    if suffix(path) == ".jsonl":
        rows = _json_cells(path)
    else:
        rows = _numbered_cells(path) if numbered else _header_cells(path, needed, columns)
    for line, cells in rows:
        row = {role: cells[name] for role, name in _columns_of(cells, columns).items()}
        for role in needed:
            if role not in row:
                raise missing_column(columns.get(role, ROLES[role][0]), cells, f"{path}:{line}")
        yield line, row


def _columns_of(cells: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, str]:
    """From role to the column that plays it, of those in these cells."""
    lower = {name.strip().casefold(): name for name in cells}
    found = {role: next((lower[n] for n in names if n in lower), None) for role, names in ROLES.items()}
    if found["pair"] == found["text"]:  # GLUE's QNLI has a question and a sentence, others a sentence alone
        found["pair"] = None
    chosen = {**found, **{role: name if name in cells else None for role, name in columns.items()}}
    return {role: name for role, name in chosen.items() if name is not None}


def _json_cells(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for line, row in json_rows(path):
        yield line, {name: "" if value is None else str(value) for name, value in row.items()}


def _numbered_cells(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Of a file without a header, the cells by their numbers from 1."""
    for line, cells in cell_rows(path):
        yield line, {str(number): cell for number, cell in enumerate(cells, start=1)}


def _header_cells(
    path: Path, needed: Sequence[str], columns: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, str]]]:
    header: list[str] | None = None
    for line, cells in cell_rows(path):
        if header is None:
            header = cells if columns or _is_header(cells) else _unnamed(cells, needed, f"{path}:{line}")
            if header is cells:
                continue
        yield line, dict(zip(header, cells, strict=True))


def _is_header(cells: Sequence[str]) -> bool:
    """Two of its cells are column names we know; no row of data is likely to look so."""
    names = {name for known in ROLES.values() for name in known}
    return sum(cell.strip().casefold() in names for cell in cells) >= min(2, len(cells))


def _unnamed(cells: Sequence[str], needed: Sequence[str], where: str) -> list[str]:
    roles = [*needed, "label"][: len(cells)]
    if len(cells) not in (len(needed), len(needed) + 1):
        raise DataError(
            f"{len(cells)} columns and no header",
            wanted=f"{', '.join(needed)} and perhaps a label, or a header that names the columns",
            fix="name the columns of the header with `columns`, e.g. columns={'label': 'Thema'}",
            where=where,
        )
    return [ROLES[role][0] for role in roles]
