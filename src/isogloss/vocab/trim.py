"""A vocabulary cut down to what some languages use; text of those languages is tokenised as before.

The rule of BiStil (Ansell et al., 2023, 2306.01709): a token stays if its share of any one language's tokens
reaches a threshold. Beyond it stay what the tokenizer itself needs, and a floor of letters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import DataError, ModelError
from isogloss.core.tokenizer import backend_of, encoded

THRESHOLD = 1e-6

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrimmedVocabulary:
    """What is left, and what it cost.

    Attributes:
        tokenizer_json: the trimmed tokenizer, as the tokenizers library writes it.
        kept: the old id of each new one, rising; (new size,).
        lost: per language, the share of its tokens that are no longer in the vocabulary, in [0, 1]. 0 means
            that the text counted is tokenised exactly as before.
    """

    tokenizer_json: str
    kept: Ints
    lost: dict[str, float]


def trim_vocabulary(
    tokenizer: Any, corpora: Mapping[str, Iterable[str]], *, threshold: float = THRESHOLD
) -> TrimmedVocabulary:
    """Keep the tokens that at least one of the languages uses.

    A token is kept if its share of some language's tokens is `threshold` or more. Besides:
    - special and other added tokens, the unknown token, and all byte pieces where the vocabulary falls back
      to bytes;
    - the letter floor: each letter that occurs in the text, where it is a piece of its own, so that words
      spelt with dropped pieces do not become unknown;
    - the piece of the lowest score, from which the library derives the score of the unknown token: without
      it, text with unknown letters can be cut elsewhere.

    Ids keep their order and close ranks.

    Args:
        tokenizer: a transformers tokenizer of the fast kind, or a `tokenizers.Tokenizer`.
        corpora: texts per language; streamed once.
        threshold: in [0, 1]; 0 keeps every token that occurs at all.

    Raises:
        ModelError: the tokenizer's model is of a type that cannot be trimmed.
        DataError: a language gives no token.
    """
    backend = backend_of(tokenizer)
    described = json.loads(backend.to_str())
    trim = _trimmer(described["model"]["type"])
    counts = count_tokens(backend, corpora)
    wanted = _frequent(counts, threshold)
    seen = np.sum(list(counts.values()), axis=0) > 0
    for token in described["added_tokens"]:
        wanted[token["id"]] = True
    trim(described["model"], wanted, seen)
    kept = np.flatnonzero(wanted)
    _renumber(described, _new_ids(wanted))
    lost = {language: 1.0 - float(count[wanted].sum() / count.sum()) for language, count in counts.items()}
    return TrimmedVocabulary(
        tokenizer_json=json.dumps(described, ensure_ascii=False), kept=kept.astype(np.int64), lost=lost
    )


def count_tokens(tokenizer: Any, corpora: Mapping[str, Iterable[str]]) -> dict[str, Ints]:
    """How often each token occurs in each language's text, special tokens not added.

    Returns:
        Per language, counts by id; (highest id + 1,).

    Raises:
        DataError: a language gives no token.
    """
    backend = backend_of(tokenizer)
    size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
    return {language: _count(backend, texts, size, language) for language, texts in corpora.items()}


def _count(backend: Any, texts: Iterable[str], size: int, language: str) -> Ints:
    counts = np.zeros(size, dtype=np.int64)
    for batch in encoded(backend, texts):
        flat = [index for _, ids in batch for index in ids]
        counts += np.bincount(np.array(flat, dtype=np.int64), minlength=size)
    if not counts.any():
        raise DataError(
            f"the {language} text is empty: no token to count",
            wanted="text in every language the vocabulary is kept for",
            fix="check the path and the column of the corpus",
        )
    return counts


def _frequent(counts: Mapping[str, Ints], threshold: float) -> Flags:
    """Tokens that occur, and reach the threshold in some language; (size,)."""
    return np.any([(count > 0) & (count >= threshold * count.sum()) for count in counts.values()], axis=0)


def _trimmer(kind: str) -> Callable[[dict[str, Any], Flags, Flags], None]:
    if kind not in _TRIMMERS:
        raise ModelError(
            f"a {kind} vocabulary, which cannot be trimmed yet",
            wanted=f"one of: {', '.join(_TRIMMERS)}",
            fix="keep the whole vocabulary (trim: false), or choose a model with a vocabulary of these types",
        )
    return _TRIMMERS[kind]


def _trim_unigram(model: dict[str, Any], wanted: Flags, seen: Flags) -> None:
    """Add to `wanted` what a Unigram vocabulary cannot do without, and cut the model down to it."""
    vocabulary: list[tuple[str, float]] = model["vocab"]
    letters = {letter for index in np.flatnonzero(seen[: len(vocabulary)]) for letter in vocabulary[index][0]}
    for index, (piece, _) in enumerate(vocabulary):
        wanted[index] |= piece in letters or (bool(model.get("byte_fallback")) and _is_byte(piece))
    wanted[min(range(len(vocabulary)), key=lambda index: vocabulary[index][1])] = True
    if model["unk_id"] is not None:
        wanted[model["unk_id"]] = True
        model["unk_id"] = int(wanted[: model["unk_id"]].sum())
    model["vocab"] = [entry for entry, stays in zip(vocabulary, wanted.tolist(), strict=False) if stays]


def _is_byte(piece: str) -> bool:
    """`<0x00>` to `<0xFF>`."""
    return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")


_TRIMMERS: dict[str, Callable[[dict[str, Any], Flags, Flags], None]] = {"Unigram": _trim_unigram}


def _new_ids(wanted: Flags) -> Callable[[int], int]:
    before = np.cumsum(wanted) - 1

    def new_id(old: int) -> int:
        assert wanted[old], old
        return int(before[old])

    return new_id


def _renumber(described: dict[str, Any], new_id: Callable[[int], int]) -> None:
    """New ids in everything around the model: added tokens, post-processors, padding."""
    for token in described["added_tokens"]:
        token["id"] = new_id(token["id"])
    if described.get("padding"):
        described["padding"]["pad_id"] = new_id(described["padding"]["pad_id"])
    _renumber_processor(described.get("post_processor"), new_id)


def _renumber_processor(processor: dict[str, Any] | None, new_id: Callable[[int], int]) -> None:
    kind = processor["type"] if processor else None
    if processor is None or kind == "ByteLevel":
        return
    if kind == "Sequence":
        for part in processor["processors"]:
            _renumber_processor(part, new_id)
    elif kind == "TemplateProcessing":
        for token in processor["special_tokens"].values():
            token["ids"] = [new_id(index) for index in token["ids"]]
    elif kind in ("RobertaProcessing", "BertProcessing"):
        for end in ("sep", "cls"):
            processor[end] = [processor[end][0], new_id(processor[end][1])]
    else:
        raise ModelError(
            f"a post-processor of type {kind}, whose token ids cannot be renumbered",
            wanted="TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel or a Sequence of them",
            fix="keep the whole vocabulary of this model (trim: false)",
        )
