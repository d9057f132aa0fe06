"""Files that appear whole or not at all.

Everything is written beside its place and renamed into it, so a kill, a crash or a full disk leaves either
the old content or the new, never half of one. A sealed folder carries a manifest of checksums.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isogloss.core.errors import CheckpointError, StorageError

MANIFEST = "manifest.json"
_IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission to write",
    errno.EPERM: "no permission to write",
    errno.EFBIG: "the file is larger than this process may write (see `ulimit -f`)",
    errno.EIO: "the device reports an error",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "there is a folder of that name",
    errno.EEXIST: "there is a file of that name",
    errno.ENAMETOOLONG: "the name is too long",
}


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what a disk refuses into a `StorageError` that names the path and the space left.

    safetensors wraps the operating system's error in its own type with the number in the text, so any
    exception that carries one of the known numbers counts.
    """
    try:
        yield
    except Exception as error:
        number = getattr(error, "errno", None) or _number_in(str(error))
        if number not in _DISK_ERRORS:
            raise
        if number in _IN_THE_WAY:
            raise StorageError(
                f"could not write {path}: {_DISK_ERRORS[number]}",
                wanted="a path that is free",
                fix="choose another folder with --out, then run the same command again",
            ) from error
        raise StorageError(
            f"could not write {path}: {_DISK_ERRORS[number]} ({_free(path)})",
            wanted="room for the file; what was saved before is untouched",
            fix="free some space or choose another folder with --out, then run the same command again",
        ) from error


def _number_in(text: str) -> int | None:
    return next(
        (number for number in _DISK_ERRORS if f"os error {number}" in text or f"code: {number}" in text), None
    )


def _free(path: Path) -> str:
    with contextlib.suppress(OSError):
        existing = next(p for p in [path, *path.parents] if p.exists())
        return f"{shutil.disk_usage(existing).free / 1e6:.1f} MB free"
    return "free space unknown"


def write_bytes(path: Path, content: bytes) -> None:
    """Replace or create a file in one step."""
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex[:8]}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """`write_text` of indented JSON, non-ASCII letters kept."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextlib.contextmanager
def whole_folder(path: Path, *, seal: bool = True) -> Iterator[Path]:
    """A folder to fill; it takes its name only when the block ends without an error.

    An existing folder of that name is replaced in the same moment. With `seal`, a manifest of SHA-256
    checksums is written last; `check_folder` verifies it.
    """
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex[:8]}")
    with disk_errors(path):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if seal:
                write_json(temporary / MANIFEST, _checksums(temporary))
            _sync_tree(temporary)
            _replace_folder(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(new: Path, path: Path) -> None:
    """rename(2) cannot replace a folder that holds files: step the old one aside first."""
    old = path.with_name(f"{path.name}.tmp-old-{uuid.uuid4().hex[:8]}")
    if path.exists():
        path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Clear what a killed process left behind; put back a stepped-aside folder whose successor never came."""
    if not folder.is_dir():
        return
    for old in folder.glob("*.tmp-old-*"):
        place = folder / old.name.partition(".tmp-old-")[0]
        if not place.exists():
            old.rename(place)
    for leftover in folder.glob("*.tmp-*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def check_folder(path: Path) -> None:
    """Verify a sealed folder against its manifest.

    Raises:
        CheckpointError: a file is missing or its bytes have changed.
    """
    advice = "delete this folder and run the same command again: it goes on from the checkpoint before it"
    manifest = path / MANIFEST
    if not manifest.exists():
        raise CheckpointError(
            "no manifest.json: this folder was not written by isogloss, or not to its end",
            fix=advice,
            where=str(path),
        )
    try:
        checksums = dict(json.loads(manifest.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{MANIFEST} is damaged: {error}", fix=advice, where=str(path)) from error
    for name, expected in checksums.items():
        file = path / name
        if not file.exists():
            raise CheckpointError(
                f"{name} is missing", wanted="every file of the manifest", fix=advice, where=str(path)
            )
        if file_checksum(file) != expected:
            raise CheckpointError(
                f"{name} is damaged: its checksum is not the one in {MANIFEST}",
                wanted=f"sha256 {expected[:12]}…",
                fix=advice,
                where=str(path),
            )


def cache_folder() -> Path:
    """Where this user's things go that can be made again; it may not exist yet."""
    if sys.platform == "darwin":
        usual = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        usual = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        usual = Path.home() / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or usual) / "isogloss"


def file_checksum(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {p.relative_to(folder).as_posix(): file_checksum(p) for p in files}


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
