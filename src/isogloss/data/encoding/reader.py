"""What every kind needs to turn examples into rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from isogloss.core.errors import DataError, ModelError
from isogloss.data.features import Features
from isogloss.data.labels import LabelIndex
from isogloss.data.pieces import Frame, Pieces, bare_spaces, pieces
from isogloss.data.records import Example, Kind

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Objective: TypeAlias = Literal["masked", "causal", "seq2seq"]
"""How a model reads text."""

Purpose: TypeAlias = Literal["train", "predict"]
"""What rows are for: to learn the gold, or to predict."""

Row: TypeAlias = tuple[list[int], list[int]]
"""Token ids and token types of a row."""


@dataclass(frozen=True)
class Reader:
    """The tokenizer and the settings of one call of `encode`; its attributes are that function's arguments.

    Attributes:
        frame: the tokenizer's special tokens.
        labels: numbers of the labels.
        train: whether gold is read.
    """

    tokenizer: PreTrainedTokenizerFast
    frame: Frame
    labels: LabelIndex
    max_length: int
    objective: Objective
    train: bool
    stride: int | None

    def features(self, kind: Kind, example: int, *rows: Row, **gold: Any) -> Features:
        """Put rows together with what else the kind has; types only where the tokenizer has them."""
        typed = "token_type_ids" in self.tokenizer.model_input_names
        return Features(
            kind,
            example,
            tuple(ids for ids, _ in rows),
            tuple(types for _, types in rows) if typed else None,
            **gold,
        )

    def pieces(self, texts: Sequence[str]) -> list[Pieces]:
        """Tokens of texts, without special ones."""
        return pieces(self.tokenizer, texts)

    @cached_property
    def bare(self) -> frozenset[int]:
        """Tokens that are a space and nothing else."""
        return bare_spaces(self.tokenizer)

    @cached_property
    def sentinels(self) -> list[int]:
        """T5's sentinels, in order."""
        return sentinels(self.tokenizer)


def require_gold(example: Example, gold: object) -> None:
    """Refuse an example without an answer: None or an empty tuple."""
    if gold is None or gold == ():
        raise DataError(
            f"example {example.id!r} has no gold",
            wanted="an answer to train on",
            fix="leave it out of training",
        )


def chunks(length: int, room: int, stride: int | None, *, share: int = 3) -> Iterator[range]:
    """Overlapping ranges over `length` tokens, each of at most `room`; one, empty, for no tokens."""
    overlap = min(room - 1, room // share if stride is None else stride)
    begin = 0
    while True:
        end = min(begin + room, length)
        yield range(begin, end)
        if end == length:
            return
        begin = end - overlap


def sentinels(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Ids of <extra_id_0>, <extra_id_1>, ... in order.

    Raises:
        ModelError: there are none.
    """
    vocabulary = tokenizer.get_vocab()
    found: list[int] = []
    while f"<extra_id_{len(found)}>" in vocabulary:
        found.append(vocabulary[f"<extra_id_{len(found)}>"])
    if len(found) < 2:
        raise ModelError(
            "the tokenizer has no sentinels (<extra_id_0>, ...)",
            wanted="them, to score text with an encoder-decoder model",
            fix="use the tokenizer the model was pretrained with",
        )
    return found
