"""What a vocabulary costs each language: tokens per word, character and byte, and unknown pieces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from operator import add
from typing import Any

from isogloss.core.errors import DataError
from isogloss.core.tokenizer import backend_of, encoded
from isogloss.vocab.count import unknown_id


@dataclass(frozen=True, slots=True)
class Fertility:
    """Counts over one language's text, special tokens not added.

    Attributes:
        tokens: tokens the text became.
        words: stretches between white space; says little for scripts written without spaces.
        characters: code points, white space among them.
        bytes: of the text in UTF-8.
        unknown: tokens that are the unknown token.
    """

    tokens: int
    words: int
    characters: int
    bytes: int
    unknown: int

    @property
    def tokens_per_word(self) -> float:
        """Rust et al. (2021, 2012.15613) call this fertility; 1 is the best there is."""
        return self.tokens / self.words

    @property
    def tokens_per_character(self) -> float:
        """Between 0 and, for byte-level vocabularies, 4."""
        return self.tokens / self.characters

    @property
    def tokens_per_byte(self) -> float:
        """Between 0 and 1."""
        return self.tokens / self.bytes

    @property
    def unknown_rate(self) -> float:
        """Share of the tokens that are unknown, in [0, 1]."""
        return self.unknown / max(self.tokens, 1)

    def __add__(self, other: Fertility) -> Fertility:
        return Fertility(*map(add, astuple(self), astuple(other)))


def fertility(tokenizer: Any, corpora: Mapping[str, Iterable[str]]) -> dict[str, Fertility]:
    """Tokenise each language's text and count; the text is streamed.

    Args:
        tokenizer: a transformers tokenizer of the fast kind, or a `tokenizers.Tokenizer`.
        corpora: texts per language.

    Raises:
        DataError: a language has no words.
        ModelError: the tokenizer has no tokenizers library behind it.
    """
    backend = backend_of(tokenizer)
    found = {language: measured_text(backend, texts) for language, texts in corpora.items()}
    if empty := [language for language, one in found.items() if not one.words]:
        raise DataError(
            f"the {empty[0]} text is empty", wanted="at least one word", fix="check the path of the corpus"
        )
    return found


def measured_text(backend: Any, texts: Iterable[str]) -> Fertility:
    """The counts of some texts, which are streamed; zeros where there are none.

    Args:
        backend: a `tokenizers.Tokenizer`.
    """
    total, unknown = Fertility(0, 0, 0, 0, 0), unknown_id(backend)
    for batch in encoded(backend, texts):
        total += measured([text for text, _ in batch], [ids for _, ids in batch], unknown)
    return total


def measured(texts: Iterable[str], ids: Iterable[Sequence[int]], unknown: int | None) -> Fertility:
    """The counts of some texts and the ids they became.

    Args:
        unknown: the id of the unknown token; None: there is none.
    """
    tokens = words = characters = size = strange = 0
    for text, own in zip(texts, ids, strict=True):
        tokens += len(own)
        strange += own.count(unknown) if unknown is not None else 0
        words += len(text.split())
        characters += len(text)
        size += len(text.encode())
    return Fertility(tokens, words, characters, size, strange)
