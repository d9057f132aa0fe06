"""What a piece of a BPE vocabulary is made of, found by making it again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any


class Merges:
    """The merges of a BPE model, replayed.

    Merges across the edge of a piece never fired, or it would not be one. So those that made it inside any
    text are those that make it from its letters alone, and replaying each piece of a text once finds every
    merge that fired on the text.
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        """
        Args:
            model: the `model` of a tokenizer.json of type BPE.
        """
        self._prefix: str = model.get("continuing_subword_prefix") or ""
        self._suffix: str = model.get("end_of_word_suffix") or ""
        self._rank = {(left, right): rank for rank, (left, right) in enumerate(model["merges"])}
        self._makers: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for pair in self._rank:
            self._makers[self.join(*pair)].append(pair)
        self._known: dict[str, frozenset[str]] = {}

    def join(self, left: str, right: str) -> str:
        """The piece two pieces merge into."""
        return left + right.removeprefix(self._prefix)

    def ancestors(self, piece: str) -> frozenset[str]:
        """Every piece on the way from letters to this one, itself among them.

        A piece that replaying does not make (a whole word of an `ignore_merges` vocabulary, one of bytes a
        letter fell back to) brings all pieces that could be merged into it.
        """
        if piece not in self._known:
            self._known[piece] = self._replayed(piece) or self._all_ways(piece)
        return self._known[piece]

    def _replayed(self, piece: str) -> frozenset[str] | None:
        """Merge the lowest rank first, the leftmost of equals; None when the end is not the piece."""
        symbols = self._letters(piece)
        made = set(symbols)
        while len(symbols) > 1:
            ranked = ((self._rank.get(pair), place) for place, pair in enumerate(pairwise(symbols)))
            place = min(((rank, place) for rank, place in ranked if rank is not None), default=(0, -1))[1]
            if place < 0:
                return None
            symbols[place : place + 2] = [self.join(symbols[place], symbols[place + 1])]
            made.add(symbols[place])
        return frozenset(made) if symbols == [piece] else None

    def _letters(self, piece: str) -> list[str]:
        """As the library cuts a word: a mark before every letter but the word's first, one after its last."""
        inside = bool(self._prefix) and piece.startswith(self._prefix)
        ends = bool(self._suffix) and piece.endswith(self._suffix)
        letters = list(piece[len(self._prefix) * inside : len(piece) - len(self._suffix) * ends])
        symbols = [self._prefix * (inside or place > 0) + letter for place, letter in enumerate(letters)]
        if symbols and ends:
            symbols[-1] += self._suffix
        return symbols

    def _all_ways(self, piece: str) -> frozenset[str]:
        parts = {part for pair in self._makers.get(piece, ()) for part in pair}
        return frozenset({piece}).union(*(self.ancestors(part) for part in parts))

    def among(self, pieces: Iterable[str]) -> list[list[str]]:
        """The merges whose parts and result are all among the pieces, in order."""
        kept = set(pieces)
        return [
            [left, right]
            for left, right in self._rank
            if left in kept and right in kept and self.join(left, right) in kept
        ]
