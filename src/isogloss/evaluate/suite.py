"""Scores per language: predictions joined with the metrics of their kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isogloss.core.errors import DataError, did_you_mean
from isogloss.data.records import Example, Kind, has_gold
from isogloss.evaluate.disparity import Disparity, disparity
from isogloss.evaluate.metrics import (
    LOWER_IS_BETTER,
    accuracy,
    attachment,
    bits_per_byte,
    em_f1,
    macro_f1,
    mean_reciprocal_rank,
    perplexity,
    span_f1,
)
from isogloss.evaluate.predict import predict
from isogloss.evaluate.predictions import Prediction
from isogloss.models.tasks import TaskModel

Scores = dict[str, float]

_SPAN_TAG = re.compile("O|[BIESLU]-.+")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        scores: per language, each metric's value.
        predictions: per language, the predictions in the examples' order.
        headline: the metric that stands for the others.
        summary: the headline's spread over the languages.
    """

    scores: dict[str, Scores]
    predictions: dict[str, list[Prediction]]
    headline: str
    summary: Disparity


def evaluate(
    model: TaskModel,
    tokenizer: Any,
    examples: Mapping[str, Sequence[Example]],
    *,
    headline: str,
    source: str | None = None,
    wear: Callable[[str], None] | None = None,
    **settings: Any,
) -> Evaluation:
    """Predict and score every language.

    Args:
        examples: per language, with gold.
        headline: the metric to sum up; the first of the task's in `data.tasks.TASKS`.
        source: the language trained on, for `Disparity.source_lead`; None when there is no such one.
        wear: called with each language before it is predicted, to put its delta on the model; None for a
            model that is the same in all.
        settings: passed to `predict`.

    Raises:
        DataError: no languages, a language without gold, one that the headline cannot be measured in, or
            (label) a gold label the model does not know.
    """
    predictions: dict[str, list[Prediction]] = {}
    scores: dict[str, Scores] = {}
    for language, items in examples.items():
        check_labels(model, items)
        if wear is not None:
            wear(language)
        predictions[language] = predict(model, tokenizer, items, **settings)
        scores[language] = score(model.kind, items, predictions[language], language)
    spread = disparity(
        {language: _measured(metrics, headline, language) for language, metrics in scores.items()},
        source=source if source in scores else None,
        higher_is_better=headline not in LOWER_IS_BETTER,
    )
    return Evaluation(scores, predictions, headline, spread)


def _measured(metrics: Scores, headline: str, language: str) -> float:
    if headline not in metrics:
        raise DataError(
            f"{headline} cannot be measured in {language}",
            wanted=f"one of: {', '.join(metrics)}",
            fix="check that the file is one of this task: span F1 needs tags such as B-PER",
        )
    return metrics[headline]


def check_labels(model: TaskModel, examples: Sequence[Any]) -> None:
    """Refuse gold labels that a model does not know; new tags and relations are no such mistake.

    Another spelling of the labels would score 0 in silence.

    Raises:
        DataError: there is one.
    """
    if model.kind != "label":
        return
    for example in examples:
        if example.label is not None and example.label not in model.labels:
            raise DataError(
                f"example {example.id!r} has the label {example.label!r}, which the model does not know",
                wanted=f"one of: {', '.join(model.labels)}",
                fix=f"{did_you_mean(example.label, model.labels)}; or train with examples of it",
            )


def score(
    kind: Kind, examples: Sequence[Example], predictions: Sequence[Prediction], language: str
) -> Scores:
    """Metrics of predictions against the gold of their examples; examples without gold are left out.

    Args:
        predictions: as `predict` returns them, one per example and in the same order.
        language: decides how answers are normalised (span).

    Raises:
        DataError: no example has gold, or the predictions belong to other examples.
    """
    if [example.id for example in examples] != [prediction.id for prediction in predictions]:
        raise DataError("the predictions are not those of the examples, in their order")
    pairs = [pair for pair in zip(examples, predictions, strict=True) if has_gold(pair[0])]
    if not pairs:
        raise DataError(f"no example in {language} has gold", fix="choose a split that has answers")
    return _SCORERS[kind]([pair[0] for pair in pairs], [pair[1] for pair in pairs], language)


def _label(examples: Sequence[Any], predictions: Sequence[Any], language: str) -> Scores:
    gold, found = [e.label for e in examples], [p.label for p in predictions]
    return {"accuracy": accuracy(gold, found), "macro_f1": macro_f1(gold, found)}


def _choice(examples: Sequence[Any], predictions: Sequence[Any], language: str) -> Scores:
    return {"accuracy": accuracy([e.answer for e in examples], [p.choice for p in predictions])}


def _gap(examples: Sequence[Any], predictions: Sequence[Any], language: str) -> Scores:
    ranks = [_rank(e, p.scores) for e, p in zip(examples, predictions, strict=True)]
    return {
        "accuracy": accuracy([1] * len(ranks), ranks),
        "mrr": mean_reciprocal_rank(ranks),
    }


def _rank(example: Any, scores: Sequence[float]) -> int:
    """The place of the best right candidate; wrong ones that score the same stand before it."""
    right = [candidate in example.answers for candidate in example.candidates]
    best = max(score for score, is_right in zip(scores, right, strict=True) if is_right)
    return 1 + sum(score >= best and not is_right for score, is_right in zip(scores, right, strict=True))


def _tags(examples: Sequence[Any], predictions: Sequence[Any], language: str) -> Scores:
    gold, found = [e.tags for e in examples], [p.tags for p in predictions]
    flat_gold, flat_found = [t for tags in gold for t in tags], [t for tags in found for t in tags]
    scores = {"accuracy": accuracy(flat_gold, flat_found)}
    if all(_SPAN_TAG.fullmatch(tag) for tag in flat_gold):
        scores["span_f1"] = span_f1(gold, found)
    return scores


def _tree(examples: Sequence[Any], predictions: Sequence[Any], language: str) -> Scores:
    found = attachment(
        [e.heads for e in examples],
        [e.relations for e in examples],
        [p.heads for p in predictions],
        [p.relations for p in predictions],
    )
    return {"uas": found.uas, "las": found.las}


def _span(examples: Sequence[Any], predictions: Sequence[Any], language: str) -> Scores:
    answers = [[text for _, text in e.answers] for e in examples]
    found = em_f1(answers, [p.text for p in predictions], language)
    return {"em": found.em, "f1": found.f1}


def _text(examples: Sequence[Any], predictions: Sequence[Any], language: str) -> Scores:
    nats = sum(p.nats for p in predictions)
    return {
        "perplexity": perplexity(nats, sum(p.tokens for p in predictions)),
        "bits_per_byte": bits_per_byte(nats, sum(p.n_bytes for p in predictions)),
    }


_SCORERS: dict[Kind, Callable[[Sequence[Any], Sequence[Any], str], Scores]] = {
    "label": _label,
    "choice": _choice,
    "gap": _gap,
    "tags": _tags,
    "tree": _tree,
    "span": _span,
    "text": _text,
}
