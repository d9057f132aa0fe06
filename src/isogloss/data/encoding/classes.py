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
from typing import NamedTuple

from isogloss.core.errors import ModelError
from isogloss.data.encoding.language import check_gap, covering, mask_of, start_token
from isogloss.data.encoding.reader import Reader, Row
from isogloss.data.features import Entry, Features
from isogloss.data.pieces import Pieces
from isogloss.data.records import GAP, GapExample


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


def filled(reader: Reader, examples: Sequence[GapExample]) -> Iterator[list[Filled]]:
    """The candidates of each example in its prompt, with the same pieces around the gap as far as they fit.

    Raises:
        DataError: a prompt without exactly one gap, or a candidate without a piece.
    """
    for example in examples:
        check_gap(example)
    texts = reader.pieces([e.prompt.replace(GAP, text, 1) for e in examples for text in e.candidates])
    rows = iter(texts)
    for example in examples:
        begin = example.prompt.index(GAP)
        cut = []
        for text in example.candidates:
            row = next(rows)
            cut.append((row, covering(reader, row, begin, begin + len(text), example.id)))
        yield _windows(cut, _room(reader))


def _room(reader: Reader) -> int:
    if reader.objective == "causal":
        return reader.max_length - len(start_token(reader))
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
    start = start_token(reader)
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
