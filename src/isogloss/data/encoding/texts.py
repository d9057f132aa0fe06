"""Whole texts: one or two with a label, a premise with its alternatives. What is too long loses its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isogloss.data.encoding.reader import Reader, Row, require_gold
from isogloss.data.features import Features
from isogloss.data.records import ChoiceExample, LabelExample


def labelled_texts(reader: Reader, examples: Sequence[LabelExample]) -> Iterator[Features]:
    """A row for each example: its text, or its two."""
    texts = reader.pieces([example.text for example in examples])
    pairs = iter(reader.pieces([example.pair for example in examples if example.pair is not None]))
    for index, (example, text) in enumerate(zip(examples, texts, strict=True)):
        parts = [text.ids] if example.pair is None else [text.ids, next(pairs).ids]
        yield reader.features("label", index, fit(reader, *parts), labels=label_number(reader, example))


def label_number(reader: Reader, example: LabelExample) -> list[int] | None:
    """The label's number, in training alone."""
    if not reader.train:
        return None
    require_gold(example, example.label)
    return [reader.labels.number(str(example.label), example=example.id)]


def fit(reader: Reader, *parts: list[int]) -> Row:
    """Wrap one text or two, cutting the ends: of two, the longer is cut to the shorter first."""
    room = reader.frame.room(reader.max_length, parts=len(parts))
    if len(parts) == 1:
        return reader.frame.wrap(parts[0][:room])
    first, second = parts
    keep = min(len(second), max(room // 2, room - len(first)))
    return reader.frame.wrap(first[: room - keep], second[:keep])


def choices(reader: Reader, examples: Sequence[ChoiceExample]) -> Iterator[Features]:
    """A row for each alternative: the premise, and the alternative with what is asked before it."""
    premises = reader.pieces([example.premise for example in examples])
    choices = iter(reader.pieces([f"{e.question}: {choice}" for e in examples for choice in e.choices]))
    for index, (example, premise) in enumerate(zip(examples, premises, strict=True)):
        rows = [fit(reader, premise.ids, next(choices).ids) for _ in example.choices]
        yield reader.features("choice", index, *rows, labels=choice_number(reader, example))


def choice_number(reader: Reader, example: ChoiceExample) -> list[int] | None:
    """The position of the right alternative, in training alone."""
    if not reader.train:
        return None
    require_gold(example, example.answer)
    return [int(example.answer or 0)]
