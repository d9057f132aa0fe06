"""Perplexity of running text by sliding windows: each token is predicted with much in front of it.

The protocol of the language-imbalance paper (Schäfer et al. 2024, arXiv 2404.07982), from the Languini
Kitchen: windows of 512 tokens, each 128 further on than the one before; of each, the last 128 predictions
count. So every token counts once, with 384 to 511 tokens before it, and the first 384 never do.

A window's targets end one token behind its inputs, as in training: with the stream s and window k, inputs
are s[128 k : 128 k + 512] and the targets that count s[128 k + 385 : 128 k + 513]. The last window is short
where the stream ends in it.

Example:
    >>> Windows(length=4, scored=2).number(8), Windows(length=4, scored=2).tokens(8)
    (3, 5)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from isogloss.core.errors import DataError, ModelError
from isogloss.evaluate import metrics
from isogloss.models.entries import reading_only
from isogloss.models.modes import evaluating
from isogloss.models.tasks import TaskModel, longest_input

Stream: TypeAlias = npt.NDArray[Any]
"""Token ids, of any integer type; a memory map will do."""

_MOST_SCORES = 2**25


@dataclass(frozen=True)
class Windows:
    """How a stream is cut and which predictions count.

    Attributes:
        length: tokens that a window reads.
        scored: predictions at its end that count, and tokens from one window to the next.
        first: whether the first window's other predictions count too; as published they do not.
    """

    length: int = 512
    scored: int = 128
    first: bool = False

    def __post_init__(self) -> None:
        assert 1 <= self.scored <= self.length, f"{self.scored} of {self.length} predictions"

    @property
    def begins(self) -> int:
        """Where in the stream the first token stands that counts."""
        return 1 if self.first else self.length - self.scored + 1

    def number(self, ids: int) -> int:
        """Windows of a stream of so many ids."""
        behind = ids - (self.length - self.scored + 1)
        return max(-(-behind // self.scored), int(self.first and ids > 1))

    def tokens(self, ids: int) -> int:
        """Tokens of such a stream that count."""
        return max(0, ids - self.begins)


@dataclass(frozen=True)
class Scored:
    """What a model made of a stream, window by window.

    Attributes:
        nats: summed negative log-likelihood of each window's tokens that count; (windows,).
        tokens: how many these are; (windows,).
    """

    nats: npt.NDArray[np.float64]
    tokens: npt.NDArray[np.int64]

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-likelihood; does not compare between vocabularies."""
        return metrics.perplexity(math.fsum(self.nats), int(self.tokens.sum()))

    def bits_per_byte(self, n_bytes: float) -> float:
        """Bits for each of the bytes that the tokens stand for."""
        return metrics.bits_per_byte(math.fsum(self.nats), n_bytes)


def scored_windows(
    model: TaskModel,
    streams: Mapping[str, Stream],
    windows: Windows = Windows(),
    *,
    batch_size: int = 32,
    most: int | None = None,
) -> dict[str, Scored]:
    """Score each language's stream by itself, without gradients and in evaluation mode.

    Args:
        model: of kind text, causal.
        streams: by language; the first id of each is context alone.
        batch_size: windows at once at most; fewer where the vocabulary is large.
        most: count about this many tokens of each stream, from its beginning, in whole windows; None for all.

    Raises:
        ModelError: the model is not causal, or takes fewer tokens than a window has.
        DataError: a stream is too short for a single token to count.
    """
    _check_model(model, windows)
    with evaluating(model), torch.inference_mode():
        return {
            language: _stream(model, check_stream(ids, windows, language), windows, batch_size, most)
            for language, ids in streams.items()
        }


def check_stream(ids: Stream, windows: Windows, language: str) -> Stream:
    """The stream as it is.

    Raises:
        DataError: it is too short for a single token to count.
    """
    if windows.tokens(len(ids)) < 1:
        raise DataError(
            f"{len(ids):,} tokens of {language} text for windows of {windows.length:,}",
            wanted=f"more than {windows.begins:,}, for the first ones are context alone",
            fix="give more text, a smaller window, or count the first window's tokens too (first: true)",
        )
    return ids


def _check_model(model: TaskModel, windows: Windows) -> None:
    if model.objective != "causal":
        raise ModelError(
            f"sliding windows of a {model.objective} model",
            wanted="a causal one, whose predictions know what is before them and nothing else",
            fix="a masked model has its loss on masked text instead",
        )
    longest = longest_input(model.config)
    if longest is not None and windows.length > longest:
        raise ModelError(
            f"windows of {windows.length} tokens",
            wanted=f"at most the {longest} that the model takes",
            fix=f"window: {longest}",
        )


def _stream(model: TaskModel, ids: Stream, windows: Windows, batch_size: int, most: int | None) -> Scored:
    number = windows.number(len(ids))
    if most is not None:
        number = min(number, max(1, -(-most // windows.scored)))
    rows = max(1, min(batch_size, _MOST_SCORES // (windows.scored * int(model.config.vocab_size))))
    parts = [
        _batch(model, ids, windows, range(start, min(start + rows, number)))
        for start in range(0, number, rows)
    ]
    nats, tokens = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Scored(nats, tokens)


def _batch(model: TaskModel, ids: Stream, windows: Windows, numbers: range) -> tuple[Any, Any]:
    """Nats and tokens of some windows."""
    device = next(model.parameters()).device
    inputs, targets, counts = _rows(ids, windows, numbers)
    places = torch.from_numpy(counts).to(device)
    gold = torch.from_numpy(targets[counts]).to(device)
    with reading_only(model.backbone, places):
        scores: Tensor = model.model(input_ids=torch.from_numpy(inputs).to(device), use_cache=False).logits[0]
    losses = np.zeros(counts.shape)
    losses[counts] = np.concatenate([part.cpu().numpy() for part in _losses(scores, gold)])
    return losses.sum(1), counts.sum(1)


def _losses(scores: Tensor, gold: Tensor) -> Iterator[Tensor]:
    """Of each place, some at a time: float32 copies of all scores would double the memory."""
    for some, wanted in zip(scores.split(512), gold.split(512), strict=True):
        yield cross_entropy(some.float(), wanted, reduction="none")


def _rows(ids: Stream, windows: Windows, numbers: range) -> tuple[Any, Any, Any]:
    """Inputs and targets of some windows, both (windows, length), and which targets count.

    What is behind the stream's end is 0 and does not count; nothing before it looks there.
    """
    shape = len(numbers), windows.length
    inputs, targets = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    counts = np.zeros(shape, dtype=np.bool_)
    for row, number in enumerate(numbers):
        start = number * windows.scored
        known = ids[start : start + windows.length + 1]
        there = min(windows.length, len(known) - 1)
        inputs[row, :there], targets[row, :there] = known[:there], known[1 : there + 1]
        whole = windows.first and number == 0
        counts[row, 0 if whole else windows.length - windows.scored : there] = True
    return inputs, targets, counts
