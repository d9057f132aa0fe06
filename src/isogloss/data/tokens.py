"""A corpus as token ids on disk: made once, memory-mapped ever after.

The stream is one separator, then each document followed by one separator: so the first token of every
document has something before it to be predicted from, and any slice is training text as it stands.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import CheckpointError, DataError
from isogloss.core.files import whole_folder, write_json
from isogloss.core.tokenizer import backend_of, encoded

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_LAYOUT = 1
"""Raise it when the files change: old folders are then not found, and made again."""
_TOKENS, _DOCUMENTS, _META = "tokens.bin", "documents.bin", "tokens.json"

Ids: TypeAlias = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
Progress: TypeAlias = Callable[[int, int], None]
"""Called after each batch with (documents, tokens) so far."""


@dataclass(frozen=True)
class TokenFile:
    """A tokenised corpus in a folder.

    Attributes:
        folder: where it lies.
        documents: how many texts gave at least one token.
        count: tokens with one separator for each document; the stream is one longer, by the separator at
            its beginning.
        bytes: UTF-8 bytes of the texts, separators not counted; the denominator of bits per byte.
        separator: the id between documents.
        dtype: `uint16` or `uint32`.
    """

    folder: Path
    documents: int
    count: int
    bytes: int
    separator: int
    dtype: str

    @classmethod
    def open(cls, folder: Path) -> TokenFile:
        """Read a folder that `token_file` wrote.

        Raises:
            CheckpointError: a file is missing or has another length than its description says.
        """
        try:
            meta = json.loads((folder / _META).read_text(encoding="utf-8"))
            file = cls(folder=folder, **{name: meta[name] for name in _FIELDS})
            file._check_lengths()
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"not a whole token file: {error}",
                fix="delete the folder; the corpus is tokenised again when it is next needed",
                where=str(folder),
            ) from error
        return file

    def _check_lengths(self) -> None:
        expected = {
            _TOKENS: (self.count + 1) * np.dtype(self.dtype).itemsize,
            _DOCUMENTS: (self.documents + 1) * 8,
        }
        for name, length in expected.items():
            found = (self.folder / name).stat().st_size
            if found != length:
                raise ValueError(f"{name} holds {found:,} bytes instead of {length:,}")

    @cached_property
    def ids(self) -> Ids:
        """The stream, memory-mapped read-only; (count + 1,)."""
        return np.memmap(self.folder / _TOKENS, dtype=self.dtype, mode="r")

    @cached_property
    def boundaries(self) -> npt.NDArray[np.int64]:
        """Where documents begin, and the end; (documents + 1,).

        Document d is ids[boundaries[d] : boundaries[d + 1] - 1], its separator left out.
        """
        return np.memmap(self.folder / _DOCUMENTS, dtype=np.int64, mode="r")

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to a worker as a path: a pickled memory map would be a copy of the corpus."""
        return TokenFile.open, (self.folder,)


_FIELDS = ("documents", "count", "bytes", "separator", "dtype")


def token_file(
    texts: Iterable[str],
    tokenizer: Any,
    *,
    cache: Path,
    others: Iterable[Path] = (),
    corpus_key: str,
    tokenizer_key: str,
    separator: int,
    progress: Progress | None = None,
) -> TokenFile:
    """Tokenise a corpus onto disk, or find it there.

    Tokenisation runs in batches on all cores (the tokenizers library's threads); memory grows with
    the longest text and not with the corpus. The folder appears whole or not at all.

    Args:
        texts: the documents; not touched when the file exists. White space alone, and
            texts that give no token, are left out.
        tokenizer: a transformers tokenizer of the fast kind, or a `tokenizers.Tokenizer`.
        cache: folder that holds token files, each under its key.
        others: more such folders, maybe absent, of other owners. A whole file that is found in one becomes
            this cache's own by hard links (copies where the disk has none): it stays when the other goes.
        corpus_key: fingerprint of the corpus.
        tokenizer_key: fingerprint of the tokenizer (`vocab.fingerprint`).
        separator: id put between documents, usually that of `</s>` or `[SEP]`.
        progress: called after each batch with documents and tokens so far; None: silence.

    Raises:
        DataError: the corpus holds no token.
        ModelError: the tokenizer has no tokenizers library behind it.
        StorageError: the disk refused.
    """
    folder = cache / _key(corpus_key, tokenizer_key, separator)
    if not (folder / _META).exists() and not any(
        _taken_over(other / folder.name, folder) for other in others
    ):
        backend = backend_of(tokenizer)
        with whole_folder(folder, seal=False) as unfinished:
            writer = _Writer(unfinished, backend, separator=separator)
            writer.write(texts, progress)
            if not writer.documents:
                raise DataError(
                    "the corpus is empty: no text in it gives a token",
                    wanted="at least one line with text",
                    fix="check the path and the column it is read from",
                )
    return TokenFile.open(folder)


def _taken_over(found: Path, folder: Path) -> bool:
    """Make a token file of another cache this one's too; False where it is not there, not whole or going."""
    with contextlib.suppress(CheckpointError, FileNotFoundError):
        TokenFile.open(found)
        with whole_folder(folder, seal=False) as unfinished:
            for name in (_TOKENS, _DOCUMENTS, _META):
                _link(found / name, unfinished / name)
        return True
    return False


def _link(source: Path, target: Path) -> None:
    """Nothing writes to a token file once it is there, so two caches may share one."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(source, target)


def _key(corpus_key: str, tokenizer_key: str, separator: int) -> str:
    parts = json.dumps([_LAYOUT, corpus_key, tokenizer_key, separator])
    return hashlib.sha256(parts.encode()).hexdigest()[:24]


@dataclass
class _Writer:
    folder: Path
    backend: Tokenizer
    separator: int
    documents: int = 0
    count: int = 0
    bytes: int = 0
    dtype: str = field(init=False)

    def __post_init__(self) -> None:
        highest = max([*self.backend.get_vocab(with_added_tokens=True).values(), self.separator])
        self.dtype = "uint16" if highest < 1 << 16 else "uint32"

    def write(self, texts: Iterable[str], progress: Progress | None) -> None:
        """Texts of white space alone are left out: Metaspace would make a bare ▁ of each."""
        with (self.folder / _TOKENS).open("wb") as tokens, (self.folder / _DOCUMENTS).open("wb") as bounds:
            tokens.write(np.array([self.separator], dtype=self.dtype).tobytes())
            bounds.write(np.array([1], dtype=np.int64).tobytes())
            for batch in encoded(self.backend, (text for text in texts if text and not text.isspace())):
                ids, lengths = self._flattened(batch)
                tokens.write(ids.tobytes())
                bounds.write((1 + self.count + np.cumsum(lengths, dtype=np.int64)).tobytes())
                self.documents += len(lengths)
                self.count += len(ids)
                if progress:
                    progress(self.documents, self.count)
        write_json(self.folder / _META, {name: getattr(self, name) for name in _FIELDS})

    def _flattened(self, batch: list[tuple[str, list[int]]]) -> tuple[Ids, list[int]]:
        """Ids of all documents, each with its separator, and each one's length."""
        documents = [np.array([*ids, self.separator], dtype=self.dtype) for _, ids in batch if ids]
        self.bytes += sum(len(text.encode()) for text, ids in batch if ids)
        flat = np.concatenate(documents) if documents else np.empty(0, dtype=self.dtype)
        return flat, [len(document) for document in documents]
