"""What each kind of vocabulary cannot do without, and how it is cut down."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from isogloss.core.errors import ModelError
from isogloss.vocab.merges import Merges

Renumber = Callable[[int], int]


class Kind(Protocol):
    """One kind of vocabulary; `model` is that of tokenizer.json.

    Attributes:
        pieces: by id.
    """

    pieces: dict[int, str]

    def letters(self, piece: str) -> str:
        """The piece without the marks that tell its place in a word."""
        ...

    def essential(self) -> Iterable[int]:
        """Ids without which other text than theirs is cut otherwise."""
        ...

    def ancestors(self, index: int) -> Iterable[int]:
        """Ids without which this one is never made; may hold the id itself."""
        ...

    def begun(self, words: Iterable[str]) -> Iterator[int]:
        """The ids unknown words begin with before they turn out to be unknown."""
        ...

    def cut(self, kept: list[int], new_id: Renumber) -> dict[str, Any]:
        """The model with these ids (rising) alone."""
        ...


class _Unigram:
    """Dropping pieces that are not on the best path leaves it the best.

    Only that must hold for unknown letters too, whose score the library derives from the lowest of all.
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        self._model = model
        self.pieces = {index: piece for index, (piece, _) in enumerate(model["vocab"])}

    def letters(self, piece: str) -> str:
        return piece

    def essential(self) -> Iterable[int]:
        vocabulary, unknown = self._model["vocab"], self._model["unk_id"]
        yield min(range(len(vocabulary)), key=lambda index: vocabulary[index][1])
        yield from () if unknown is None else (unknown,)
        yield from _fallback(self._model, self.pieces)

    def ancestors(self, index: int) -> Iterable[int]:
        return (index,)

    def begun(self, words: Iterable[str]) -> Iterator[int]:
        return iter(())

    def cut(self, kept: list[int], new_id: Renumber) -> dict[str, Any]:
        unknown = self._model["unk_id"]
        return {
            **self._model,
            "vocab": [self._model["vocab"][index] for index in kept if index in self.pieces],
            "unk_id": None if unknown is None else new_id(unknown),
        }


class _WordPiece:
    """The longest piece first: it stays the longest when others go.

    A word is unknown as a whole when the pieces it begins with leave a rest that none fits. With those pieces
    gone it would be begun otherwise, and might be spelt.
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        self._model = model
        self._ids: dict[str, int] = model["vocab"]
        self._prefix: str = model["continuing_subword_prefix"]
        self.pieces = {index: piece for piece, index in self._ids.items()}

    def letters(self, piece: str) -> str:
        return piece.removeprefix(self._prefix)

    def essential(self) -> Iterable[int]:
        unknown = self._model["unk_token"]
        return (self._ids[unknown],) if unknown in self._ids else ()

    def ancestors(self, index: int) -> Iterable[int]:
        return (index,)

    def begun(self, words: Iterable[str]) -> Iterator[int]:
        for word in words:
            if len(word) <= self._model["max_input_chars_per_word"]:
                yield from self._begun(word)

    def _begun(self, word: str) -> list[int]:
        found: list[int] = []
        start = 0
        while start < len(word):
            mark = self._prefix * (start > 0)
            ends = (end for end in range(len(word), start, -1) if mark + word[start:end] in self._ids)
            end = next(ends, None)
            if end is None:
                return found
            found.append(self._ids[mark + word[start:end]])
            start = end
        return []

    def cut(self, kept: list[int], new_id: Renumber) -> dict[str, Any]:
        return {**self._model, "vocab": _renumbered(self.pieces, kept, new_id)}


class _Bpe:
    """Merges are made in the order of their rank: without those that never fire, text is cut as before."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self._model = model
        self._ids: dict[str, int] = model["vocab"]
        self._merges = Merges(model)
        self.pieces = {index: piece for piece, index in self._ids.items()}

    def letters(self, piece: str) -> str:
        prefix, suffix = (
            self._model.get(key) or "" for key in ("continuing_subword_prefix", "end_of_word_suffix")
        )
        return piece.removeprefix(prefix).removesuffix(suffix)

    def essential(self) -> Iterable[int]:
        unknown = self._model.get("unk_token")
        yield from (self._ids[unknown],) if unknown in self._ids else ()
        yield from _fallback(self._model, self.pieces)

    def ancestors(self, index: int) -> Iterable[int]:
        if index not in self.pieces:
            return (index,)
        return (
            self._ids[piece] for piece in self._merges.ancestors(self.pieces[index]) if piece in self._ids
        )

    def begun(self, words: Iterable[str]) -> Iterator[int]:
        return iter(())

    def cut(self, kept: list[int], new_id: Renumber) -> dict[str, Any]:
        vocabulary = _renumbered(self.pieces, kept, new_id)
        return {**self._model, "vocab": vocabulary, "merges": self._merges.among(vocabulary)}


_KINDS: dict[str, Callable[[Mapping[str, Any]], Kind]] = {
    "Unigram": _Unigram,
    "WordPiece": _WordPiece,
    "BPE": _Bpe,
}


def kind_of(model: Mapping[str, Any]) -> Kind:
    """The rules for the `model` of a tokenizer.json.

    Raises:
        ModelError: it is of another type.
    """
    if model["type"] not in _KINDS:
        raise ModelError(
            f"a {model['type']} vocabulary, which cannot be trimmed",
            wanted=f"one of: {', '.join(_KINDS)}",
            fix="keep the whole vocabulary (trim: false), or choose a model with a vocabulary of these types",
        )
    return _KINDS[model["type"]](model)


def _renumbered(pieces: Mapping[int, str], kept: Iterable[int], new_id: Renumber) -> dict[str, int]:
    return {pieces[index]: new_id(index) for index in kept if index in pieces}


_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def _fallback(model: Mapping[str, Any], pieces: Mapping[int, str]) -> Iterator[int]:
    """The byte pieces that spell unknown letters, where the vocabulary has such."""
    if model.get("byte_fallback"):
        yield from (index for index, piece in pieces.items() if _BYTE.fullmatch(piece))
