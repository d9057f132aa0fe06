"""The same texts in several languages, aligned by id.

Three layouts lead here: files in step line by line (`from_lines`), tables with an id column (`from_tables`),
and Moses pairs such as `train.en` beside `train.swa` (`from_moses`). What one language lacks is left out for
all, and remembered in `dropped`. Everything is held in memory: a parallel text is small beside a corpus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path

from isogloss.core.errors import DataError, LanguageError
from isogloss.core.languages import language as find_language
from isogloss.data.lines import PACKINGS, numbered_lines, suffix
from isogloss.data.rows import cell_rows, json_rows, missing_column

_MOSES_ENDINGS = {".", ".txt", *PACKINGS, *(f".txt{packing}" for packing in PACKINGS)}


@dataclass(frozen=True)
class ParallelText:
    """Rows of texts, one text per language.

    Attributes:
        languages: internal tags, the order of every row.
        ids: one per row, unique.
        rows: the texts; one may be empty, see `empty_sides` and `without_empty`.
        dropped: by language, the ids it had and not every other language had; empty when all agreed.
    """

    languages: tuple[str, ...]
    ids: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self.rows)

    def texts(self, language: str) -> tuple[str, ...]:
        """One language's texts, in the order of `ids`; the language in any spelling."""
        position = self._position(language)
        return tuple(row[position] for row in self.rows)

    def pairs(self, first: str, second: str) -> list[tuple[str, str]]:
        """The texts of two of the languages side by side."""
        return list(zip(self.texts(first), self.texts(second), strict=True))

    def empty_sides(self) -> dict[str, int]:
        """How many rows have no text, for each language that has such rows."""
        counts = {tag: sum(not text.strip() for text in self.texts(tag)) for tag in self.languages}
        return {tag: count for tag, count in counts.items() if count}

    def without_empty(self) -> ParallelText:
        """Only the rows with a text in every language."""
        keep = [i for i, row in enumerate(self.rows) if all(text.strip() for text in row)]
        ids, rows = tuple(self.ids[i] for i in keep), tuple(self.rows[i] for i in keep)
        return ParallelText(self.languages, ids, rows, self.dropped)

    def report(self) -> str:
        """One line: how many rows, what was dropped, what is empty."""
        parts = [f"{len(self)} rows in {', '.join(self.languages)}"]
        parts += [f"{len(ids)} of {tag} dropped: not in every language" for tag, ids in self.dropped.items()]
        parts += [f"{count} empty in {tag}" for tag, count in self.empty_sides().items()]
        return "; ".join(parts)

    def _position(self, language: str) -> int:
        tag = find_language(language).tag
        if tag not in self.languages:
            raise LanguageError(f"no {tag} in this text", wanted=f"one of {', '.join(self.languages)}")
        return self.languages.index(tag)


def aligned(sides: Mapping[str, Mapping[str, str]]) -> ParallelText:
    """Join texts by id: those that every language has, in the first language's order.

    Args:
        sides: by language (any spelling), from id to text.

    Raises:
        DataError: no language, two spellings of the same one, or not one id in common.
    """
    by_tag = {find_language(name).tag: texts for name, texts in sides.items()}
    if not sides or len(by_tag) < len(sides):
        raise DataError(f"languages {', '.join(sides) or '(none)'}", wanted="one or more different languages")
    if not any(by_tag.values()):
        raise DataError(f"no text in any of {', '.join(by_tag)}", wanted="the same texts in each language")
    first, *others = by_tag.values()
    ids = tuple(key for key in first if all(key in other for other in others))
    if not ids:
        raise DataError(
            f"no id is in all of {', '.join(by_tag)}",
            wanted="texts with ids in common",
            fix="check that the files belong to the same set and that `id_column` names the shared id",
        )
    shared = set(ids)
    dropped = {tag: tuple(key for key in texts if key not in shared) for tag, texts in by_tag.items()}
    rows = tuple(tuple(texts[key] for texts in by_tag.values()) for key in ids)
    return ParallelText(tuple(by_tag), ids, rows, {tag: gone for tag, gone in dropped.items() if gone})


def from_lines(files: Mapping[str, str | Path], *, ids: str | Path | None = None) -> ParallelText:
    """Files in which line n says the same in every language.

    Args:
        files: by language (any spelling), its file.
        ids: a file with the id of each line, such as verse numbers; None takes the line numbers from 1.

    Raises:
        DataError: two files differ in their number of lines (both are named), or an id comes twice.
    """
    texts = {name: [line for _, line in numbered_lines(Path(file))] for name, file in files.items()}
    counts = {str(files[name]): len(lines) for name, lines in texts.items()}
    keys = _unique(numbered_lines(Path(ids)), Path(ids)) if ids else None
    if ids and keys is not None:
        counts[str(ids)] = len(keys)
    _check_in_step(counts)
    names = keys or [str(n) for n in range(1, max(counts.values(), default=0) + 1)]
    return aligned({name: dict(zip(names, lines, strict=True)) for name, lines in texts.items()})


def _check_in_step(counts: Mapping[str, int]) -> None:
    (first, wanted), *others = list(counts.items()) or [("", 0)]
    for file, count in others:
        if count != wanted:
            raise DataError(
                f"{count} lines in {file} but {wanted} lines in {first}",
                wanted="as many lines in each, line n saying the same in all",
                fix="look for a line break inside a text, or for a missing last line",
            )


def _unique(keys: Iterable[tuple[int, str]], path: Path) -> list[str]:
    seen: dict[str, int] = {}
    for number, key in keys:
        if key in seen:
            raise DataError(
                f"id {key!r} stands on line {seen[key]} already",
                wanted="each id once",
                where=f"{path}:{number}",
            )
        seen[key] = number
    return list(seen)


def from_tables(
    files: Mapping[str, str | Path], *, id_column: str = "index_id", text_column: str = "text"
) -> ParallelText:
    """TSV, CSV or JSONL files with a header, joined by their id column; the defaults are SIB-200's.

    Args:
        files: by language (any spelling), its file; `.jsonl` holds an object a line, `.csv` commas, any other
            ending tabs.

    Raises:
        DataError: a column is missing (those there are get named), an id comes twice, or none is shared.
    """
    return aligned({name: _table(Path(file), id_column, text_column) for name, file in files.items()})


def _table(path: Path, id_column: str, text_column: str) -> dict[str, str]:
    numbers: list[int] = []
    keys: list[str] = []
    texts: list[str] = []
    for number, row in _table_rows(path):
        for column in (id_column, text_column):
            if column not in row:
                raise missing_column(column, row, f"{path}:{number}")
        numbers.append(number)
        keys.append(row[id_column])
        texts.append(row[text_column])
    return dict(zip(_unique(zip(numbers, keys, strict=True), path), texts, strict=True))


def _table_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    if suffix(path) == ".jsonl":
        yield from ((n, {key: str(value) for key, value in row.items()}) for n, row in json_rows(path))
        return
    header: list[str] = []
    for number, cells in cell_rows(path):
        if header:
            yield number, dict(zip(header, cells, strict=True))
        header = header or cells


def from_moses(prefix: str | Path, languages: Sequence[str] | None = None) -> ParallelText:
    """Files in step named `PREFIX.CODE`, such as `train.en` beside `train.swa`, also `train.swa.txt.gz`.

    Args:
        prefix: folder and first part of the name, such as `lafand/en-swa/train`.
        languages: which ones, in any spelling and in this order; None takes every file whose code is a
            language, sorted by name.

    Raises:
        DataError: no file is there for a language asked for, or fewer than two in all, or the lines of two
            files do not match.
    """
    found = _moses_files(Path(prefix))
    wanted = [find_language(name).tag for name in languages] if languages else list(found)
    missing = [tag for tag in wanted if tag not in found]
    if missing or len(wanted) < 2:
        raise DataError(
            f"files for {', '.join(found) or 'no language'}",
            wanted=", ".join(wanted) if len(wanted) > 1 else "two languages or more",
            fix="the prefix is the name up to the dot before the language code",
            where=f"{prefix}.*",
        )
    return from_lines({tag: found[tag] for tag in wanted})


def _moses_files(prefix: Path) -> dict[str, Path]:
    """By tag, the files named after the prefix and a language."""
    if not prefix.parent.is_dir():
        raise DataError("no such folder", where=str(prefix.parent))
    found: dict[str, Path] = {}
    for path in sorted(prefix.parent.glob(f"{escape(prefix.name)}.*")):
        tag = _code_of(path, prefix)
        if tag in found:
            raise DataError(
                f"two files for {tag}: {found[tag].name} and {path.name}",
                wanted="one file a language",
                where=f"{prefix}.*",
            )
        if tag:
            found[tag] = path
    return found


def _code_of(path: Path, prefix: Path) -> str | None:
    """The tag of `train.swa.txt.gz` after `train.`, None when the code is no language."""
    code, _, ending = path.name.removeprefix(f"{prefix.name}.").partition(".")
    if f".{ending}" not in _MOSES_ENDINGS:
        return None
    try:
        return find_language(code).tag
    except LanguageError:
        return None
