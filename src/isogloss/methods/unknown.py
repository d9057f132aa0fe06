"""Text of which a tokenizer does not know the letters: its bits and its perplexity flatter the model."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from isogloss.core.by_language import tokenizer_of
from isogloss.core.errors import IsoglossWarning
from isogloss.core.languages import language
from isogloss.core.tokenizer import backend_of
from isogloss.data.tokens import TokenFile
from isogloss.vocab.count import unknown_id
from isogloss.vocab.fertility import measured_text

_MUCH = 0.01


def warn_of_unknown_text(tokenizer: Any, texts: Mapping[str, Iterable[str]]) -> None:
    """Warn where more than one token in a hundred is unknown.

    Args:
        tokenizer: of a transformers model, or one for each language.
        texts: by language.
    """
    shares = {}
    for tag, own in texts.items():
        backend = backend_of(tokenizer_of(tokenizer, tag))
        found = measured_text(backend, own)
        shares[tag] = found.unknown / max(1, found.tokens)
    _warn(shares)


def warn_of_unknown_tokens(tokenizer: Any, files: Mapping[str, TokenFile]) -> None:
    """The same of text that is tokenised already."""
    shares = {}
    for tag, file in files.items():
        unknown = unknown_id(backend_of(tokenizer_of(tokenizer, tag)))
        shares[tag] = 0.0 if unknown is None else float(np.mean(file.ids == unknown))
    _warn(shares)


def _warn(shares: Mapping[str, float]) -> None:
    many = {tag: share for tag, share in shares.items() if share > _MUCH}
    if many:
        told = ", ".join(f"{language(tag).name} ({share:.1%})" for tag, share in many.items())
        warnings.warn(
            f"the vocabulary does not know some tokens of the text of {told}. To tell that a token is "
            "unknown takes few bits, so perplexity and bits per byte look better there than they are",
            IsoglossWarning,
            stacklevel=3,
        )
