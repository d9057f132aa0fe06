"""Scores item by item, for intervals: each headline metric as a ratio of sums over items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from isogloss.core.errors import DataError
from isogloss.data.records import ChoiceExample, Example, GapExample, TagsExample
from isogloss.evaluate.metrics import attachment, bits_per_byte, em_f1, spans
from isogloss.evaluate.predictions import Prediction


class Item(NamedTuple):
    """One example's score and its weight: the metric is the weighted mean over items."""

    score: float
    weight: float


def items(
    metric: str, examples: Sequence[Example], predictions: Sequence[Prediction], language: str
) -> list[Item]:
    """Item scores whose weighted mean is the metric; [] for a metric that is no such mean (macro-F1).

    Args:
        metric: as `evaluate.suite.score` names it.
        examples: with gold; those without are left out.
        predictions: one per example, in the same order.
        language: decides how answers are normalised (QA).
    """
    return [item for _, item in _scored(metric, examples, predictions, language) if item.weight]


def items_by_id(
    metric: str, examples: Sequence[Example], predictions: Sequence[Prediction], language: str
) -> dict[str, Item]:
    """The same by the examples' ids, to compare languages, or models, on the same items.

    Here a sentence in which nobody has found a span stays, with weight 0: of another model it may count.

    Raises:
        DataError: two examples of one id.
    """
    scored = _scored(metric, examples, predictions, language)
    found = dict(scored)
    if len(found) < len(scored):
        names = [name for name, _ in scored]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two examples in {language} have the id {twice!r}", wanted="each id once")
    return found


def _scored(
    metric: str, examples: Sequence[Example], predictions: Sequence[Prediction], language: str
) -> list[tuple[str, Item]]:
    score = _SCORES.get(metric)
    pairs = zip(examples, predictions, strict=True)
    if score is None:
        return []
    return [(pair[0].id, item) for pair in pairs if (item := score(*pair, language)) is not None]


def _accuracy(example: Any, prediction: Any, language: str) -> Item | None:
    """Of a whole example (label, choice, gap), or of its words (tags)."""
    if isinstance(example, TagsExample):
        if not example.tags:
            return None
        right = sum(a == b for a, b in zip(example.tags, prediction.tags, strict=True))
        return Item(right / len(example.tags), len(example.tags))
    gold, found = _answer(example, prediction)
    return None if gold is None else Item(float(found in gold), 1.0)


def _answer(example: Any, prediction: Any) -> tuple[tuple[Any, ...] | None, Any]:
    """The right answers, None without gold, and the model's."""
    if isinstance(example, GapExample):
        return example.answers or None, prediction.best
    if isinstance(example, ChoiceExample):
        return None if example.answer is None else (example.answer,), prediction.choice
    return None if example.label is None else (example.label,), prediction.label


def _span_f1(example: Any, prediction: Any, language: str) -> Item | None:
    """2 TP / (gold + found) over sentences; sentences without any span weigh nothing."""
    if not example.tags:
        return None
    gold, found = set(spans(example.tags)), set(spans(prediction.tags))
    total = len(gold) + len(found)
    return Item(2 * len(gold & found) / max(total, 1), total)


def _attachment(which: str) -> Callable[[Any, Any, str], Item | None]:
    def score(example: Any, prediction: Any, language: str) -> Item | None:
        if not example.words:
            return None
        found = attachment([example.heads], [example.relations], [prediction.heads], [prediction.relations])
        return Item(getattr(found, which), len(example.words))

    return score


def _answers(which: str) -> Callable[[Any, Any, str], Item | None]:
    def score(example: Any, prediction: Any, language: str) -> Item | None:
        if not example.answers:
            return None
        found = em_f1([[text for _, text in example.answers]], [prediction.text], language)
        return Item(getattr(found, which), 1.0)

    return score


def _bits_per_byte(example: Any, prediction: Any, language: str) -> Item | None:
    if not prediction.n_bytes:
        return None
    return Item(bits_per_byte(prediction.nats, prediction.n_bytes), prediction.n_bytes)


_SCORES: dict[str, Callable[[Any, Any, str], Item | None]] = {
    "accuracy": _accuracy,
    "span_f1": _span_f1,
    "las": _attachment("las"),
    "uas": _attachment("uas"),
    "em": _answers("em"),
    "f1": _answers("f1"),
    "bits_per_byte": _bits_per_byte,
}
