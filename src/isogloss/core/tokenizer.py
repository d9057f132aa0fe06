"""The tokenizers library's object behind any fast tokenizer, and text streamed through it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isogloss.core.by_language import each_tokenizer, is_filler
from isogloss.core.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BATCH, _CHARACTERS = 1000, 2_000_000
"""Texts that are tokenised together, at most: ids come as Python's numbers, a hundred bytes for a token."""


def backend_of(tokenizer: Any) -> Tokenizer:
    """A private copy of the `tokenizers.Tokenizer` behind a tokenizer, without truncation or padding.

    Args:
        tokenizer: a transformers tokenizer of the fast kind, or a `tokenizers.Tokenizer`.

    Raises:
        ModelError: there is none.
    """
    from tokenizers import Tokenizer

    inner = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(inner, Tokenizer):
        raise ModelError(
            f"a {type(tokenizer).__name__}, which has no tokenizers library behind it",
            wanted="a tokenizer with a tokenizer.json",
            fix="load it with transformers.AutoTokenizer from a folder that holds tokenizer.json",
        )
    copy = Tokenizer.from_str(inner.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def encoded(backend: Tokenizer, texts: Iterable[str]) -> Iterator[list[tuple[str, list[int]]]]:
    """Texts with their token ids, special tokens not added, some at a time, tokenised on all cores."""
    for batch in _some(texts):
        rows = backend.encode_batch_fast(batch, add_special_tokens=False)
        yield [(text, row.ids) for text, row in zip(batch, rows, strict=True)]


def _some(texts: Iterable[str]) -> Iterator[list[str]]:
    batch, characters = list[str](), 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if len(batch) == _BATCH or characters >= _CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def own_size(tokenizer: Any) -> int:
    """The largest id that is no filler's + 1: all ids of a tokenizer but of one moved into a larger space."""
    vocabulary = backend_of(tokenizer).get_vocab(with_added_tokens=True)
    return 1 + max(index for token, index in vocabulary.items() if not is_filler(token))


def special_flags(tokenizer: Any) -> npt.NDArray[np.bool_]:
    """True for each special token, and for each id that no token has, or a filler; (largest id + 1,).

    Args:
        tokenizer: a transformers tokenizer of the fast kind, or one for each of several languages.
    """
    backends = [backend_of(one) for one in each_tokenizer(tokenizer)]
    vocabularies = [backend.get_vocab(with_added_tokens=True) for backend in backends]
    special = np.ones(max(map(max, (one.values() for one in vocabularies))) + 1, dtype=np.bool_)
    for vocabulary in vocabularies:
        special[[index for token, index in vocabulary.items() if not is_filler(token)]] = False
    special[list(tokenizer.all_special_ids)] = True
    for backend in backends:
        added = backend.get_added_tokens_decoder()
        special[[index for index, token in added.items() if token.special]] = True
    return special
