"""Monolingual text, streamed: txt, jsonl and parquet files, packed or not, and datasets of the Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from isogloss.core.errors import DataError
from isogloss.core.languages import language as find_language
from isogloss.core.languages import original_of
from isogloss.data.lines import PACKINGS, check_file, fingerprint, numbered_lines, suffix
from isogloss.data.records import TextExample
from isogloss.data.rows import json_rows

HUB = "hf://"
TEXT_SUFFIXES = (".txt", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Corpus:
    """Text in one language that can be gone through any number of times, in constant memory.

    A piece is one line of a txt file, or one row's text of a jsonl or parquet file or of a Hub dataset.
    Pieces without text (blank lines, null) are skipped. Any other ending than `.jsonl` and `.parquet` is read
    as lines; `.gz` and `.zst` are unpacked on the way.

    Attributes:
        language: any spelling on construction; the internal tag afterwards.
        sources: files, globs, folders (their txt, jsonl and parquet files, sorted by name) and Hub datasets,
            in the order they are read. A Hub dataset is `hf://owner/name[/config][:split[:column]]`, such as
            `hf://wikimedia/wikipedia/20231101.sw:train:text`; the split is `train` when left out.
        column: where the text stands in jsonl, parquet and Hub rows.

    Raises:
        DataError: on construction for a source that is not there; while reading for a damaged file, bad
            UTF-8, broken JSON or a missing column (with file and line), at the end for one without text.
    """

    language: str
    sources: tuple[str, ...]
    column: str = "text"

    def __init__(
        self, language: str, sources: str | Path | Sequence[str | Path], *, column: str = "text"
    ) -> None:
        given = [sources] if isinstance(sources, str | Path) else sources
        object.__setattr__(self, "language", find_language(language).tag)
        object.__setattr__(
            self, "sources", tuple(name for source in given for name in _expanded(str(source)))
        )
        object.__setattr__(self, "column", column)
        if not self.sources:
            raise DataError("a corpus without sources", wanted="at least one file, folder or Hub dataset")

    def __iter__(self) -> Iterator[str]:
        for _, text in self.placed():
            yield text

    def placed(self) -> Iterator[tuple[str, str]]:
        """Each piece with its place, `file:line` or `file:row`, counted from 1."""
        empty = True
        for source in self.sources:
            for number, text in _pieces(source, self.column):
                if text and not text.isspace():
                    empty = False
                    yield f"{source}:{number}", text
        if empty:
            raise DataError(
                "an empty corpus: not one line of text",
                wanted=f"some text in {self.language}",
                fix="check that the paths name the right files",
                where=", ".join(self.sources[:3]),
            )

    def examples(self) -> Iterator[TextExample]:
        """The pieces as records; the id is their number from 1, blank ones not counted."""
        for number, text in enumerate(self, start=1):
            yield TextExample(str(number), self.language, text)

    def fingerprint(self) -> str:
        """Sixteen hex digits that change with the content, the order of the files or the column.

        Files count by content (`lines.fingerprint` says how much of it), Hub datasets by name alone.
        """
        told = original_of(self.language)
        parts = [s if s.startswith(HUB) else fingerprint(Path(s)) for s in self.sources]
        return hashlib.blake2b("\n".join([told, self.column, *parts]).encode(), digest_size=8).hexdigest()


def _expanded(source: str) -> list[str]:
    """The files one source stands for, sorted, so that every machine reads them in the same order."""
    path = Path(source).expanduser()
    if source.startswith(HUB):
        return [source]
    if path.is_dir():
        found = sorted(str(p) for p in path.iterdir() if p.is_file() and suffix(p) in TEXT_SUFFIXES)
        if not found:
            endings = ", ".join(TEXT_SUFFIXES)
            raise DataError("a folder without text files", wanted=f"files ending in {endings}", where=source)
        return found
    if has_magic(source) and not path.exists():
        return _matches(source)
    check_file(path)
    return [str(path)]


def _matches(pattern: str) -> list[str]:
    found = sorted(
        name for name in glob(str(Path(pattern).expanduser()), recursive=True) if Path(name).is_file()
    )
    if not found:
        raise DataError("no file matches this pattern", fix="quote it, and check the folder", where=pattern)
    return found


def _pieces(source: str, column: str) -> Iterator[tuple[int, str | None]]:
    if source.startswith(HUB):
        return _hub_rows(source, column)
    path = Path(source)
    if suffix(path) == ".parquet":
        return _parquet_rows(path, column)
    if suffix(path) == ".jsonl":
        return _jsonl_rows(path, column)
    return numbered_lines(path)


def _jsonl_rows(path: Path, column: str) -> Iterator[tuple[int, str | None]]:
    for number, row in json_rows(path):
        where = f"{path}:{number}"
        if column not in row:
            raise _no_text(column, row, where)
        yield number, _text(row[column], column, where)


def _no_text(column: str, columns: Iterable[str], where: str) -> DataError:
    return DataError(
        f"no column {column!r}",
        wanted=f"text in a column of that name; there are: {', '.join(columns) or '(none)'}",
        fix=f"name it behind the split: {where}:train:COLUMN"
        if where.startswith(HUB)
        else f"call the column with the text {column!r}",
        where=where,
    )


def _text(value: Any, column: str, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise DataError(f"column {column!r} holds a {type(value).__name__}", wanted="text", where=where)


def _parquet_rows(path: Path, column: str) -> Iterator[tuple[int, str | None]]:
    if path.suffix.lower() in PACKINGS:
        raise DataError(
            f"a parquet file packed once more as {path.suffix}: it cannot be streamed",
            wanted="a plain .parquet file; parquet has its own compression inside",
            fix="unpack it first",
            where=str(path),
        )
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    check_file(path)
    try:
        with parquet.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                raise _no_text(column, file.schema_arrow.names, str(path))
            number = 0
            for batch in file.iter_batches(batch_size=1024, columns=[column]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield number, _text(value, column, f"{path}:{number}")
    except (arrow.ArrowException, OSError) as error:
        raise DataError(
            f"not a readable parquet file: {error}", fix="copy or download it again", where=str(path)
        ) from error


def _hub_rows(source: str, column: str) -> Iterator[tuple[int, str | None]]:
    name, config, split, column = parse_hub(source, column)
    try:
        import datasets

        rows = datasets.load_dataset(name, config, split=split, streaming=True)
        for number, row in enumerate(rows, start=1):
            if column not in row:
                raise _no_text(column, row, source)
            yield number, _text(row[column], column, f"{source}:{number}")
    except DataError:
        raise
    except Exception as error:  # the Hub, its client and the network fail in types of many packages
        raise DataError(
            f"could not be read from the Hub: {str(error).strip() or type(error).__name__}",
            wanted="a dataset that exists, and a network",
            fix="check the name; without a network, download its parquet files and give their folder instead",
            where=source,
        ) from error


def parse_hub(source: str, column: str = "text") -> tuple[str, str | None, str, str]:
    """`hf://owner/name[/config][:split[:column]]` as name, config (None when left out), split and column.

    Raises:
        DataError: the spelling is another.
    """
    name, *rest = source.removeprefix(HUB).split(":")
    parts = name.split("/")
    if len(rest) > 2 or not 1 <= len(parts) <= 3 or not all([*parts, *rest]):
        raise DataError(
            "not a Hub dataset's spelling",
            wanted="hf://owner/name, with /config, :split and :split:column as needed",
            where=source,
        )
    split, column = [*rest, *("train", column)[len(rest) :]]
    return "/".join(parts[:2]), parts[2] if len(parts) == 3 else None, split, column
