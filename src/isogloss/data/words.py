"""Which token ids begin a word, for any kind of vocabulary.

A word is what stands between spaces. Scripts written without spaces (Han, kana, Thai, Lao, Khmer, Burmese)
would make a clause one word, so there every piece begins a word of its own, as BERT does for Han.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from isogloss.core.by_language import each_tokenizer, is_filler
from isogloss.core.errors import ModelError
from isogloss.core.tokenizer import backend_of

_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # kana
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x20000, 0x3FFFF),  # Han, supplementary planes
)
_UNSPACED_LEAD_BYTES = range(0xE3, 0xEA)
"""First UTF-8 bytes of U+3000 to U+9FFF, for byte-level pieces that hold only the beginning of a letter."""


def word_starts(tokenizer: Any) -> npt.NDArray[np.bool_]:
    """True for each id that begins a word; special tokens begin one too.

    Args:
        tokenizer: a transformers tokenizer of the fast kind, a `tokenizers.Tokenizer`, or one for each of
            several languages.

    Returns:
        One entry per id from 0 to the highest; ids that no token has are True.

    Raises:
        ModelError: the vocabulary marks the ends of words, not their beginnings (CLIP, old GPT).
    """
    return np.logical_and.reduce([_starts(one) for one in each_tokenizer(tokenizer)])


def _starts(tokenizer: Any) -> npt.NDArray[np.bool_]:
    backend = backend_of(tokenizer)
    described = json.loads(backend.to_str())
    begins = _rule(described)
    special = {token["id"] for token in described["added_tokens"] if token["special"]}
    vocabulary = backend.get_vocab(with_added_tokens=True)
    starts = np.ones(max(vocabulary.values()) + 1, dtype=np.bool_)
    for token, index in vocabulary.items():
        starts[index] = index in special or is_filler(token) or begins(token)
    return starts


def _rule(described: dict[str, Any]) -> Callable[[str], bool]:
    model = described["model"]
    if model.get("end_of_word_suffix"):
        raise ModelError(
            f"a {model['type']} vocabulary that marks word ends with {model['end_of_word_suffix']!r}",
            wanted="a vocabulary that marks where words begin (▁, Ġ or ##)",
            fix="switch whole-word masking off for this model",
        )
    if model["type"] == "WordLevel":
        return lambda token: True
    if prefix := model.get("continuing_subword_prefix"):
        return lambda token: not token.startswith(prefix)
    if _uses(described, "ByteLevel"):
        return _byte_level_begins
    return lambda token: token.startswith("▁") or _unspaced(token)


def _uses(described: dict[str, Any], component: str) -> bool:
    text = json.dumps([described["pre_tokenizer"], described["decoder"]])
    return f'"type": "{component}"' in text


def _unspaced(text: str) -> bool:
    return bool(text) and any(low <= ord(text[0]) <= high for low, high in _UNSPACED)


def _byte_level_begins(token: str) -> bool:
    content = bytes(_BYTES[letter] for letter in token if letter in _BYTES)
    text = content.decode(errors="ignore") if content else token
    if content and content[0] in _UNSPACED_LEAD_BYTES:
        return True
    return text[:1].isspace() or _unspaced(text)


def _byte_letters() -> dict[str, int]:
    """GPT-2's alphabet: the printable Latin-1 letters are themselves, the rest are moved to U+0100 and on."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    moved = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(moved)}


_BYTES = _byte_letters()
