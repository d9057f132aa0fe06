"""The lines of metrics.jsonl as records, and the facts of a recipe that give them meaning."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from isogloss.core.errors import LanguageError
from isogloss.core.languages import language
from isogloss.core.run import RunRecord

Name = TypeVar("Name", bound=Hashable)

WATCHED = frozenset({"agreement", "entropy"})
"""What guards watch on unlabelled items: no score of a task."""


@dataclass(frozen=True)
class Measurement:
    """One line of metrics.jsonl; see `isogloss.core.run.Run.log` for the fields.

    Attributes:
        low, high: the value's interval, None when it was not computed.
        other: the second language, where two are compared.
        layer: the number of a hidden state, or of a layer.
        part: the part of the model.
        frequency: the least count of the pieces that the value is of.
    """

    phase: str
    step: int
    split: str
    metric: str
    value: float
    language: str | None = None
    task: str | None = None
    model: str | None = None
    low: float | None = None
    high: float | None = None
    other: str | None = None
    layer: int | None = None
    part: str | None = None
    frequency: float | None = None


def measurements(
    run: RunRecord, *, split: str | None = None, metric: str | None = None, per_language: bool = False
) -> list[Measurement]:
    """A run's measurements in the order they were made; lines that are no measurement are left out.

    Args:
        split: only those on train, dev, test or aligned text; None takes all.
        metric: only those of one metric; None takes all.
        per_language: only those of one language. Few of a long run's lines are, so this is the quick way.
    """
    return [
        _measurement(line)
        for line in run.metrics
        if isinstance(line, dict)
        and (split is None or line.get("split") == split)
        and (metric is None or line.get("metric") == metric)
        and (not per_language or line.get("language") is not None)
        and _whole(line)
    ]


def _whole(line: dict[str, Any]) -> bool:
    return "metric" in line and _number(line.get("value")) is not None


def _measurement(line: dict[str, Any]) -> Measurement:
    return Measurement(
        phase=str(line.get("phase", "")),
        step=int(_number(line.get("step")) or 0),
        split=str(line.get("split", "")),
        metric=str(line["metric"]),
        value=float(line["value"]),
        language=_text(line.get("language")),
        task=_text(line.get("task")),
        model=_text(line.get("model")),
        low=_number(line.get("low")),
        high=_number(line.get("high")),
        other=_text(line.get("other")),
        layer=None if _number(line.get("layer")) is None else int(line["layer"]),
        part=_text(line.get("part")),
        frequency=_number(line.get("frequency")),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def numbered(names: Sequence[str]) -> list[str]:
    """Names, and from the second of the same on with a number: "a", "a (2)"."""
    seen = [names[:place].count(name) for place, name in enumerate(names)]
    return [f"{name} ({before + 1})" if before else name for name, before in zip(names, seen, strict=True)]


def in_order(names: Iterable[Name]) -> list[Name]:
    """Each name once, in the order of first appearance."""
    return list(dict.fromkeys(names))


def language_name(tag: str) -> str:
    """The English name of an internal tag; the tag itself for a language made here, such as a clone."""
    try:
        return language(tag).name
    except LanguageError:
        return tag


def source_language(recipe: dict[str, Any]) -> str | None:
    """The one language that supervision comes from, as an internal tag; None when there is no such one.

    It is what the recipe calls `source`, else the only language under every `train` key.
    """
    named = [value for key, value in _items(recipe) if key == "source" and isinstance(value, str)]
    trained = [set(value) for key, value in _items(recipe) if key == "train" and isinstance(value, dict)]
    tags = named[:1] or list(set().union(*trained))
    if len(tags) != 1:
        return None
    try:
        return language(str(tags[0])).tag
    except LanguageError:
        return None


def model_name(value: object) -> str | None:
    """What a recipe calls a model, for a sentence: a Hub id as it is, of a folder the last telling part."""
    if not isinstance(value, str) or not value:
        return None
    value = value.removeprefix("stage:")  # an earlier stage of the same pipeline
    is_folder = value.startswith((".", "/", "~")) or value.count("/") > 1
    folder = Path(value)
    telling = folder.parent if folder.name == "model" else folder  # every run calls its result `model`
    return (telling.name or value) if is_folder else value


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value of nested mappings and lists, outer ones first."""
    if isinstance(value, dict):
        yield from value.items()
        for inner in value.values():
            yield from _items(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _items(inner)
