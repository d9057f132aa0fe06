"""What a language model is asked: to fill gaps, and to tell how likely a text is.

A long prompt keeps the window around its gap; a long text is read in windows, each token scored once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isogloss.core.errors import DataError, ModelError
from isogloss.data.encoding.reader import Reader, Row, chunks, require_gold
from isogloss.data.features import IGNORED, Features
from isogloss.data.pieces import Pieces, start_token
from isogloss.data.records import GAP, GapExample, TextExample

MASK_EVERY = 7
"""A masked or encoder-decoder model reads a text this many times, each time with another 1/7 of it hidden."""
SPAN_LENGTH = 3
"""Tokens behind one sentinel when an encoder-decoder model reads a text."""


def gaps(reader: Reader, examples: Sequence[GapExample]) -> Iterator[Features]:
    """A row for each right candidate of each example, with labels at its tokens: what is learnt."""
    cases = [(index, text) for index, example in enumerate(examples) for text in _right(example)]
    fill = {"masked": _gap_masked, "causal": _gap_causal, "seq2seq": _gap_seq2seq}[reader.objective]
    texts = reader.pieces([examples[index].prompt.replace(GAP, text, 1) for index, text in cases])
    for (index, text), row in zip(cases, texts, strict=True):
        begin = examples[index].prompt.index(GAP)
        ids, labels = fill(reader, row, covering(reader, row, begin, begin + len(text), examples[index].id))
        yield reader.features("gap", index, ids, labels=labels)


def _right(example: GapExample) -> list[str]:
    check_gap(example)
    require_gold(example, example.answers)
    return [candidate for candidate in example.candidates if candidate in example.answers]


def check_gap(example: GapExample) -> None:
    """Refuse a prompt without a gap or with several."""
    if example.prompt.count(GAP) != 1:
        raise DataError(f"example {example.id!r}: the prompt {example.prompt!r} needs exactly one {GAP}")


def covering(reader: Reader, row: Pieces, begin: int, end: int, example: str) -> range:
    """The tokens that hold a candidate's characters; a bare space before it is no part of it."""
    inside = [i for i, (b, e) in enumerate(row.offsets) if b < end and e > begin]
    kept = [i for i in inside if row.ids[i] not in reader.bare] or inside
    if not kept:
        raise DataError(f"example {example!r}: a candidate disappears in the tokenizer's normalisation")
    return range(kept[0], kept[-1] + 1)


def _around(gap: range, length: int, room: int) -> range:
    """At most `room` tokens with the gap in the middle."""
    begin = max(0, min(gap.start - (room - len(gap)) // 2, length - room))
    return range(begin, min(length, begin + room))


def _gap_masked(reader: Reader, row: Pieces, gap: range) -> tuple[Row, list[int]]:
    kept = _around(gap, len(row.ids), reader.frame.room(reader.max_length))
    return _hide(reader, [row.ids[i] for i in kept], [i in gap for i in kept])


def _hide(reader: Reader, ids: Sequence[int], hidden: Sequence[bool]) -> tuple[Row, list[int]]:
    """A row with the hidden tokens masked, and labels that ask for exactly those."""
    mask = mask_of(reader)
    row = reader.frame.wrap([mask if out else token for token, out in zip(ids, hidden, strict=True)])
    start = reader.frame.offset()
    labels = [IGNORED] * len(row[0])
    for position, (token, out) in enumerate(zip(ids, hidden, strict=True)):
        if out:
            labels[start + position] = token
    return row, labels


def mask_of(reader: Reader) -> int:
    """The mask's id; a ModelError where the tokenizer has none."""
    mask: int | None = reader.tokenizer.mask_token_id
    if mask is None:
        raise ModelError(
            "the tokenizer has no mask token",
            wanted="one, to score text with a masked language model",
            fix="use a causal or encoder-decoder model, or a tokenizer with a mask",
        )
    return mask


def _gap_causal(reader: Reader, row: Pieces, gap: range) -> tuple[Row, list[int]]:
    start = start_token(reader.tokenizer)
    kept = _around(gap, len(row.ids), reader.max_length - len(start))
    ids = [row.ids[i] for i in kept]
    return ([*start, *ids], [0] * (len(start) + len(ids))), [IGNORED] * len(start) + ids


def _gap_seq2seq(reader: Reader, row: Pieces, gap: range) -> tuple[Row, list[int]]:
    kept = _around(gap, len(row.ids), reader.frame.room(reader.max_length))
    return _replace(reader, [row.ids[i] for i in kept], [i in gap for i in kept])


def _replace(reader: Reader, ids: Sequence[int], hidden: Sequence[bool]) -> tuple[Row, list[int]]:
    """T5's spans: each hidden run becomes a sentinel, and the decoder tells each run after its sentinel."""
    marks = iter(reader.sentinels)
    content: list[int] = []
    target: list[int] = []
    for position, (token, out) in enumerate(zip(ids, hidden, strict=True)):
        if out and (position == 0 or not hidden[position - 1]):
            mark = next(marks)
            content.append(mark)
            target.append(mark)
        (target if out else content).append(token)
    return reader.frame.wrap(content), [*target, next(marks)]


def texts(reader: Reader, examples: Sequence[TextExample]) -> Iterator[Features]:
    """Windows of each text, with labels such that each token is scored once over all of them."""
    read = {"masked": _text_hidden, "causal": _text_causal, "seq2seq": _text_hidden}[reader.objective]
    rows = reader.pieces([example.text for example in examples])
    for index, (example, row) in enumerate(zip(examples, rows, strict=True)):
        if row.ids:
            yield from read(reader, index, row, len(example.text.encode()))


def _text_hidden(reader: Reader, index: int, row: Pieces, n_bytes: int) -> Iterator[Features]:
    """Windows side by side, each read several times; every token is hidden in exactly one reading."""
    room = reader.frame.room(reader.max_length)
    masked = reader.objective == "masked"
    hide, run = (_hide, 1) if masked else (_replace, SPAN_LENGTH)
    if not masked:
        room = min(room, (len(reader.sentinels) - 1) * run * MASK_EVERY)
    for chunk in chunks(len(row.ids), room, 0):
        ids = row.ids[chunk.start : chunk.stop]
        for reading in range(min(MASK_EVERY, -(-len(ids) // run))):
            hidden = [i // run % MASK_EVERY == reading for i in range(len(ids))]
            content, labels = hide(reader, ids, hidden)
            yield reader.features("text", index, content, labels=labels, n_bytes=n_bytes)
            n_bytes = 0


def _text_causal(reader: Reader, index: int, row: Pieces, n_bytes: int) -> Iterator[Features]:
    """Windows that share some context; what an earlier window has scored is not scored again."""
    start = start_token(reader.tokenizer)
    seen = 0
    for chunk in chunks(len(row.ids), reader.max_length - len(start), reader.stride, share=4):
        ids = row.ids[chunk.start : chunk.stop]
        known = seen - chunk.start
        labels = [IGNORED] * (len(start) + known) + ids[known:]
        content = ([*start, *ids], [0] * (len(start) + len(ids)))
        yield reader.features("text", index, content, labels=labels, n_bytes=n_bytes)
        seen, n_bytes = chunk.stop, 0
