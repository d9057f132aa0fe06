"""Word vectors of a token stream: what two languages' rows share without any model of context.

The control of 2404.07982: cloned languages never stand in one window, so nothing pulls their vectors
together. A model whose clones are alike has aligned them by more than who stands beside whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import DataError
from isogloss.core.extras import needed

Ids: TypeAlias = npt.NDArray[np.integer]
Vectors: TypeAlias = npt.NDArray[np.float32]

_LONGEST = 10_000
"""gensim cuts longer sequences off in silence."""


@dataclass(frozen=True, slots=True, eq=False)
class WordVectors:
    """Vectors of the tokens of a stream.

    Attributes:
        counts: how often each id was read; (size,).
        input: vectors of the words themselves; zeros for ids that were not read; (size, hidden).
        output: vectors of words as neighbours; likewise.
    """

    counts: npt.NDArray[np.int64]
    input: Vectors
    output: Vectors


def word2vec(
    sequences: Iterable[Ids],
    *,
    size: int,
    hidden: int = 768,
    window: int = 5,
    negative: int = 20,
    skip_grams: bool = False,
    thinned: float = 1e-3,
    epochs: int = 1,
    seed: int = 0,
) -> WordVectors:
    """Train word vectors with negative sampling (Mikolov et al., 2013).

    The defaults are those of the authors' code. On one thread, so that it comes out the same again.

    Args:
        sequences: token ids, each (tokens,); read 1 + `epochs` times, so it must be re-iterable.
        size: ids are below it.
        hidden: length of a vector.
        window: neighbours on each side at most.
        negative: words drawn beside each that is to be guessed.
        skip_grams: guess the neighbours from a word; False: the word from its neighbours.
        thinned: words more frequent than this share of the text are read less often; 0: all are read.
        epochs: passes.

    Raises:
        UserError: gensim is not installed.
        DataError: no sequence, or an id beyond `size`.
    """
    models = needed("gensim.models", extra="word2vec", why="the word2vec control")
    text = _Text(sequences)
    counts = np.zeros(size, dtype=np.int64)
    for sequence in text.parts():
        if sequence.size and int(sequence.max()) >= size:
            raise DataError(f"id {int(sequence.max())}", wanted=f"ids below {size}")
        counts += np.bincount(sequence, minlength=size)
    if not counts.any():
        raise DataError("no token", wanted="a stream of tokens to learn from")
    settings: dict[str, Any] = {"vector_size": hidden, "window": window, "negative": negative}
    settings |= {"sg": int(skip_grams), "sample": thinned, "epochs": epochs}
    model = models.Word2Vec(text, min_count=1, workers=1, seed=seed, **settings)
    ids = np.array([int(word) for word in model.wv.index_to_key])
    found = [np.zeros((size, hidden), dtype=np.float32) for _ in range(2)]
    for vectors, learnt in zip(found, (model.wv.vectors, model.syn1neg), strict=True):
        vectors[ids] = learnt
    return WordVectors(counts, *found)


class _Text:
    """Sequences as gensim reads them: lists of words, as often as it asks."""

    def __init__(self, sequences: Iterable[Ids]) -> None:
        self._sequences = sequences

    def parts(self) -> Iterator[Ids]:
        for sequence in self._sequences:
            yield from (sequence[start : start + _LONGEST] for start in range(0, len(sequence), _LONGEST))

    def __iter__(self) -> Iterator[list[str]]:
        for sequence in self.parts():
            yield [str(token) for token in sequence.tolist()]
