"""How far languages are aligned inside a model: states, retrieval, gradients and rows.

A recipe's `alignment` measures it at the end of a run; `measured` does the same for any model in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from torch import Tensor

from isogloss.analysis.alignment import (
    Pairing,
    States,
    TokenComparison,
    centred,
    cka,
    mean_estimates,
    retrieval,
)
from isogloss.core.by_language import tokenizer_of
from isogloss.core.config import Record
from isogloss.core.languages import original_of
from isogloss.core.resampling import Estimate
from isogloss.core.run import Run
from isogloss.data.encode import MASK_EVERY, encode
from isogloss.data.features import collate
from isogloss.data.pieces import padding_id
from isogloss.data.records import TextExample
from isogloss.evaluate.gradients import gradient_cosines
from isogloss.evaluate.states import Reading, hidden_states, readings, sentence_states
from isogloss.methods.aligned_rows import Occurrences, model_rows
from isogloss.methods.aligned_text import AlignedText, aligned_text, pairs_of
from isogloss.methods.finding import Finding, Pair
from isogloss.methods.records import ByLanguage
from isogloss.models.tasks import TaskModel
from isogloss.training.progress import Tick, ticking

PHASE = SPLIT = "aligned"
_LEAST_TEXTS = 4  # of the debiased CKA
_AT_ONCE, _LEAST_AT_ONCE = 8192, 512
"""Tokens whose states are held, over all languages, and of each language at the least."""


class AlignmentRule(Record):
    """What is measured of a model's languages, on texts that say the same in each.

    Attributes:
        text: a place for each language: files in step line by line, tables joined by id, or the embedded
            world. Clones of these languages read the same text and need no place.
        join: neighbouring texts that make one, for sequences longer than a sentence; the paper's have 128 to
            512 tokens.
        sequences: such texts to read, from the beginning; the paper takes 500. Each is cut at the recipe's
            `length`.
        gradients: how many of these to compare gradients on, a pass forth and back for each language; 0 none.
        pairs: "first": the first language of `text` with each other one; "all": every two.
        sketch: numbers to keep of each tensor's gradient, for many pairs; None for exact cosines, see
            `isogloss.evaluate.gradients`.
    """

    text: ByLanguage = Field(min_length=1)
    join: int = Field(default=1, ge=1)
    sequences: int = Field(default=500, ge=1)
    gradients: int = Field(default=100, ge=0)
    pairs: Literal["first", "all"] = "first"
    sketch: int | None = Field(default=None, ge=16)

    def read(self, clones: Iterable[str]) -> AlignedText:
        """The texts, for these clones too.

        Raises:
            DataError: as `aligned_text`.
        """
        return aligned_text(self.text, clones=clones, limit=self.sequences, join=self.join)


def log_alignment(
    rule: AlignmentRule,
    run: Run,
    subject: TaskModel,
    tokenizer: Any,
    text: AlignedText,
    *,
    occurrences: Occurrences | None = None,
    length: int,
    model: str,
    step: int,
) -> None:
    """Measure a run's model and write what was found to its metrics.

    A line has `language` and `other`, and `layer`, `part` and `frequency` where there is one.

    Args:
        text: what `rule.read` gives.
        occurrences: as in `measured`.
        length: tokens of a row.
        model: what the run calls it.
    """
    run.rewind(PHASE, -1)
    with ticking("alignment", ticks(text, gradients=rule.gradients)) as tick:
        for found in measured(
            subject,
            tokenizer,
            text,
            pairs=pairs_of(text.languages, every=rule.pairs == "all"),
            length=length,
            gradients=rule.gradients,
            sketch=rule.sketch,
            occurrences=occurrences,
            tick=tick,
        ):
            _log(run, found, model=model, step=step)


def _log(run: Run, found: Finding, *, model: str, step: int) -> None:
    value, low, high = found.value
    if np.isnan(value):
        return
    more: dict[str, Any] = {"layer": found.layer, "part": found.part, "frequency": found.frequency}
    more |= {} if np.isnan(low) else {"low": low, "high": high}
    language, other = found.languages
    run.log(
        found.metric,
        value,
        phase=PHASE,
        step=step,
        split=SPLIT,
        language=language,
        other=other,
        model=model,
        **more,
    )


def measured(
    subject: TaskModel,
    tokenizer: Any,
    text: AlignedText,
    *,
    pairs: Sequence[Pair],
    length: int,
    gradients: int = 100,
    sketch: int | None = None,
    occurrences: Occurrences | None = None,
    seed: int = 0,
    tick: Tick | None = None,
) -> Iterator[Finding]:
    """Everything there is to say about the languages of a model.

    Each language is read twice, whatever the number of pairs: for its mean states, and token by token in step
    with the others. Texts that are no token in some language are left out of states and retrieval.

    Args:
        subject: a language model (kind "text"), masked, causal or encoder-decoder.
        tokenizer: its tokenizer, or tokenizers by language.
        pairs: of `text.languages`.
        length: tokens of a row; longer texts are cut.
        gradients: texts to compare gradients on; 0 for none.
        sketch: as in `gradient_cosines`.
        occurrences: for rows by frequency; None leaves rows out.
        seed: of intervals and sketches.
        tick: called as often as `ticks` says, or less; None for nobody.

    Raises:
        ModelError: a language without a tokenizer, or a tokenizer without what the objective needs.
    """
    tick = tick or _nobody
    readers = {tag: tokenizer_of(tokenizer, tag) for tag in text.languages}
    rows = _rows(subject, readers, text, length)
    yield from _of_states(subject, rows, readers, pairs, seed, tick)
    if gradients:
        yield from _of_gradients(subject, readers, text, pairs, length, gradients, sketch, seed, tick)
    if occurrences is not None:
        yield from model_rows(subject, tokenizer, pairs, occurrences, seed=seed)


def ticks(text: AlignedText, *, gradients: int) -> int:
    """How often `measured` ticks at most: each language counts twice, and each text for gradients."""
    return 2 * len(text.languages) + min(gradients, len(text))


def _nobody() -> None:
    pass


def _rows(
    subject: TaskModel, readers: Mapping[str, Any], text: AlignedText, length: int
) -> dict[str, list[Reading]]:
    """By language, the rows of texts that have a token in every language."""
    every = {
        tag: readings(text.texts[tag], reader, subject, max_length=length) for tag, reader in readers.items()
    }
    kept = [i for i in range(len(text)) if all(own[i].count for own in every.values())]
    return {tag: [own[i] for i in kept] for tag, own in every.items()}


def _of_states(
    subject: TaskModel,
    rows: Mapping[str, Sequence[Reading]],
    readers: Mapping[str, Any],
    pairs: Sequence[Pair],
    seed: int,
    tick: Tick,
) -> Iterator[Finding]:
    named = dict.fromkeys(tag for pair in pairs for tag in pair if rows[tag])
    sentences: dict[str, States] = {}
    for tag in named:
        sentences[tag] = sentence_states(subject, rows[tag], padding=padding_id(readers[tag]))
        tick()
    means = {tag: _token_mean(sentences[tag], rows[tag]) for tag in named}
    both = [pair for pair in pairs if all(tag in named for tag in pair)]
    tokens = {pair: _Tokens(pair, means) for pair in both}
    each = math.ceil(max(map(len, rows.values())) / max(1, len(named)))
    for number, text in enumerate(_in_step(subject, {tag: rows[tag] for tag in named}, readers)):
        for pair, compared in tokens.items():
            compared.add(text[pair[0]], text[pair[1]])
        if number % each == 0:
            tick()
    for pair, compared in tokens.items():
        yield from compared.findings(seed)
        one, other = (sentences[tag] for tag in pair)
        for layer in range(len(one)):
            yield from _of_sentences(pair, layer, one[layer], other[layer], seed)


def _in_step(
    subject: TaskModel, rows: Mapping[str, Sequence[Reading]], readers: Mapping[str, Any]
) -> Iterator[dict[str, States]]:
    """One text after another, by language the states of its tokens, (states, tokens, hidden)."""
    at_once = max(_LEAST_AT_ONCE, _AT_ONCE // max(1, len(rows)))
    streams = [
        hidden_states(subject, own, padding=padding_id(readers[tag]), batch_tokens=at_once)
        for tag, own in rows.items()
    ]
    return (dict(zip(rows, states, strict=True)) for states in zip(*streams, strict=True))


def _token_mean(sentences: States, rows: Sequence[Reading]) -> States:
    """The mean over all tokens of all rows, (states, hidden), from the means over each row's."""
    return np.average(sentences, axis=1, weights=[row.count for row in rows])


class _Tokens:
    """The tokens of two languages, compared as they are and with each language's mean taken away."""

    def __init__(self, pair: Pair, means: Mapping[str, States]) -> None:
        alike = original_of(pair[0]) == original_of(pair[1])
        pairing: Pairing = "one-to-one" if alike else "matching"
        self._pair = pair
        self._compared = {
            "": TokenComparison(pairing),
            "_centred": TokenComparison(pairing, means=(means[pair[0]], means[pair[1]])),
        }

    def add(self, one: States, other: States) -> None:
        """Take in a text, (states, tokens, hidden) in each language."""
        for comparison in self._compared.values():
            comparison.add(one, other)

    def findings(self, seed: int) -> Iterator[Finding]:
        for end, comparison in self._compared.items():
            for name, estimates in comparison.result().estimates(seed=seed).items():
                metric = "hidden_cosine" if name == "cosine" else f"hidden_cosine_{name}"
                for layer, estimate in enumerate(estimates):
                    yield Finding(f"{metric}{end}", estimate, self._pair, layer)


def _of_sentences(pair: Pair, layer: int, one: States, other: States, seed: int) -> Iterator[Finding]:
    nothing = float("nan")
    if len(one) >= _LEAST_TEXTS:
        yield Finding("cka", Estimate(cka(one, other), nothing, nothing), pair, layer)
    for end, prepare in (("", np.asarray), ("_centred", centred)):
        first, second = prepare(one), prepare(other)
        for languages, looked_for, among in ((pair, first, second), (pair[::-1], second, first)):
            found = retrieval(looked_for, among, seed=seed)
            yield Finding(f"retrieval_accuracy{end}", found.accuracy, languages, layer)
            yield Finding(f"retrieval_mrr{end}", found.reciprocal_rank, languages, layer)


def _of_gradients(
    subject: TaskModel,
    readers: Mapping[str, Any],
    text: AlignedText,
    pairs: Sequence[Pair],
    length: int,
    count: int,
    sketch: int | None,
    seed: int,
    tick: Tick,
) -> Iterator[Finding]:
    named = list(dict.fromkeys(language for pair in pairs for language in pair))
    places = range(min(count, len(text)))

    def whole() -> Iterator[dict[str, dict[str, Tensor]]]:
        for i in places:
            item = {tag: _batch(subject, readers[tag], text.texts[tag][i], tag, length) for tag in named}
            if all(item.values()):
                yield item
            tick()

    found = gradient_cosines(subject, whole(), loss=_loss_of(subject), pairs=pairs, sketch=sketch, seed=seed)
    for pair in pairs:
        for part, values in found.by_group(pair).items():
            yield Finding("gradient_cosine", _mean(values, seed), pair, part=part)
        for layer, values in found.by_layer(pair).items():
            yield Finding("gradient_cosine", _mean(values, seed), pair, layer)


def _loss_of(subject: TaskModel) -> Any:
    def loss(batch: Mapping[str, Tensor]) -> Tensor:
        value = subject(batch).loss
        assert value is not None
        return value

    return loss


def _batch(subject: TaskModel, reader: Any, text: str, tag: str, length: int) -> dict[str, Tensor]:
    """The first row's worth of a text, with each of its tokens to be guessed once; {} without a token."""
    features = encode(
        "text", [TextExample("0", tag, text)], reader, max_length=length, objective=subject.objective
    )
    features = features[: 1 if subject.objective == "causal" else MASK_EVERY]
    device = next(subject.parameters()).device
    batch = collate(features, padding_id(reader)) if features else {}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _mean(values: npt.NDArray[np.float64], seed: int) -> Estimate:
    return mean_estimates(values[:, None], seed=seed)[0]
