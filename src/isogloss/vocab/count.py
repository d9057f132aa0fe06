"""How often each token of a vocabulary occurs in each language's text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import DataError
from isogloss.core.tokenizer import backend_of
from isogloss.vocab.encode import ahead, all_ids
from isogloss.vocab.words import Tally, cuts_at_spaces, tallied

Ints = npt.NDArray[np.int64]
Beside = Callable[[str], Iterable[int]]


@dataclass(frozen=True)
class Usage:
    """What one language's text uses of a vocabulary.

    Attributes:
        counts: occurrences by id; (highest id + 1,).
        tried: occurrences by id of tokens a word was begun with before it turned out to be unknown; they do
            not come out, but without them the word could come out otherwise. (highest id + 1,).
    """

    counts: Ints
    tried: Ints


def count_tokens(tokenizer: Any, corpora: Mapping[str, Iterable[str]]) -> dict[str, Ints]:
    """How often each token occurs in each language's text, special tokens not added.

    Returns:
        Per language, counts by id; (highest id + 1,).

    Raises:
        ModelError: the tokenizer has no tokenizers library behind it.
        DataError: a language gives no token.
    """
    return {language: usage.counts for language, usage in count_usage(tokenizer, corpora).items()}


def count_usage(
    tokenizer: Any, corpora: Mapping[str, Iterable[str]], *, beside: Beside | None = None
) -> dict[str, Usage]:
    """Count on all cores in bounded memory; each distinct word is tokenised once where that is the same.

    Args:
        tokenizer: a transformers tokenizer of the fast kind, or a `tokenizers.Tokenizer`.
        corpora: texts per language; streamed once.
        beside: for a text whose tokens hold the unknown one, the ids that were tried; None: nothing is.

    Raises:
        ModelError: the tokenizer has no tokenizers library behind it.
        DataError: a language gives no token.
    """
    backend = backend_of(tokenizer)
    described = json.loads(backend.to_str())
    cut, unknown = cuts_at_spaces(described), _unknown_id(backend, described["model"])
    found: dict[str, Usage] = {}
    for language, texts in corpora.items():
        batches = tallied(texts, cut=cut)
        found[language] = _count(backend, batches, unknown, beside if unknown is not None else None)
        if not found[language].counts.any():
            raise DataError(
                f"the {language} text is empty: no token to count",
                wanted="text in every language the vocabulary is kept for",
                fix="check the path and the column of the corpus",
            )
    return found


def _count(backend: Any, batches: Iterator[Tally], unknown: int | None, beside: Beside | None) -> Usage:
    size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
    counts, tried = np.zeros(size), np.zeros(size, dtype=np.int64)
    for (texts, times), encodings in ahead(
        lambda tally: backend.encode_batch_fast(tally[0], add_special_tokens=False), batches
    ):
        lengths = np.fromiter(map(len, encodings), dtype=np.int64, count=len(encodings))
        weights = np.repeat(np.array(times, dtype=np.float64), lengths)
        ids = all_ids(encodings)
        counts += np.bincount(ids, weights=weights, minlength=size)
        if beside is not None:
            strange = np.repeat(np.arange(len(texts)), lengths)[ids == unknown]
            for place in np.unique(strange).tolist():
                for index in beside(texts[place]):
                    tried[index] += times[place]
    return Usage(counts.astype(np.int64), tried)


def unknown_id(backend: Any) -> int | None:
    """The id of the unknown token; None where nothing is unknown, as in byte-level vocabularies."""
    return _unknown_id(backend, json.loads(backend.to_str())["model"])


def _unknown_id(backend: Any, model: Mapping[str, Any]) -> int | None:
    if "unk_id" in model:
        return None if model["unk_id"] is None else int(model["unk_id"])
    piece = model.get("unk_token")
    return None if piece is None else backend.token_to_id(piece)
