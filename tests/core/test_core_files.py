"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os

import pytest

from isogloss.core.errors import CheckpointError, StorageError
from isogloss.core.files import (
    check_folder,
    disk_errors,
    remove_leftovers,
    whole_folder,
    write_bytes,
    write_text,
)


def refuse(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def fill(folder, content=b"weights"):
    with whole_folder(folder) as inside:
        (inside / "model.bin").write_bytes(content)


def test_a_file_keeps_its_old_content_when_the_disk_is_full(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="the disk is full"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_keeps_its_old_content_when_the_disk_is_full(tmp_path, monkeypatch):
    fill(tmp_path / "model", b"old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="what was saved before is untouched"):
        fill(tmp_path / "model", b"new")
    monkeypatch.undo()
    check_folder(tmp_path / "model")
    assert (tmp_path / "model" / "model.bin").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_reported_in_words_by_another_library_is_recognised(tmp_path):
    with pytest.raises(StorageError), disk_errors(tmp_path):
        raise RuntimeError("I/O error: No space left on device (os error 28)")


def test_other_errors_pass_through(tmp_path):
    with pytest.raises(KeyError), disk_errors(tmp_path):
        raise KeyError("x")


def test_a_folder_whose_making_fails_never_appears(tmp_path):
    with pytest.raises(ValueError), whole_folder(tmp_path / "model") as inside:
        (inside / "half").write_text("x")
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_a_sealed_folder_passes_its_check(tmp_path):
    fill(tmp_path / "model")
    check_folder(tmp_path / "model")


@pytest.mark.parametrize("position", [0, 3, 6])
def test_a_flipped_byte_is_found_and_the_file_named(tmp_path, position):
    fill(tmp_path / "model")
    file = tmp_path / "model" / "model.bin"
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.bin is damaged"):
        check_folder(tmp_path / "model")


def test_a_missing_file_is_found(tmp_path):
    fill(tmp_path / "model")
    (tmp_path / "model" / "model.bin").unlink()
    with pytest.raises(CheckpointError, match="missing"):
        check_folder(tmp_path / "model")


def test_a_folder_without_a_seal_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no manifest\.json"):
        check_folder(tmp_path)


def test_leftovers_of_a_killed_process_are_cleared(tmp_path):
    (tmp_path / "model.tmp-12345678").mkdir()
    (tmp_path / "a.txt.tmp-12345678").write_text("half")
    (tmp_path / "kept").mkdir()
    remove_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_a_folder_stepped_aside_by_a_killed_process_is_put_back(tmp_path):
    fill(tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / "model.tmp-old-12345678")
    remove_leftovers(tmp_path)
    check_folder(tmp_path / "model")


def test_bytes_are_written_as_given(tmp_path):
    write_bytes(tmp_path / "deep" / "a.bin", b"\x00\xff")
    assert (tmp_path / "deep" / "a.bin").read_bytes() == b"\x00\xff"
