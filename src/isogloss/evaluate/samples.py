"""Predictions as lines of samples.jsonl: what went in, what was right, what the model said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from isogloss.data.records import (
    ChoiceExample,
    Example,
    GapExample,
    LabelExample,
    SpanExample,
    TagsExample,
    TextExample,
    TreeExample,
)
from isogloss.evaluate.metrics import em_f1
from isogloss.evaluate.predictions import Prediction

Line = dict[str, Any]


def sample_lines(examples: Sequence[Example], predictions: Sequence[Prediction]) -> Iterator[Line]:
    """A line per example: id, language, input, gold, predicted, and whether that is right."""
    for example, prediction in zip(examples, predictions, strict=True):
        line = {"id": example.id, "language": example.language} | _TELL[type(example)](example, prediction)
        yield {"correct": line["gold"] == line["predicted"], **line}


def _label(example: LabelExample, prediction: Any) -> Line:
    given = example.text if example.pair is None else {"text": example.text, "pair": example.pair}
    return {"input": given, "gold": example.label, "predicted": prediction.label}


def _choice(example: ChoiceExample, prediction: Any) -> Line:
    gold = None if example.answer is None else example.choices[example.answer]
    given = {"premise": example.premise, "question": example.question, "choices": list(example.choices)}
    return {"input": given, "gold": gold, "predicted": example.choices[prediction.choice]}


def _gap(example: GapExample, prediction: Any) -> Line:
    right = prediction.best in example.answers
    gold = prediction.best if right else " / ".join(example.answers)
    given = {"prompt": example.prompt, "candidates": list(example.candidates)}
    return {"input": given, "gold": gold, "predicted": prediction.best, "correct": right}


def _tags(example: TagsExample, prediction: Any) -> Line:
    return {
        "input": list(example.words),
        "gold": list(example.tags or ()),
        "predicted": list(prediction.tags),
    }


def _tree(example: TreeExample, prediction: Any) -> Line:
    return {
        "input": list(example.words),
        "gold": _arcs(example.words, example.heads, example.relations),
        "predicted": _arcs(example.words, prediction.heads, prediction.relations),
    }


def _arcs(words: Sequence[str], heads: Sequence[int], relations: Sequence[str]) -> list[str]:
    """`nsubj←saw` for each word: its relation and its head's form."""
    pairs = zip(heads, relations, strict=True)
    return [f"{relation}←{words[head - 1]}" if head else "root" for head, relation in pairs]


def _span(example: SpanExample, prediction: Any) -> Line:
    texts = [text for _, text in example.answers]
    given = {"question": example.question, "context": example.context}
    right = bool(texts) and em_f1([texts], [prediction.text], example.language).em == 1.0
    return {"input": given, "gold": texts, "predicted": prediction.text, "correct": right}


def _text(example: TextExample, prediction: Any) -> Line:
    """A language model's loss has no right and wrong; the line shows what it was asked to read."""
    said = f"{prediction.nats / max(1, prediction.tokens):.2f} nats per token"
    return {"input": example.text, "gold": None, "predicted": said, "correct": True}


_TELL: dict[type, Callable[[Any, Any], Line]] = {
    LabelExample: _label,
    ChoiceExample: _choice,
    GapExample: _gap,
    TagsExample: _tags,
    TreeExample: _tree,
    SpanExample: _span,
    TextExample: _text,
}
