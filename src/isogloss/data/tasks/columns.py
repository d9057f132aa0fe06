"""CoNLL columns: a word and its tag a line, an empty line between sentences.

Read are tabs or spaces; two columns (MasakhaNER, MasakhaPOS, PAN-X), the CoNLL-2003 four with the tag last,
the numbered five of UNER's `.iob2` (id, word, tag, and two for annotators), and words alone, without gold.

Oddities of real files: `#` is a word in PAN-X and MasakhaNER, so a line is a comment only in a tab-separated
file, when it starts with `#` and has no tab. Original WikiANN writes each word as `de:Wort` (PAN-X as XTREME
gives it does not); the prefix is taken off when every word of the file carries the same. An entity may begin
with I- after O: it reads as B-, as in conlleval.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from isogloss.core.errors import DataError
from isogloss.core.languages import language as find_language
from isogloss.data.lines import numbered_lines
from isogloss.data.records import TagsExample
from isogloss.data.tasks.conllu import UPOS

_TAG = re.compile(r"O|[BIESLU]-\S+")
_SENT_ID = re.compile(r"#\s*sent_id\s*=\s*(.+?)\s*$")
_PREFIX = re.compile(r"[a-z]{2,3}(-[a-z]+)*:(?=.)")
_BEGINS = {"B", "S", "U"}


class _Layout(NamedTuple):
    """Where word and tag stand; `tag` is None in a file of words alone."""

    separator: str
    width: int
    word: int
    tag: int | None


class _Block(NamedTuple):
    """One sentence: its sent_id, the cells of its lines, and their numbers."""

    id: str | None
    rows: list[list[str]]
    lines: list[int]


def names(path: Path, *, language: str, types: Sequence[str] | str | None = None) -> Iterator[TagsExample]:
    """Named entities, in BIO2 whatever the file has (BIO, IOB1, IOBES, BILOU).

    Args:
        types: of entities that count; those of other types read as O, as where a model of CoNLL-2003 (PER,
            ORG, LOC, MISC) is tested on MasakhaNER (PER, ORG, LOC, DATE). None counts all.

    Raises:
        DataError: a line with another number of columns, a tag of none of these schemes, or entities in the
            file of which none has one of `types`.
    """
    wanted, seen = {types} if isinstance(types, str) else set(types or ()), set[str]()
    for example, lines in _examples(path, language):
        for line, tag in zip(lines, example.tags or (), strict=False):
            if not _TAG.fullmatch(tag):
                raise DataError(
                    f"unknown tag {tag!r}", wanted="O, or B-, I-, E- or S- and a type", where=f"{path}:{line}"
                )
        tags = None if example.tags is None else bio2(example.tags)
        if tags is not None and wanted:
            seen.update(tag[2:] for tag in tags if tag != "O")
            tags = tuple(tag if tag[2:] in wanted else "O" for tag in tags)
        yield TagsExample(example.id, example.language, example.words, tags)
    if wanted and seen and seen.isdisjoint(wanted):
        raise DataError(
            f"no entity of the types {', '.join(sorted(wanted))}",
            wanted=f"of those in the file: {', '.join(sorted(seen))}",
            where=str(path),
        )


def parts_of_speech(path: Path, *, language: str) -> Iterator[TagsExample]:
    """Universal parts of speech.

    Raises:
        DataError: a line with another number of columns, or a tag that is none of the seventeen.
    """
    for example, lines in _examples(path, language):
        for line, tag in zip(lines, example.tags or (), strict=False):
            if tag not in UPOS:
                wanted = f"one of {' '.join(UPOS)}"
                raise DataError(f"unknown part of speech {tag!r}", wanted=wanted, where=f"{path}:{line}")
        yield example


def bio2(tags: Sequence[str]) -> tuple[str, ...]:
    """Any chunk tags as BIO2: each entity starts with B- and goes on with I-.

    The boundaries are conlleval's: an entity begins at B, S or U, after O, E, S, L or U, and where the type
    changes. So IOB1, IOBES and BILOU need no telling apart from BIO2.
    """
    out: list[str] = []
    open_type: str | None = None
    for tag in tags:
        mark, _, kind = tag.partition("-")
        if mark == "O":
            out.append("O")
            open_type = None
            continue
        out.append(f"B-{kind}" if mark in _BEGINS or kind != open_type else f"I-{kind}")
        open_type = None if mark in {"E", "L", "S", "U"} else kind
    return tuple(out)


def _examples(path: Path, language: str) -> Iterator[tuple[TagsExample, list[int]]]:
    """Each sentence with the line numbers of its words. The id is the sent_id, or the number from 1."""
    tag = find_language(language).tag
    layout = _layout(path)
    prefix = _common_prefix(path, layout)
    for number, block in enumerate(_blocks(path, layout), start=1):
        words = tuple(cells[layout.word][len(prefix) :] for cells in block.rows)
        tags = None if layout.tag is None else tuple(cells[layout.tag] for cells in block.rows)
        yield TagsExample(block.id or str(number), tag, words, tags), block.lines


def _layout(path: Path) -> _Layout:
    first = next((line for _, line in numbered_lines(path) if line.strip() and not _is_aside(line)), "")
    separator = "\t" if "\t" in first else " "
    cells = first.split(separator)
    numbered = len(cells) > 3 and cells[0] == "1" and bool(_TAG.fullmatch(cells[2]))
    if numbered:
        return _Layout(separator, len(cells), word=1, tag=2)
    return _Layout(separator, len(cells), word=0, tag=len(cells) - 1 if len(cells) > 1 else None)


def _is_aside(line: str) -> bool:
    """Before the separator is known: `# sent_id = 1` is a comment, and so, harmlessly, is `# O`."""
    return line.startswith(("# ", "-DOCSTART-"))


def _blocks(path: Path, layout: _Layout) -> Iterator[_Block]:
    block = _Block(None, [], [])
    for number, line in numbered_lines(path):
        if not line.strip():
            if block.rows:
                yield block
                block = _Block(None, [], [])
        elif layout.separator == "\t" and line.startswith("#") and "\t" not in line:
            if found := _SENT_ID.match(line):
                block = block._replace(id=found[1])
        elif not line.startswith("-DOCSTART-"):
            block.rows.append(_cells(line, layout, f"{path}:{number}"))
            block.lines.append(number)
    if block.rows:
        yield block


def _cells(line: str, layout: _Layout, where: str) -> list[str]:
    cells = line.split(layout.separator)
    if len(cells) != layout.width:
        separator = "tabs" if layout.separator == "\t" else "single spaces"
        raise DataError(
            f"{len(cells)} columns",
            wanted=f"{layout.width} between {separator}, as in the first line of this file",
            where=where,
        )
    return cells


def _common_prefix(path: Path, layout: _Layout) -> str:
    """`de:` when every word starts so, else "". Stops at the first word that tells."""
    prefix = ""
    for block in _blocks(path, layout):
        for cells in block.rows:
            found = _PREFIX.match(cells[layout.word])
            if not found or prefix not in ("", found[0]):
                return ""
            prefix = found[0]
    return prefix
