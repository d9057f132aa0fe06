"""Files as numbered lines: plain, `.gz` or `.zst`, streamed, and every fault told with its place.

All readers of this package go through here, so a missing file, a cut-off archive or a stray byte is the same
clear `DataError` everywhere. Lines end at LF or CRLF only; other line separators of Unicode are text.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from isogloss.core.errors import DataError, did_you_mean

PACKINGS = (".gz", ".zst")
_BOM = "\ufeff"
_CHUNK = 1 << 18
_HASHED_WHOLE = 64 << 20
_SAMPLED_BLOCKS, _BLOCK = 64, 1 << 20


def suffix(path: Path) -> str:
    """The suffix that tells the format, in lower case, without any packing: `.txt` of `a.TXT.gz`."""
    name = path.name.lower()
    for packing in PACKINGS:
        name = name.removesuffix(packing)
    return Path(name).suffix


def check_file(path: Path) -> None:
    """Raise a `DataError` unless the path is a file; it names the nearest file of that folder."""
    if path.is_file():
        return
    if path.is_dir():
        raise DataError("this is a folder", wanted="a file", where=str(path))
    if not path.parent.is_dir():
        raise DataError(
            "no such file", fix=f"the folder {path.parent} does not exist either", where=str(path)
        )
    names = [entry.name for entry in path.parent.iterdir()]
    advice = did_you_mean(path.name, names) if names else "the folder is empty"
    raise DataError("no such file", fix=advice, where=str(path))


def numbered_lines(path: Path, *, exact: bool = False) -> Iterator[tuple[int, str]]:
    """Each line with its number from 1, in constant memory.

    Args:
        exact: keep line ends and a byte-order mark; otherwise both are removed.

    Raises:
        DataError: the file is missing, its packing is damaged or cut off, or a line is not UTF-8 (named with
            the offset in the unpacked file of its first bad byte, from 0).
    """
    offset = 0
    for number, raw in enumerate(_raw_lines(unpacked(path)), start=1):
        line = _decoded(raw, path, number, offset)
        offset += len(raw)
        yield number, line if exact else _bare(line, number)


def whole_text(path: Path) -> str:
    """The whole unpacked file as text, without a byte-order mark. Raises as `numbered_lines` does."""
    return "".join(line for _, line in numbered_lines(path, exact=True)).removeprefix(_BOM)


def _bare(line: str, number: int) -> str:
    line = line.removesuffix("\n").removesuffix("\r")
    return line.removeprefix(_BOM) if number == 1 else line


def _raw_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines with their ends. A line longer than a chunk is gathered in a list, so it stays linear."""
    pending: list[bytes] = []
    for chunk in chunks:
        *full, rest = chunk.split(b"\n")
        for part in full:
            pending.append(part + b"\n")
            yield b"".join(pending)
            pending.clear()
        pending.append(rest)
    if last := b"".join(pending):
        yield last


_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _decoded(raw: bytes, path: Path, number: int, offset: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        encoding = "UTF-16" if number == 1 and raw.startswith(_UTF16) else "WINDOWS-1252"
        raise DataError(
            f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {offset + error.start} of the file",
            wanted="text in UTF-8",
            fix=f"convert it, e.g. iconv -f {encoding} -t UTF-8 {path.name}, or remove the line",
            where=f"{path}:{number}",
        ) from error


def unpacked(path: Path) -> Iterator[bytes]:
    """The file's bytes in chunks, unpacked when its name ends in `.gz` or `.zst`."""
    check_file(path)
    packing = path.suffix.lower()
    try:
        with path.open("rb") as stream:
            yield from {".gz": _gunzipped, ".zst": _unzstd}.get(packing, _plain)(stream)
    except EOFError as error:
        raise DataError(
            f"the {packing} data stops before its end: the file is cut off",
            fix="copy or download it again",
            where=str(path),
        ) from error
    except (gzip.BadGzipFile, zlib.error, _ZstdDamage) as error:
        raise DataError(
            f"damaged {packing} data: {error}",
            wanted=f"a file packed with {'gzip' if packing == '.gz' else 'zstd'}",
            fix="copy or download it again; if it is not packed, take the ending off its name",
            where=str(path),
        ) from error


class _ZstdDamage(Exception):
    """zstandard is imported late, so its own error type cannot be named in an `except` clause."""


def _plain(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _gunzipped(stream: BinaryIO) -> Iterator[bytes]:
    with gzip.open(stream) as unzipped:
        while chunk := unzipped.read(_CHUNK):
            yield chunk


def _unzstd(stream: BinaryIO) -> Iterator[bytes]:
    """Frame by frame by hand: zstandard's own reader takes a cut-off frame for the end of the file."""
    import zstandard

    frame: Any = None
    for chunk in _plain(stream):
        rest = chunk
        while rest:
            frame = frame or zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
            try:
                yield frame.decompress(rest)
            except zstandard.ZstdError as error:
                raise _ZstdDamage(str(error)) from error
            rest, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame is not None:
        raise EOFError


def fingerprint(path: Path) -> str:
    """Sixteen hex digits that change when the file's content does, whatever its name.

    A BLAKE2 hash of the size and the bytes on the disk. Of a file above 64 MiB it hashes 64 blocks of 1 MiB,
    first and last among them, evenly spread: an edit that keeps the size to the byte and touches none of them
    goes unnoticed, and no corpus takes longer than a moment.
    """
    check_file(path)
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=8)
    with path.open("rb") as stream:
        if size <= _HASHED_WHOLE:
            for chunk in _plain(stream):
                digest.update(chunk)
        else:
            for block in range(_SAMPLED_BLOCKS):
                stream.seek((size - _BLOCK) * block // (_SAMPLED_BLOCKS - 1))
                digest.update(stream.read(_BLOCK))
    return digest.hexdigest()
