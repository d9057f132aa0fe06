"""The measures of an audit. Each takes what it needs from the model, or says why it cannot be had."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isogloss.analysis.parity import ratio
from isogloss.core.by_language import tokenizer_of
from isogloss.core.errors import ModelError
from isogloss.core.resampling import Estimate
from isogloss.core.run import Run
from isogloss.core.tokenizer import backend_of, encoded
from isogloss.data.records import TextExample
from isogloss.data.tasks import TASKS
from isogloss.evaluate.disparity import Measures, disparity_estimates
from isogloss.evaluate.gradients import ALL
from isogloss.evaluate.items import Item, items_by_id
from isogloss.evaluate.metrics import LOWER_IS_BETTER
from isogloss.evaluate.predict import predict
from isogloss.methods.aligned_text import AlignedText
from isogloss.methods.alignment import measured, ticks
from isogloss.methods.audit_subject import Subject
from isogloss.methods.audit_texts import Material
from isogloss.methods.scores import log_scores, score
from isogloss.methods.scoring import task_model
from isogloss.methods.sources import examples
from isogloss.training.progress import Tick
from isogloss.vocab.count import count_tokens
from isogloss.vocab.fertility import fertility
from isogloss.vocab.rules import ByProbability
from isogloss.vocab.trim import calibrate
from isogloss.vocab.unseen import unseen_kinds

if TYPE_CHECKING:
    from isogloss.methods.audit import AuditRecipe

Facts: TypeAlias = dict[str, Any]
Measure: TypeAlias = Callable[[Subject, Material, "AuditRecipe", Run, Tick], Facts | str]
"""Facts for audit.json, with `measures`: by name and language, (value, low, high); or why there are none."""

Triple: TypeAlias = tuple[float | None, float | None, float | None]
"""A number and its interval; None for what is not finite, for JSON knows no NaN."""

LEAST_ROWS = 8
_BYTES = 4
_UNALIGNED = "no sentences were given that are the same in several languages (`aligned`)"
_NO_HEAD = "the model has no language model's head, so it says nothing of how likely a text is"


def tokens(subject: Subject, material: Material, recipe: AuditRecipe, run: Run, tick: Tick) -> Facts:
    """What the vocabulary costs each language: fertility, unknown tokens, and the premium over the source."""
    counted = {}
    for tag, lines in material.text.items():
        counted[tag] = fertility(tokenizer_of(subject.tokenizer, tag), {tag: lines})[tag]
        tick()
    found: dict[str, dict[str, Triple]] = {
        name: {tag: (getattr(one, name), None, None) for tag, one in counted.items()}
        for name in ("tokens_per_word", "tokens_per_character", "tokens_per_byte", "unknown_rate")
    }
    if material.rows:
        lengths = {tag: _lengths(subject, tag, material.rows.texts[tag]) for tag in material.rows.languages}
        found["premium"] = {
            tag: _triple(ratio(lengths[tag], lengths[material.source])) for tag in material.others()
        }
    return {"measures": found}


def _lengths(subject: Subject, tag: str, texts: Sequence[str]) -> list[int]:
    backend = backend_of(tokenizer_of(subject.tokenizer, tag))
    return [len(ids) for batch in encoded(backend, texts) for _, ids in batch]


def vocabulary(subject: Subject, material: Material, recipe: AuditRecipe, run: Run, tick: Tick) -> Facts:
    """Which rows of the vocabulary each language uses, and what trimming to these languages would leave.

    The text that was counted has not shown every row in use; `expected` adds Chao's estimate of the others.
    """
    rows, per_row = subject.vocabulary_rows()
    total = sum(parameter.numel() for parameter in subject.model.parameters())
    kept: int | None = None
    try:
        calibration = calibrate(subject.tokenizer, material.text)
        counts = {tag: usage.counts for tag, usage in calibration.usage.items()}
        kept = len(calibration.trim(ByProbability(0.0)).kept)
    except ModelError:  # a kind of vocabulary that cannot be trimmed can still be counted
        counts = {
            tag: count_tokens(tokenizer_of(subject.tokenizer, tag), {tag: lines})[tag]
            for tag, lines in material.text.items()
        }
    tick()
    used = {tag: int((count > 0).sum()) for tag, count in counts.items()}
    unseen = unseen_kinds(np.sum(list(counts.values()), axis=0))
    expected = None if kept is None else min(rows, round(kept + unseen))
    left = {"now": total} | {
        name: total - (rows - number) * per_row
        for name, number in (("kept", kept), ("expected", expected))
        if number is not None
    }
    return {
        "measures": {"rows_used": {tag: (number / rows, None, None) for tag, number in used.items()}},
        "vocabulary": {
            "rows": rows,
            "per_row": per_row,
            "used": used,
            "tokens": {tag: int(count.sum()) for tag, count in counts.items()},
            "kept": kept,
            "expected": expected,
            "parameters": left,
            "bytes": {name: _BYTES * number for name, number in left.items()},
        },
    }


def bits(subject: Subject, material: Material, recipe: AuditRecipe, run: Run, tick: Tick) -> Facts | str:
    """Bits per byte of each language's text, and of the same sentences the source's over its bits."""
    if subject.scorer is None:
        return _NO_HEAD
    per_byte: dict[str, Triple] = {}
    sentences: dict[str, list[float]] = {}
    for tag in material.rows.languages if material.rows else ():
        assert material.rows is not None
        sentences[tag], sizes = _told(subject, tag, material.rows.texts[tag])
        if tag in material.stand_ins:
            per_byte[tag] = _triple(ratio(sentences[tag], sizes))
        tick()
    for tag in material.languages:
        if tag not in per_byte:
            per_byte[tag] = _triple(ratio(*_told(subject, tag, material.drawn[tag])))
            tick()
    found = {"bits_per_byte": {tag: per_byte[tag] for tag in material.languages}}
    if sentences:
        own = sentences[material.source]
        found["parity"] = {tag: _triple(ratio(own, sentences[tag])) for tag in material.others()}
    return {"measures": found}


def _told(subject: Subject, tag: str, texts: Sequence[str]) -> tuple[list[float], list[float]]:
    """Bits and bytes of each text."""
    assert subject.scorer is not None
    asked = [TextExample(str(number), tag, text) for number, text in enumerate(texts)]
    said = predict(subject.scorer, subject.tokenizer, asked, max_length=subject.length)
    told: list[Any] = list(said)
    return [one.nats / math.log(2) for one in told], [float(one.n_bytes) for one in told]


def alignment(subject: Subject, material: Material, recipe: AuditRecipe, run: Run, tick: Tick) -> Facts | str:
    """How near sentences lie to their translations, state by state, and whether gradients agree.

    The same measures that pretraining takes (`methods.alignment`); sentences are told apart by their mean
    states, each language's own mean taken away, since that differs more than sentences do.
    """
    if material.rows is None:
        return _UNALIGNED
    if len(material.rows) < LEAST_ROWS:
        return f"{len(material.rows)} aligned sentences are too few to look for one among the others"
    compared = _compared(subject, material.rows, material.source, material.others(), recipe, tick)
    layers = {key: {tag: own[key] for tag, own in compared.items()} for key in _LAYERED}
    layers["retrieval"] = {
        tag: [_both_ways(*two) for two in zip(own["to_source"], own["from_source"], strict=True)]
        for tag, own in compared.items()
    }
    mean = np.mean([[one[0] for one in states] for states in layers["retrieval"].values()], axis=0)
    best = int(mean.argmax())
    gradients = {tag: own["gradients"] for tag, own in compared.items() if own["gradients"]}
    return {
        "measures": {
            name: {tag: states[best] for tag, states in layers[name].items()}
            for name in ("retrieval", "cosine", "cka")
        }
        | ({"gradient": {tag: groups[ALL] for tag, groups in gradients.items()}} if gradients else {}),
        "layers": {"states": len(mean), "candidates": len(material.rows), "best": best, **layers},
    }


_LAYERED = ("to_source", "from_source", "cosine", "cka")


def _compared(
    subject: Subject, rows: AlignedText, source: str, others: Sequence[str], recipe: AuditRecipe, tick: Tick
) -> dict[str, dict[str, Any]]:
    """By language and measure a number with its interval for each state, or for each kind of gradient."""
    found: dict[str, dict[str, Any]] = {
        tag: {key: [] for key in _LAYERED} | {"gradients": {}} for tag in others
    }
    for one in measured(
        subject.reader,
        subject.tokenizer,
        rows,
        pairs=[(source, tag) for tag in others],
        length=subject.length,
        gradients=recipe.gradients if subject.scorer is not None else 0,
        seed=recipe.seed,
        tick=tick,
    ):
        triple = _triple(one.value)
        from_source = one.languages[0] == source
        own = found[one.languages[1] if from_source else one.languages[0]]
        if one.metric == "retrieval_accuracy_centred":
            own["from_source" if from_source else "to_source"].append(triple)
        elif one.metric in _NAMES:
            own[_NAMES[one.metric]].append(triple)
        elif one.metric == "gradient_cosine" and one.part is not None:
            own["gradients"][one.part] = triple
    return found


_NAMES = {"hidden_cosine_centred": "cosine", "cka": "cka"}


def _both_ways(one: Triple, other: Triple) -> Triple:
    """The mean of two estimates; its interval is no wider than the mean of theirs, which is what is given."""
    value, low, high = ((a + b) / 2 for a, b in zip(_whole(one), _whole(other), strict=True))
    return value, low, high


def _whole(triple: Triple) -> tuple[float, float, float]:
    value, low, high = triple
    assert value is not None, "retrieval is a share"
    assert low is not None
    assert high is not None
    return value, low, high


def task(subject: Subject, material: Material, recipe: AuditRecipe, run: Run, tick: Tick) -> Facts | str:
    """Scores of a task, how far each language is behind the source, and the spread over all of them."""
    tested = recipe.tested
    if tested is None:
        return "no task was given (`task`, `test`)"
    model, tokenizer = task_model(recipe.tuned or recipe.model, tested.task, prompt=recipe.prompt)
    test = examples(tested, "test")
    source = recipe.reference if recipe.reference in test else None
    found = score(model, tokenizer, test, task=tested.task, max_length=recipe.max_length, source=source)
    log_scores(run, found, test, task=tested.task, model=recipe.as_name)
    tick()
    by_metric = {
        metric: {tag: items_by_id(metric, test[tag], found.predictions[tag], tag) for tag in test}
        for metric in TASKS[tested.task].metrics
    }
    measurable = [metric for metric, scored in by_metric.items() if all(map(_weighs, scored.values()))]
    if not measurable:
        return f"no metric of {tested.task} is a mean over items in every language"
    metric, scored = measurable[0], by_metric[measurable[0]]
    return {
        "measures": _spread_from(source, metric, scored),
        "task": {
            "task": tested.task,
            "metric": metric,
            "tuned": recipe.tuned,
            "spread": _spread(metric, scored, source),
        },
    }


_Scored: TypeAlias = Mapping[str, Mapping[str, Item]]


def _weighs(items: Mapping[str, Item]) -> bool:
    return any(item.weight > 0 for item in items.values())


def _spread(metric: str, scored: _Scored, source: str | None) -> dict[str, Triple]:
    measures = Measures(source=source, higher_is_better=metric not in LOWER_IS_BETTER)
    return {name: _triple(one) for name, one in disparity_estimates(scored, measures).items()}


def _spread_from(source: str | None, metric: str, scored: _Scored) -> dict[str, dict[str, Triple]]:
    """Each language's score, and how far it is behind the source's on the same items."""
    found = {"score": {tag: _spread(metric, {tag: own}, None)["mean"] for tag, own in scored.items()}}
    if source is not None and len(scored) > 1:
        found["behind"] = {
            tag: _spread(metric, {source: scored[source], tag: own}, source)["transfer_gap"]
            for tag, own in scored.items()
            if tag != source
        }
    return found


def _triple(estimate: Estimate) -> Triple:
    value, low, high = (float(one) if math.isfinite(one) else None for one in estimate)
    return (value, None, None) if low is None or high is None else (value, low, high)


MEASURES: dict[str, Measure] = {
    "tokens": tokens,
    "vocabulary": vocabulary,
    "bits": bits,
    "alignment": alignment,
    "task": task,
}
"""In the order in which they are taken; the cheap ones first."""


def ticks_of(name: str, material: Material, recipe: AuditRecipe) -> int:
    """How often a measure ticks at most, which tells how far the audit is."""
    rows = material.rows
    shared = len(rows.languages) if rows else 0
    alone = len(material.languages) - len(material.stand_ins)
    aligned = ticks(rows, gradients=recipe.gradients) if rows else 0
    counts = {"tokens": len(material.languages), "bits": shared + alone, "alignment": aligned}
    return counts.get(name, 1)
