"""Questions and contexts, in overlapping windows of the context, and where the answer lies in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isogloss.core.errors import DataError
from isogloss.data.encoding.reader import Reader, chunks
from isogloss.data.features import Features
from isogloss.data.pieces import Pieces
from isogloss.data.records import SpanExample


def spans(reader: Reader, examples: Sequence[SpanExample]) -> Iterator[Features]:
    """The question with each window of its context; an answer that a window cuts is none there."""
    questions = reader.pieces([example.question for example in examples])
    contexts = _each_once(reader, [example.context for example in examples])
    room = reader.frame.room(reader.max_length, parts=2)
    for index, (example, question) in enumerate(zip(examples, questions, strict=True)):
        context, answer = contexts[example.context], _answer(reader, example)
        asked = question.ids[: room // 2]
        for chunk in chunks(len(context.ids), room - len(asked), reader.stride):
            yield _span_window(reader, index, asked, context, chunk, answer)


def _each_once(reader: Reader, texts: Sequence[str]) -> dict[str, Pieces]:
    """Several questions share a context; it is tokenised once."""
    unique = list(dict.fromkeys(texts))
    return dict(zip(unique, reader.pieces(unique), strict=True))


def _answer(reader: Reader, example: SpanExample) -> tuple[int, int] | None:
    """The character range of the first answer; None in prediction and for a question without answer."""
    for start, text in example.answers:
        if example.context[start : start + len(text)] != text or not text:
            raise DataError(
                f"example {example.id!r}: the answer {text!r} is not at {start} in its context",
                wanted=f"it there; found {example.context[start : start + len(text)]!r}",
                fix="count the offset in Unicode characters, not in bytes or UTF-16 units",
            )
    if not reader.train or not example.answers:
        return None
    start, text = example.answers[0]
    return start, start + len(text)


def _span_window(
    reader: Reader,
    index: int,
    question: list[int],
    context: Pieces,
    chunk: range,
    answer: tuple[int, int] | None,
) -> Features:
    row = reader.frame.wrap(question, context.ids[chunk.start : chunk.stop])
    start = reader.frame.offset(question)
    offsets = [(-1, -1)] * len(row[0])
    offsets[start : start + len(chunk)] = context.offsets[chunk.start : chunk.stop]
    gold = _answer_tokens(context, chunk, answer)
    labels = [start + gold[0], start + gold[1]] if gold else [0, 0]
    return reader.features(
        "span", index, row, offsets=tuple(offsets), labels=labels if reader.train else None
    )


def _answer_tokens(context: Pieces, chunk: range, answer: tuple[int, int] | None) -> tuple[int, int] | None:
    """First and last token of the answer within a window, or None when it is not wholly inside."""
    if answer is None:
        return None
    begin, end = answer
    held = [i for i, (b, e) in enumerate(context.offsets) if b < end and e > begin]
    if not held or held[0] not in chunk or held[-1] not in chunk:
        return None
    return held[0] - chunk.start, held[-1] - chunk.start
