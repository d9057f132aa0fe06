"""Two languages' rows for the same pieces, in a model and in the word2vec control."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isogloss.analysis.alignment import States
from isogloss.analysis.embeddings import row_alignment
from isogloss.analysis.word2vec import word2vec
from isogloss.core.by_language import tokenizer_of
from isogloss.core.resampling import Estimate
from isogloss.data.tokens import TokenFile
from isogloss.methods.finding import Finding, Pair
from isogloss.models.anatomy import anatomy
from isogloss.models.tasks import TaskModel

_COUNTED_AT_ONCE = 1 << 24

Occurrences = Mapping[str, Mapping[str, int]]
"""By language, how often each piece was read in training."""


def model_rows(
    subject: TaskModel, tokenizer: Any, pairs: Sequence[Pair], occurrences: Occurrences, *, seed: int = 0
) -> Iterator[Finding]:
    """A model's input rows, and its output rows where they are others, compared by frequency.

    Args:
        tokenizer: its tokenizer, or tokenizers by language.
        pairs: of languages; one whose languages share all their pieces' rows gives nothing.
        occurrences: by language, how often each piece was read in training; 0, or a piece left out, for not
            at all.
        seed: of the intervals.
    """
    tables = _tables(subject)
    for pair in pairs:
        vocabularies = [tokenizer_of(tokenizer, tag).get_vocab() for tag in pair]
        read = [occurrences.get(tag, {}) for tag in pair]
        yield from _compared(tables, pair, vocabularies, read, seed)


def piece_counts(file: TokenFile, tokenizer: Any) -> dict[str, int]:
    """How often each piece of a tokenizer stands in a file that it read."""
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    for start in range(0, len(file.ids), _COUNTED_AT_ONCE):
        counts += np.bincount(file.ids[start : start + _COUNTED_AT_ONCE], minlength=len(counts))
    return {piece: int(counts[index]) for piece, index in tokenizer.get_vocab().items() if counts[index]}


def word2vec_rows(
    sequences: Iterable[npt.NDArray[np.integer]],
    tokenizer: Any,
    pairs: Sequence[Pair],
    *,
    hidden: int = 768,
    seed: int = 0,
) -> Iterator[Finding]:
    """The control: rows of word vectors of a token stream, compared as those of a model are.

    Args:
        sequences: ids of a model's whole space, each (tokens,), such as its training sequences; re-iterable.
        tokenizer: tokenizers by language; pieces that two languages share are no evidence.
        pairs: of languages.
        hidden: length of a vector.

    Raises:
        UserError: gensim is not installed.
        DataError: no token.
    """
    vectors = word2vec(sequences, size=len(tokenizer), hidden=hidden, seed=seed)
    tables = {"input": vectors.input, "output": vectors.output}
    for pair in pairs:
        vocabularies = [tokenizer_of(tokenizer, tag).get_vocab() for tag in pair]
        read = [{piece: int(vectors.counts[i]) for piece, i in own.items()} for own in vocabularies]
        yield from _compared(tables, pair, vocabularies, read, seed)


def _compared(
    tables: Mapping[str, States],
    pair: Pair,
    vocabularies: Sequence[Mapping[str, int]],
    read: Sequence[Mapping[str, int]],
    seed: int,
) -> Iterator[Finding]:
    """Rows of pieces that both languages have under different ids; nothing where they share them all.

    A piece that one of the two never read has a row that nothing moved, so it has no part.
    """
    first, second = vocabularies
    both = [piece for piece, index in first.items() if second.get(piece, index) != index]
    pieces = [piece for piece in both if all(own.get(piece) for own in read)]
    if not pieces:
        return
    ids = [[own[piece] for piece in pieces] for own in vocabularies]
    counts = [sum(own[piece] for own in read) // 2 for piece in pieces]
    for part, table in tables.items():
        found = row_alignment(table[ids[0]], table[ids[1]], counts, seed=seed)
        values = [
            (found.cosine, found.floor, None),
            *((one.cosine, one.floor, one.low) for one in found.bins),
        ]
        for cosine, floor, frequency in values:
            alone = Estimate(floor, float("nan"), float("nan"))
            yield Finding("embedding_cosine", cosine, pair, part=part, frequency=frequency)
            yield Finding("embedding_cosine_floor", alone, pair, part=part, frequency=frequency)


def _tables(subject: TaskModel) -> dict[str, npt.NDArray[np.float32]]:
    """Input rows, and output rows where they are others."""
    parts = anatomy(subject)
    tables = {"input": parts.embedding.weight}
    own = getattr(parts.lm_head, "weight", None)
    if own is not None and own is not parts.embedding.weight:
        tables["output"] = own
    return {name: table.detach().float().cpu().numpy() for name, table in tables.items()}
