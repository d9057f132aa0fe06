"""A name for what a tokenizer does, to be kept beside everything made with it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from isogloss.core.by_language import TokenizerByLanguage
from isogloss.core.tokenizer import backend_of


def fingerprint(tokenizer: Any) -> str:
    """SHA-256 of the tokenizer's JSON with sorted keys; truncation and padding, set per call, left out.

    Equal for equal vocabularies, normalisers, splitting and special tokens, wherever they were loaded from.
    Of several languages' tokenizers, SHA-256 of the fingerprint of each.

    Args:
        tokenizer: a transformers tokenizer of the fast kind, a `tokenizers.Tokenizer`, or one for each of
            several languages.

    Raises:
        ModelError: the tokenizer has no tokenizers library behind it.
    """
    described = (
        {tag: fingerprint(tokenizer.of(tag)) for tag in tokenizer.languages}
        if isinstance(tokenizer, TokenizerByLanguage)
        else json.loads(backend_of(tokenizer).to_str())
    )
    canonical = json.dumps(described, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
