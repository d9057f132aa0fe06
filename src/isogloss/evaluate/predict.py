"""What a model predicts for examples of any kind, in the order they came."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from isogloss.data.encode import MASK_EVERY, Objective, encode, sentinels
from isogloss.data.features import IGNORED, Features, collate
from isogloss.data.pieces import padding_id
from isogloss.data.records import PIECES, Example
from isogloss.evaluate.predictions import (
    ChoicePrediction,
    GapPrediction,
    LabelPrediction,
    Prediction,
    SpanPrediction,
    TagsPrediction,
    TextPrediction,
    TreePrediction,
)
from isogloss.models.modes import evaluating
from isogloss.models.tasks import TaskModel, TaskOutput, aligned_labels, longest_input, only_answers
from isogloss.models.trees import decode_trees

Precision: TypeAlias = Literal["fp32", "bf16"]

DEFAULT_LENGTH = 512
_MOST_LOGITS = 2**26
"""Language models score the whole vocabulary at each token; a batch is kept below this many numbers."""


@dataclass(frozen=True, slots=True)
class _Settings:
    labels: tuple[str, ...]
    objective: Objective
    unscored: Tensor
    max_answer: int


def predict(
    model: TaskModel,
    tokenizer: Any,
    examples: Sequence[Example],
    *,
    batch_tokens: int = 8192,
    max_length: int | None = None,
    precision: Precision = "fp32",
    max_answer: int = 30,
    stride: int | None = None,
) -> list[Prediction]:
    """Predict for each example, without gradients and in evaluation mode; gold is not read.

    Args:
        batch_tokens: tokens per batch, padding included.
        max_length: tokens per row, within what the model takes; None for that, 512 at most.
        precision: "bf16" for autocast: faster on most GPUs, but a prediction then depends a little on which
            examples share its batch.
        max_answer: span: the longest answer, in tokens.
        stride: see `encode`.

    Returns:
        A record per example, in the examples' order. The model is left in the mode it was in.

    Raises:
        DataError, ModelError: as `encode`.
    """
    kind = model.kind
    features = encode(
        kind,
        examples,
        tokenizer,
        labels=model.labels,
        max_length=row_length(model, max_length),
        objective=model.objective,
        purpose="predict",
        stride=stride,
        prompt=model.prompt,
    )
    settings = _settings(model, tokenizer, max_answer)
    parts: list[list[tuple[Features, Any]]] = [[] for _ in examples]
    found = dict(_run(model, features, padding_id(tokenizer), batch_tokens, precision, settings))
    for index, feature in enumerate(features):
        parts[feature.example].append((feature, found[index]))
    return [_JOIN[kind](example, part, settings) for example, part in zip(examples, parts, strict=True)]


def row_length(model: TaskModel, wanted: int | None = None) -> int:
    """The tokens per row to use: what is wanted within what the model takes; None for that, 512 at most."""
    limit = longest_input(model.config)
    wanted = DEFAULT_LENGTH if wanted is None else wanted
    return wanted if limit is None else min(wanted, limit)


def _settings(model: TaskModel, tokenizer: Any, max_answer: int) -> _Settings:
    seq2seq = model.kind in PIECES and model.objective == "seq2seq"
    unscored = torch.tensor(sentinels(tokenizer) if seq2seq else [], dtype=torch.long)
    return _Settings(model.labels, model.objective, unscored, max_answer)


def _run(
    model: TaskModel,
    features: Sequence[Features],
    pad_id: int,
    batch_tokens: int,
    precision: Precision,
    settings: _Settings,
) -> Iterator[tuple[int, Any]]:
    """Position of a feature and what was read off the model's output for it."""
    device = next(model.parameters()).device
    budget = min(batch_tokens, max(1, int(_MOST_LOGITS / _logits_per_token(model, features))))
    read = _READ[model.kind]
    half = torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
    with evaluating(model), torch.inference_mode(), half:
        for indices in batches(features, budget):
            chosen = [features[index] for index in indices]
            batch = {name: tensor.to(device) for name, tensor in collate(chosen, pad_id).items()}
            yield from zip(indices, read(model(batch), batch, chosen, settings), strict=True)


def _logits_per_token(model: TaskModel, features: Sequence[Features]) -> float:
    if features and features[0].entries:
        return float(model.config.vocab_size * max(map(_share_scored, features)))
    if model.kind not in PIECES:
        return 1.0
    return model.config.vocab_size / (MASK_EVERY if model.objective == "masked" else 1)


def _share_scored(one: Features) -> float:
    """Places at which the vocabulary is scored, for each token read."""
    return len({(entry.row, entry.place) for entry in one.entries}) / (len(one.rows) * one.length)


def batches(features: Sequence[Features], budget: int) -> Iterator[list[int]]:
    """Positions of features in batches of at most `budget` tokens, longest rows first; at least one each."""
    order = sorted(range(len(features)), key=lambda index: -features[index].length)
    batch: list[int] = []
    rows = width = 0
    for index in order:
        width = max(width, features[index].length)
        rows += len(features[index].rows)
        if batch and rows * width > budget:
            yield batch
            batch, rows, width = [], len(features[index].rows), features[index].length
        batch.append(index)
    if batch:
        yield batch


# Reading a batch's output: one entry per feature

Batch: TypeAlias = dict[str, Tensor]


def _read_label(output: TaskOutput, batch: Batch, features: Sequence[Features], _: _Settings) -> list[Any]:
    return output.logits["labels"].float().softmax(-1).tolist()


def _read_choice(output: TaskOutput, batch: Batch, features: Sequence[Features], _: _Settings) -> list[Any]:
    rows = output.logits["choices"].float().softmax(-1).tolist()
    return [row[: one.alternatives] for row, one in zip(rows, features, strict=True)]


def _read_gap(output: TaskOutput, batch: Batch, features: Sequence[Features], _: _Settings) -> list[Any]:
    rows = output.logits["choices"].tolist()
    return [row[: one.alternatives] for row, one in zip(rows, features, strict=True)]


def _read_tokens(
    output: TaskOutput, batch: Batch, features: Sequence[Features], settings: _Settings
) -> list[Any]:
    """(sum of log-probabilities, number of tokens) per row."""
    labels = aligned_labels(batch["labels"], settings.objective)
    places = labels != IGNORED
    logits, targets = output.logits["tokens"].float(), labels[places]
    gains = logits.gather(-1, targets[:, None]).squeeze(-1) - logits.logsumexp(-1)
    counted = torch.isin(targets, settings.unscored.to(targets.device), invert=True).double()
    rows = places.nonzero()[:, 0].cpu()
    sums = torch.zeros(2, len(labels), dtype=torch.float64)
    sums.index_add_(1, rows, torch.stack([gains.double() * counted, counted]).cpu())
    return [(total, int(tokens)) for total, tokens in sums.T.tolist()]


def _read_tags(output: TaskOutput, batch: Batch, features: Sequence[Features], _: _Settings) -> list[Any]:
    best = output.logits["tags"].argmax(-1).tolist()
    return [[row[position] for _, position in one.words] for row, one in zip(best, features, strict=True)]


def _read_tree(
    output: TaskOutput, batch: Batch, features: Sequence[Features], settings: _Settings
) -> list[Any]:
    """(heads, relations) per sentence; the relation `root` is kept for the root, where there is one."""
    heads = decode_trees(output.logits["arcs"].float().cpu().numpy(), [len(one.words) for one in features])
    width = output.logits["arcs"].shape[1]
    padded = torch.tensor([row + [0] * (width - len(row)) for row in heads], device=batch["words"].device)
    scores = output.logits["relations"].float()
    index = padded.reshape(len(heads), width, 1, 1).long().expand(-1, -1, 1, scores.shape[-1])
    scores = scores.gather(2, index).squeeze(2)
    if "root" in settings.labels:
        root = settings.labels.index("root")
        scores[..., root] = torch.where(padded.reshape(len(heads), width) == 0, torch.inf, -torch.inf)
    best = scores.argmax(-1).tolist()
    return [(row, relations[: len(row)]) for row, relations in zip(heads, best, strict=True)]


def _read_span(
    output: TaskOutput, batch: Batch, features: Sequence[Features], settings: _Settings
) -> list[Any]:
    """(log-probability, first token, last token) of the best answer of each window, or None."""
    start, end = (
        only_answers(output.logits[name], batch["context"]).log_softmax(-1).cpu().numpy()
        for name in ("start", "end")
    )
    inside = batch["context"].cpu().numpy()
    return [
        _best_answer(start[row], end[row], np.flatnonzero(inside[row]), settings.max_answer)
        for row in range(len(features))
    ]


def _best_answer(start: Any, end: Any, allowed: Any, longest: int) -> tuple[float, int, int] | None:
    """The allowed tokens are neighbours, so spans are the band above the diagonal of start + end."""
    if not len(allowed):
        return None
    first = allowed[0]
    scores = start[allowed][:, None] + end[allowed][None, :]
    band = np.triu(np.ones(scores.shape, dtype=bool)) & ~np.triu(np.ones(scores.shape, dtype=bool), longest)
    begin, stop = np.unravel_index(np.where(band, scores, -np.inf).argmax(), scores.shape)
    return float(scores[begin, stop]), int(first + begin), int(first + stop)


# Joining what belongs to one example

Part: TypeAlias = Sequence[tuple[Features, Any]]


def _join_label(example: Any, parts: Part, settings: _Settings) -> Prediction:
    probabilities = parts[0][1]
    return LabelPrediction(example.id, settings.labels[int(np.argmax(probabilities))], tuple(probabilities))


def _join_choice(example: Any, parts: Part, settings: _Settings) -> Prediction:
    return ChoicePrediction(example.id, int(np.argmax(parts[0][1])), tuple(parts[0][1]))


def _join_gap(example: Any, parts: Part, settings: _Settings) -> Prediction:
    scores = parts[0][1]
    return GapPrediction(example.id, example.candidates[int(np.argmax(scores))], tuple(scores))


def _join_tags(example: Any, parts: Part, settings: _Settings) -> Prediction:
    return TagsPrediction(example.id, tuple(settings.labels[tag] for _, tags in parts for tag in tags))


def _join_tree(example: Any, parts: Part, settings: _Settings) -> Prediction:
    heads, relations = parts[0][1]
    return TreePrediction(example.id, tuple(heads), tuple(settings.labels[r] for r in relations))


def _join_span(example: Any, parts: Part, settings: _Settings) -> Prediction:
    answers = [(found, feature) for feature, found in parts if found is not None]
    if not answers:
        return SpanPrediction(example.id, "", 0, -np.inf)
    (score, first, last), feature = max(answers, key=lambda answer: answer[0][0])
    start, end = whole_characters(example.context, feature.offsets[first][0], feature.offsets[last][1])
    return SpanPrediction(example.id, example.context[start:end], start, score)


def whole_characters(text: str, start: int, end: int) -> tuple[int, int]:
    """A character range without spaces at its edges and with the combining marks of its letters."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while 0 < start < end and unicodedata.category(text[start]).startswith("M"):
        start -= 1
    while start < end < len(text) and unicodedata.category(text[end]).startswith("M"):
        end += 1
    return start, end


def _join_text(example: Any, parts: Part, settings: _Settings) -> Prediction:
    return TextPrediction(
        example.id,
        nats=-sum(total for _, (total, _) in parts),
        tokens=sum(tokens for _, (_, tokens) in parts),
        n_bytes=sum(feature.n_bytes for feature, _ in parts),
    )


_READ: dict[str, Callable[[TaskOutput, Batch, Sequence[Features], _Settings], list[Any]]] = {
    "label": _read_label,
    "choice": _read_choice,
    "gap": _read_gap,
    "tags": _read_tags,
    "tree": _read_tree,
    "span": _read_span,
    "text": _read_tokens,
}
_JOIN: dict[str, Callable[[Any, Part, _Settings], Prediction]] = {
    "label": _join_label,
    "choice": _join_choice,
    "gap": _join_gap,
    "tags": _join_tags,
    "tree": _join_tree,
    "span": _join_span,
    "text": _join_text,
}
