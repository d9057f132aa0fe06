"""Classes told by pieces: a text for each fills the gap of a prompt, and its pieces speak for it.

What a class shares with the others is read once and scored nowhere:

- masked: candidates of equally many pieces share a row, whose masks each of them is read from;
- causal: a row ends before its last piece, so candidates that differ there alone share one; the pieces
  before the first difference have the same probability whatever the class, and are no entries;
- encoder-decoder: one row with a sentinel for the gap; the decoder is told what was said before each piece,
  so candidates of one piece share a reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from isogloss.core.errors import DataError, ModelError
from isogloss.data.encoding.language import check_gap, covering, mask_of
from isogloss.data.encoding.reader import Reader, Row
from isogloss.data.encoding.texts import choice_number, label_number
from isogloss.data.features import Entry, Features
from isogloss.data.pieces import Pieces, start_token
from isogloss.data.prompts import Prompt, ask
from isogloss.data.records import GAP, GapExample, LabelExample

_TOGETHER = 1000
"""Examples tokenised at once: of each candidate the whole prompt is, which would fill the memory."""


class Filled(NamedTuple):
    """The pieces of a prompt with a candidate in its gap, as far as they fit a row."""

    before: list[int]
    filling: list[int]
    after: list[int]


def gaps(reader: Reader, examples: Sequence[GapExample]) -> Iterator[Features]:
    """A feature for each example, the candidates its classes; their scores are those of prediction.

    So the mean over pieces, but for causal models, whose rows go on after the gap, the sum.
    """
    mean = reader.objective != "causal"
    for index, candidates in enumerate(filled(reader, examples)):
        rows, more, entries = _READ[reader.objective](reader, candidates)
        yield reader.features("gap", index, *rows, decoder=more, entries=entries, mean=mean)


def asked(reader: Reader, examples: Sequence[Any], prompt: Prompt) -> Iterator[Features]:
    """A feature for each example of kind label or choice, its classes told by a prompt.

    Raises:
        DataError: as `ask`; no gold, in training; or two labels told by the same pieces.
    """
    labels = reader.labels.labels
    gaps = [ask(example, prompt, labels) for example in examples]
    for index, (example, candidates) in enumerate(zip(examples, filled(reader, gaps), strict=True)):
        label = isinstance(example, LabelExample)
        if label:
            _told_apart(reader, example, candidates)
        rows, more, entries = _READ[reader.objective](reader, candidates)
        yield reader.features(
            "label" if label else "choice",
            index,
            *rows,
            decoder=more,
            entries=entries,
            mean=prompt.score == "mean",
            labels=label_number(reader, example) if label else choice_number(reader, example),
        )


def _told_apart(reader: Reader, example: LabelExample, candidates: Sequence[Filled]) -> None:
    seen: dict[tuple[int, ...], str] = {}
    for label, (_, filling, _) in zip(reader.labels.labels, candidates, strict=True):
        if (other := seen.setdefault(tuple(filling), label)) != label:
            pieces = " ".join(reader.tokenizer.convert_ids_to_tokens(filling))
            raise DataError(
                f"in {example.language} {other!r} and {label!r} are told by the same pieces: {pieces}",
                wanted="words that the tokenizer tells apart",
                fix="give one of them another verbaliser",
            )


def filled(reader: Reader, examples: Sequence[GapExample]) -> Iterator[list[Filled]]:
    """The candidates of each example in its prompt, with the same pieces around the gap as far as they fit.

    Raises:
        DataError: a prompt without exactly one gap, or a candidate without a piece.
    """
    room = _room(reader)
    for start in range(0, len(examples), _TOGETHER):
        some = examples[start : start + _TOGETHER]
        for example in some:
            check_gap(example)
        rows = iter(reader.pieces([e.prompt.replace(GAP, text, 1) for e in some for text in e.candidates]))
        for example in some:
            begin = example.prompt.index(GAP)
            ends = [begin + len(text) for text in example.candidates]
            cut = [
                (row, covering(reader, row, begin, end, example.id))
                for end, row in zip(ends, rows, strict=False)
            ]
            yield _windows(cut, room)


def _room(reader: Reader) -> int:
    if reader.objective == "causal":
        return reader.max_length - len(start_token(reader.tokenizer))
    return reader.frame.room(reader.max_length)


def _windows(cut: Sequence[tuple[Pieces, range]], room: int) -> list[Filled]:
    """As many pieces on each side as fit beside the longest candidate, which has the middle."""
    spare = max(0, room - max(len(gap) for _, gap in cut))
    left = max(gap.start for _, gap in cut)
    right = max(len(row.ids) - gap.stop for row, gap in cut)
    before = min(left, max(spare // 2, spare - right))
    after = min(right, spare - before)
    return [
        Filled(
            row.ids[max(0, gap.start - before) : gap.start],
            row.ids[gap.start : gap.stop][:room],
            row.ids[gap.stop : gap.stop + after],
        )
        for row, gap in cut
    ]


Reading = tuple[list[Row], tuple[tuple[int, list[int]], ...], tuple[Entry, ...]]
"""Rows, what a decoder is told of them, and entries."""


def _masked(reader: Reader, candidates: Sequence[Filled]) -> Reading:
    mask, start = mask_of(reader), reader.frame.offset()
    rows: dict[tuple[int, ...], int] = {}
    entries = []
    for choice, (before, filling, after) in enumerate(candidates):
        row = rows.setdefault((*before, *[mask] * len(filling), *after), len(rows))
        first = start + len(before)
        entries += [Entry(row, first + place, token, choice) for place, token in enumerate(filling)]
    return [reader.frame.wrap(row) for row in rows], (), tuple(entries)


def _causal(reader: Reader, candidates: Sequence[Filled]) -> Reading:
    start = start_token(reader.tokenizer)
    texts = [[*start, *before, *filling, *after] for before, filling, after in candidates]
    end = reader.tokenizer.eos_token_id
    if end is not None and any(one != two and two[: len(one)] == one for one in texts for two in texts):
        texts = [[*text, end] for text in texts]  # or a text that goes on would always be the less probable
    first = _first_difference(texts) if len(texts) > 1 else len(start) + len(candidates[0].before)
    first = min(first, *(len(text) - 1 for text in texts))
    if first == 0:
        raise ModelError(
            "candidates that differ in the first piece, and a tokenizer without a token before it",
            wanted="a token for the beginning or the end of a text",
            fix="use the tokenizer the model was pretrained with",
        )
    rows: dict[tuple[int, ...], int] = {}
    entries = []
    for choice, text in enumerate(texts):
        row = rows.setdefault(tuple(text[:-1]), len(rows))
        entries += [Entry(row, place - 1, text[place], choice) for place in range(first, len(text))]
    return [(list(row), [0] * len(row)) for row in rows], (), tuple(entries)


def _first_difference(texts: Sequence[Sequence[int]]) -> int:
    """How many pieces all texts begin with."""
    return len(list(takewhile(lambda together: len(set(together)) == 1, zip(*texts, strict=False))))


def _seq2seq(reader: Reader, candidates: Sequence[Filled]) -> Reading:
    sentinel = reader.sentinels[0]
    rows: dict[tuple[int, ...], int] = {}
    readings: dict[tuple[int, ...], int] = {}
    entries = []
    for choice, (before, filling, after) in enumerate(candidates):
        row = rows.setdefault((*before, sentinel, *after), len(rows))
        reading = readings.setdefault((row, sentinel, *filling[:-1]), len(readings))
        # The decoder begins with a start token of the model's, which answers for the sentinel.
        entries += [Entry(reading, place, token, choice) for place, token in enumerate(filling, start=1)]
    said = tuple((row, list(tokens)) for row, *tokens in readings)
    return [reader.frame.wrap(row) for row in rows], said, tuple(entries)


_READ = {"masked": _masked, "causal": _causal, "seq2seq": _seq2seq}
