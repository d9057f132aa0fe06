"""A few of a run's predictions, right and wrong, for each language."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isogloss.core.run import RunRecord
from isogloss.report.measurements import in_order, language_name


@dataclass(frozen=True)
class Token:
    """One word of a sequence task with its gold tag and each model's."""

    word: str
    gold: str
    predicted: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What one model said, and whether it was right; None where there is no right and wrong."""

    model: str
    text: str
    correct: bool | None


@dataclass(frozen=True)
class Sample:
    """One item and every model's answer to it.

    `parts` are the input as (name, text), the name "" where the input is a single text. `tokens` is filled
    instead of `gold` and the answers' texts where input, gold and predictions are sequences of one length.
    """

    id: str
    parts: tuple[tuple[str, str], ...]
    gold: str
    answers: tuple[Answer, ...]
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class SampleGroup:
    """The chosen samples of one task in one language; the wrong ones by the last model come last."""

    task: str | None
    language: str | None
    name: str
    samples: tuple[Sample, ...]


_Line = Mapping[str, Any]


def sample_groups(run: RunRecord, *, right: int = 2, wrong: int = 2) -> tuple[SampleGroup, ...]:
    """The first `right` and `wrong` items of each task and language, judged by the last model of the run."""
    lines = [line for line in run.samples if isinstance(line, dict)]
    groups = []
    for task, tag in in_order((line.get("task"), line.get("language")) for line in lines):
        items = _items([line for line in lines if (line.get("task"), line.get("language")) == (task, tag)])
        good = [item for item in items if _correct(item[-1])][:right]
        bad = [item for item in items if not _correct(item[-1])][:wrong]
        samples = tuple(sample(item) for item in good + bad)
        groups.append(SampleGroup(task, tag, language_name(tag) if tag else "all languages", samples))
    return tuple(groups)


def _items(lines: Sequence[_Line]) -> list[list[_Line]]:
    """Lines about the same item together, in the order of the models' first appearance."""
    models = in_order(line.get("model") for line in lines)
    items: dict[str, dict[Any, _Line]] = {}
    for number, line in enumerate(lines):
        items.setdefault(str(line.get("id", number)), {})[line.get("model")] = line
    return [[said[model] for model in models if model in said] for said in items.values()]


def _correct(line: _Line) -> bool:
    judged = line.get("correct")
    return line.get("gold") == line.get("predicted") if judged is None else bool(judged)


def sample(lines: Sequence[Mapping[str, Any]]) -> Sample:
    """One item from the lines about it, one for each model, as `samples.jsonl` has them."""
    first = lines[0]
    answers = tuple(
        Answer(
            str(line.get("model") or "model"),
            as_text(line.get("predicted")),
            None if line.get("gold") is None else _correct(line),
        )
        for line in lines
    )
    return Sample(
        id=str(first.get("id", "")),
        parts=_parts(first.get("input")),
        gold=as_text(first.get("gold")),
        answers=answers,
        tokens=_tokens(lines),
    )


def _parts(given: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(given, dict):
        return tuple((str(name), as_text(value)) for name, value in given.items() if value is not None)
    words = isinstance(given, list) and all(isinstance(word, str) for word in given)
    return (("", " ".join(given) if words else as_text(given)),)


def _tokens(lines: Sequence[_Line]) -> tuple[Token, ...]:
    words, gold = lines[0].get("input"), lines[0].get("gold")
    predicted = [line.get("predicted") for line in lines]
    sequences = [words, gold, *predicted]
    if not all(isinstance(sequence, list) and sequence for sequence in sequences):
        return ()
    if len({len(sequence) for sequence in sequences}) != 1:  # type: ignore[arg-type]
        return ()
    return tuple(
        Token(as_text(word), as_text(tag), tuple(map(as_text, said)))
        for word, tag, *said in zip(*sequences, strict=True)
    )


def as_text(value: Any) -> str:
    """Whatever a sample holds, for reading: texts as they are, several with slashes, the rest as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return " / ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False)
