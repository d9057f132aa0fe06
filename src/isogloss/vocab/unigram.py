"""Unigram vocabularies (Kudo, 2018, 1804.10959), trained so that equal input gives an equal vocabulary.

The tokenizers library's own trainer goes through its words in the order of a randomly seeded hash map; two
runs over the same text differ in scores and in the order of pieces. Here every sum runs over sorted words,
all of them at once as arrays of lattice edges.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

_LONGEST_PIECE = 16
_LONGEST_WORD = 32
"""Longer words are cut: a run of Han without spaces is as good as its parts to learn pieces from."""
_MOST_WORDS = 300_000
_SEEDS_PER_PIECE = 12
_FEWEST_SEEDS = 20_000
_SHRINK = 0.75
_EM_STEPS = 2
_RARE = 0.5
"""A piece expected less often is dropped, a letter counted as this often; SentencePiece's bound."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def train_unigram(words: Mapping[str, int], *, size: int) -> list[tuple[str, float]]:
    """Learn a vocabulary of pieces and their log-probabilities.

    Expectation maximisation over all segmentations, with the sparse prior of SentencePiece, and in turn
    pruning of the pieces whose loss costs the likelihood least, until `size` are left. Every letter of the
    words (of the 300,000 most frequent ones) is a piece.

    Args:
        words: how often each word occurs, spelt as the pieces shall be (`▁house`).
        size: pieces wanted; fewer come back when the words have no more to offer, more only when there are
            more letters than that.

    Returns:
        (piece, natural log-probability), most probable first.
    """
    spelt, counts = _cut(words)
    pieces, weights = _seeds(spelt, counts, limit=max(_FEWEST_SEEDS, _SEEDS_PER_PIECE * size))
    state = _State.start(spelt, counts, pieces, weights)
    target = max(size + size // 10, int(state.letters().sum()))
    while True:
        for _ in range(_EM_STEPS):
            state = _maximise(state)
        if len(state.pieces) <= target:
            return _finish(state, size)
        state = _prune(state, max(target, int(len(state.pieces) * _SHRINK)))


def _cut(words: Mapping[str, int]) -> tuple[list[str], Floats]:
    """The most frequent words in parts of at most 32 letters, sorted, and how often each occurs."""
    parts: Counter[str] = Counter()
    for word, count in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:_MOST_WORDS]:
        for start in range(0, len(word), _LONGEST_WORD):
            parts[word[start : start + _LONGEST_WORD]] += count
    spelt = sorted(parts)
    return spelt, np.array([parts[word] for word in spelt], dtype=np.float64)


def _seeds(spelt: Sequence[str], counts: Floats, *, limit: int) -> tuple[list[str], Floats]:
    """All letters, and the substrings that cover most text, each weighted by the text it covers.

    A substring that occurs only inside one longer one is left out: it could never be needed.
    """
    found: Counter[str] = Counter()
    for word, count in zip(spelt, counts.tolist(), strict=True):
        length = len(word)
        for start in range(length):
            for end in range(start + 1, min(start + _LONGEST_PIECE, length) + 1):
                found[word[start:end]] += count
    inner = {
        part for piece, count in found.items() for part in (piece[1:], piece[:-1]) if found.get(part) == count
    }
    letters = {piece: count for piece, count in found.items() if len(piece) == 1}
    longer = [
        (-count * len(piece), piece)
        for piece, count in found.items()
        if len(piece) > 1 and count > 1 and piece not in inner
    ]
    chosen = sorted(longer)[: max(limit - len(letters), 0)]
    pieces = [*sorted(letters), *(piece for _, piece in chosen)]
    weights = [*(letters[piece] for piece in sorted(letters)), *(-score for score, _ in chosen)]
    return pieces, np.array(weights, dtype=np.float64)


@dataclass(frozen=True)
class _Lattice:
    """Every way to spell some words with some pieces, as edges sorted by (end, word, start).

    An edge leads in word `word` from letter border `start` to `end` and is piece `piece`; all (edges,).
    `lengths` are letters per word, (words,).
    """

    word: Ints
    start: Ints
    end: Ints
    piece: Ints
    lengths: Ints

    @classmethod
    def of(cls, words: Sequence[str], pieces: Sequence[str]) -> _Lattice:
        index = {piece: number for number, piece in enumerate(pieces)}
        columns = array("q"), array("q"), array("q"), array("q")
        for number, word in enumerate(words):
            for start in range(len(word)):
                for end in range(start + 1, min(start + _LONGEST_PIECE, len(word)) + 1):
                    if (piece := index.get(word[start:end])) is not None:
                        for column, value in zip(columns, (number, start, end, piece), strict=True):
                            column.append(value)
        word_, start_, end_, piece_ = (np.frombuffer(column, dtype=np.int64) for column in columns)
        order = np.lexsort((start_, word_, end_))
        lengths = np.array([len(word) for word in words], dtype=np.int64)
        return cls(word_[order], start_[order], end_[order], piece_[order], lengths)

    def keep(self, pieces: Flags, words: Flags) -> _Lattice:
        """Without the edges of pieces and words that are not kept; the others renumbered."""
        edges = pieces[self.piece] & words[self.word]
        return _Lattice(
            (np.cumsum(words) - 1)[self.word[edges]],
            self.start[edges],
            self.end[edges],
            (np.cumsum(pieces) - 1)[self.piece[edges]],
            self.lengths[words],
        )

    def in_parts(self) -> _Lattice:
        """Without the edges that span a whole word."""
        edges = (self.start > 0) | (self.end < self.lengths[self.word])
        return _Lattice(self.word[edges], self.start[edges], self.end[edges], self.piece[edges], self.lengths)

    def borders(self) -> list[slice]:
        """The edges that end at letter border 1, 2, …."""
        width = int(self.lengths.max(initial=0))
        ends = np.searchsorted(self.end, np.arange(1, width + 2))
        return [slice(a, b) for a, b in pairwise(ends.tolist())]


@dataclass(frozen=True)
class _State:
    """The vocabulary so far; `within` spells each piece with the others."""

    pieces: list[str]
    log_probabilities: Floats
    lattice: _Lattice
    within: _Lattice
    counts: Floats

    @classmethod
    def start(cls, spelt: Sequence[str], counts: Floats, pieces: list[str], weights: Floats) -> _State:
        """All seeds, as probable as their weights."""
        within = _Lattice.of(pieces, pieces).in_parts()
        return cls(pieces, np.log(weights / weights.sum()), _Lattice.of(spelt, pieces), within, counts)

    def letters(self) -> Flags:
        return np.array([len(piece) == 1 for piece in self.pieces])

    def keep(self, kept: Flags, log_probabilities: Floats) -> _State:
        pieces = [piece for piece, stays in zip(self.pieces, kept.tolist(), strict=True) if stays]
        words = np.ones(len(self.counts), dtype=np.bool_)
        return _State(
            pieces,
            log_probabilities[kept],
            self.lattice.keep(kept, words),
            self.within.keep(kept, kept),
            self.counts,
        )


def _maximise(state: _State) -> _State:
    """One step of EM: pieces get the digamma of how often they are expected; rare ones go."""
    from scipy.special import digamma

    expected, letters = _expected(state), state.letters()
    expected[letters] = np.maximum(expected[letters], _RARE)
    kept = expected >= _RARE
    log_probabilities = digamma(np.maximum(expected, _RARE)) - digamma(expected[kept].sum())
    return state.keep(kept, log_probabilities)


def _expected(state: _State) -> Floats:
    """How often each piece is expected over all segmentations of all words (forward-backward)."""
    lattice, probability = state.lattice, np.exp(state.log_probabilities)
    words, edge = len(lattice.lengths), probability[lattice.piece]
    borders = lattice.borders()
    forward = np.zeros((len(borders) + 1, words))
    forward[0] = 1.0
    for end, at in enumerate(borders, start=1):
        arriving = forward[lattice.start[at], lattice.word[at]] * edge[at]
        forward[end] = np.bincount(lattice.word[at], weights=arriving, minlength=words)
    backward = np.zeros_like(forward)
    backward[lattice.lengths, np.arange(words)] = 1.0
    for end, at in reversed(list(enumerate(borders, start=1))):
        leaving = backward[end, lattice.word[at]] * edge[at]
        np.add.at(backward, (lattice.start[at], lattice.word[at]), leaving)
    total = forward[lattice.lengths, np.arange(words)]
    scale = np.divide(state.counts, total, out=np.zeros(words), where=total > 0)
    through = (
        forward[lattice.start, lattice.word]
        * edge
        * backward[lattice.end, lattice.word]
        * scale[lattice.word]
    )
    return np.bincount(lattice.piece, weights=through, minlength=len(probability)).astype(np.float64)


def _prune(state: _State, target: int) -> _State:
    """Keep the letters, and the pieces whose removal would cost the likelihood most."""
    used = np.zeros(len(state.pieces))
    for word, edge in _best_path(state.lattice, state.log_probabilities):
        used += np.bincount(state.lattice.piece[edge], weights=state.counts[word], minlength=len(used))
    cost = _cost_of_removal(state, used)
    cost[state.letters()] = np.inf
    cost[(used == 0) & ~state.letters()] = -np.inf
    order = np.argsort(-cost, kind="stable")[:target]
    kept = np.zeros(len(used), dtype=np.bool_)
    kept[order] = True
    kept &= cost > -np.inf
    return state.keep(kept, state.log_probabilities)


def _cost_of_removal(state: _State, used: Floats) -> Floats:
    """The likelihood lost if each piece were spelt with others, its next best way; (pieces,)."""
    log_used = np.log(np.maximum(used, _RARE))
    parts, spelt = np.zeros(len(used)), np.zeros(len(used))
    for word, edge in _best_path(state.within, state.log_probabilities):
        parts += np.bincount(word, minlength=len(used))
        replaced = np.log(np.maximum(used[state.within.piece[edge]] + used[word], _RARE))
        spelt += np.bincount(word, weights=replaced, minlength=len(used))
    total = used.sum()
    without = np.log(total + used * np.maximum(parts - 1, 0))
    return used * ((log_used - np.log(total)) - (spelt - parts * without))


def _best_path(lattice: _Lattice, log_probabilities: Floats) -> list[tuple[Ints, Ints]]:
    """The most probable segmentation of each word, from its end: (words, edges) of each step back.

    Of equally probable ones, that with the longest last piece. Words that cannot be spelt are left out.
    """
    words = len(lattice.lengths)
    borders = lattice.borders()
    best = np.full((len(borders) + 1, words), -np.inf)
    best[0] = 0.0
    came_by = np.full((len(borders) + 1, words), -1, dtype=np.int64)
    for end, at in enumerate(borders, start=1):
        word = lattice.word[at]
        if not len(word):
            continue
        score = best[lattice.start[at], word] + log_probabilities[lattice.piece[at]]
        firsts = np.flatnonzero(np.r_[True, word[1:] != word[:-1]])
        best[end, word[firsts]] = np.maximum.reduceat(score, firsts)
        winners = np.flatnonzero((score == best[end, word]) & (score > -np.inf))[::-1]
        came_by[end, word[winners]] = winners + at.start
    return _walk_back(lattice, came_by)


def _walk_back(lattice: _Lattice, came_by: Ints) -> list[tuple[Ints, Ints]]:
    word = np.arange(len(lattice.lengths))
    word = word[came_by[lattice.lengths, word] >= 0]
    place, steps = lattice.lengths[word], []
    while len(word):
        edge = came_by[place, word]
        steps.append((word, edge))
        place = lattice.start[edge]
        word, place = word[place > 0], place[place > 0]
    return steps


def _finish(state: _State, size: int) -> list[tuple[str, float]]:
    """All letters and the most probable of the rest, most probable first."""
    ranked = sorted(
        zip(state.pieces, state.log_probabilities.tolist(), strict=True),
        key=lambda item: (len(item[0]) > 1, -item[1], item[0]),
    )
    letters = sum(len(piece) == 1 for piece, _ in ranked)
    return sorted(ranked[: max(size, letters)], key=lambda item: (-item[1], item[0]))
