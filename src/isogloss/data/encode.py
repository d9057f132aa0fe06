"""Examples of every kind as rows of token ids.

What is too long: label and choice cut the end of the longer text; gap keeps the window around the gap; tags,
tree, span and text are read in overlapping windows, so that no word, answer or byte is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from isogloss.core.errors import DataError, ModelError
from isogloss.data.features import IGNORED, Features, collate
from isogloss.data.labels import LabelIndex
from isogloss.data.pieces import (
    Frame,
    Pieces,
    bare_spaces,
    cap_words,
    frame_of,
    pieces,
    windows,
    word_pieces,
)
from isogloss.data.records import (
    GAP,
    ChoiceExample,
    Example,
    GapExample,
    Kind,
    LabelExample,
    SpanExample,
    TagsExample,
    TextExample,
    TreeExample,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["Features", "Objective", "Purpose", "collate", "encode"]

Objective: TypeAlias = Literal["masked", "causal", "seq2seq"]
Purpose: TypeAlias = Literal["train", "predict"]

MASK_EVERY = 7
"""A masked or encoder-decoder model reads a text this many times, each time with another 1/7 of it hidden."""
SPAN_LENGTH = 3
"""Tokens behind one sentinel when an encoder-decoder model reads a text."""

Row: TypeAlias = tuple[list[int], list[int]]
"""Token ids and token types of a row."""


@dataclass(frozen=True)
class _Reader:
    """What every kind needs to turn examples into rows."""

    tokenizer: PreTrainedTokenizerFast
    frame: Frame
    labels: LabelIndex
    max_length: int
    objective: Objective
    train: bool
    stride: int | None

    def features(self, kind: Kind, example: int, *rows: Row, **gold: Any) -> Features:
        typed = "token_type_ids" in self.tokenizer.model_input_names
        return Features(
            kind,
            example,
            tuple(ids for ids, _ in rows),
            tuple(types for _, types in rows) if typed else None,
            **gold,
        )

    def pieces(self, texts: Sequence[str]) -> list[Pieces]:
        return pieces(self.tokenizer, texts)

    @cached_property
    def bare(self) -> frozenset[int]:
        return bare_spaces(self.tokenizer)

    @cached_property
    def sentinels(self) -> list[int]:
        return sentinels(self.tokenizer)


def encode(
    kind: Kind,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    *,
    labels: Sequence[str] = (),
    max_length: int,
    objective: Objective = "masked",
    purpose: Purpose = "train",
    stride: int | None = None,
) -> list[Features]:
    """Encode examples of one kind; an example may become several features (windows, candidates).

    Args:
        labels: the model's labels in its order (label, tags) or its relations (tree).
        max_length: tokens per row, special ones included.
        objective: how the model reads text; matters to gap and text.
        purpose: "train" reads the gold and, for gap, keeps right candidates alone; "predict" reads no gold
            and keeps every candidate.
        stride: tokens that neighbouring windows of span and causal text share; None is a third of a row
            for span and a quarter for text.

    Raises:
        DataError: an example without gold or with a label the model does not know (training), an answer
            that is not where it says, a prompt without its gap, a `max_length` without room for content.
        ModelError: a slow tokenizer, or one without the mask or sentinels that `objective` needs.
    """
    reader = _Reader(
        tokenizer, frame_of(tokenizer), LabelIndex(labels), max_length, objective, purpose == "train", stride
    )
    return list(_ENCODERS[kind](reader, examples))


def _require(example: Example, gold: object) -> None:
    if gold is None or gold == ():
        raise DataError(
            f"example {example.id!r} has no gold",
            wanted="an answer to train on",
            fix="leave it out of training",
        )


# label and choice


def _label(reader: _Reader, examples: Sequence[LabelExample]) -> Iterator[Features]:
    texts = reader.pieces([example.text for example in examples])
    pairs = iter(reader.pieces([example.pair for example in examples if example.pair is not None]))
    for index, (example, text) in enumerate(zip(examples, texts, strict=True)):
        parts = [text.ids] if example.pair is None else [text.ids, next(pairs).ids]
        yield reader.features("label", index, _fit(reader, *parts), labels=_label_number(reader, example))


def _label_number(reader: _Reader, example: LabelExample) -> list[int] | None:
    if not reader.train:
        return None
    _require(example, example.label)
    return [reader.labels.number(str(example.label), example=example.id)]


def _fit(reader: _Reader, *parts: list[int]) -> Row:
    """Wrap one text or two, cutting the ends: of two, the longer is cut to the shorter first."""
    room = reader.frame.room(reader.max_length, parts=len(parts))
    if len(parts) == 1:
        return reader.frame.wrap(parts[0][:room])
    first, second = parts
    keep = min(len(second), max(room // 2, room - len(first)))
    return reader.frame.wrap(first[: room - keep], second[:keep])


def _choice(reader: _Reader, examples: Sequence[ChoiceExample]) -> Iterator[Features]:
    premises = reader.pieces([example.premise for example in examples])
    choices = iter(reader.pieces([f"{e.question}: {choice}" for e in examples for choice in e.choices]))
    for index, (example, premise) in enumerate(zip(examples, premises, strict=True)):
        rows = [_fit(reader, premise.ids, next(choices).ids) for _ in example.choices]
        if reader.train:
            _require(example, example.answer)
        gold = [int(example.answer)] if reader.train and example.answer is not None else None
        yield reader.features("choice", index, *rows, labels=gold)


# gap


def _gap(reader: _Reader, examples: Sequence[GapExample]) -> Iterator[Features]:
    cases = [
        (index, candidate, example.candidates[candidate])
        for index, example in enumerate(examples)
        for candidate in _candidates(reader, example)
    ]
    fill = {"masked": _gap_masked, "causal": _gap_causal, "seq2seq": _gap_seq2seq}[reader.objective]
    texts = reader.pieces([examples[index].prompt.replace(GAP, text, 1) for index, _, text in cases])
    for (index, candidate, text), row in zip(cases, texts, strict=True):
        begin = examples[index].prompt.index(GAP)
        ids, labels = fill(reader, row, _covering(reader, row, begin, begin + len(text), examples[index].id))
        yield reader.features("gap", index, ids, labels=labels, candidate=candidate)


def _candidates(reader: _Reader, example: GapExample) -> list[int]:
    if example.prompt.count(GAP) != 1:
        raise DataError(f"example {example.id!r}: the prompt {example.prompt!r} needs exactly one {GAP}")
    if not reader.train:
        return list(range(len(example.candidates)))
    _require(example, example.answers)
    return [i for i, candidate in enumerate(example.candidates) if candidate in example.answers]


def _covering(reader: _Reader, row: Pieces, begin: int, end: int, example: str) -> range:
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


def _gap_masked(reader: _Reader, row: Pieces, gap: range) -> tuple[Row, list[int]]:
    kept = _around(gap, len(row.ids), reader.frame.room(reader.max_length))
    return _hide(reader, [row.ids[i] for i in kept], [i in gap for i in kept])


def _hide(reader: _Reader, ids: Sequence[int], hidden: Sequence[bool]) -> tuple[Row, list[int]]:
    """A row with the hidden tokens masked, and labels that ask for exactly those."""
    mask = reader.tokenizer.mask_token_id
    if mask is None:
        raise ModelError(
            "the tokenizer has no mask token",
            wanted="one, to score text with a masked language model",
            fix="use a causal or encoder-decoder model, or a tokenizer with a mask",
        )
    row = reader.frame.wrap([mask if out else token for token, out in zip(ids, hidden, strict=True)])
    start = reader.frame.offset()
    labels = [IGNORED] * len(row[0])
    for position, (token, out) in enumerate(zip(ids, hidden, strict=True)):
        if out:
            labels[start + position] = token
    return row, labels


def _gap_causal(reader: _Reader, row: Pieces, gap: range) -> tuple[Row, list[int]]:
    start = _start_token(reader)
    kept = _around(gap, len(row.ids), reader.max_length - len(start))
    ids = [row.ids[i] for i in kept]
    return ([*start, *ids], [0] * (len(start) + len(ids))), [IGNORED] * len(start) + ids


def _start_token(reader: _Reader) -> list[int]:
    """What a causal model reads first, so that the first token of a text is scored as well."""
    tokenizer = reader.tokenizer
    candidates = (tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.eos_token_id)
    return [token for token in candidates if token is not None][:1]


def _gap_seq2seq(reader: _Reader, row: Pieces, gap: range) -> tuple[Row, list[int]]:
    kept = _around(gap, len(row.ids), reader.frame.room(reader.max_length))
    return _replace(reader, [row.ids[i] for i in kept], [i in gap for i in kept])


def _replace(reader: _Reader, ids: Sequence[int], hidden: Sequence[bool]) -> tuple[Row, list[int]]:
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


def sentinels(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Ids of <extra_id_0>, <extra_id_1>, ... in order.

    Raises:
        ModelError: there are none.
    """
    vocabulary = tokenizer.get_vocab()
    found: list[int] = []
    while f"<extra_id_{len(found)}>" in vocabulary:
        found.append(vocabulary[f"<extra_id_{len(found)}>"])
    if len(found) < 2:
        raise ModelError(
            "the tokenizer has no sentinels (<extra_id_0>, ...)",
            wanted="them, to score text with an encoder-decoder model",
            fix="use the tokenizer the model was pretrained with",
        )
    return found


# tags and tree


def _tags(reader: _Reader, examples: Sequence[TagsExample]) -> Iterator[Features]:
    room, start = reader.frame.room(reader.max_length), reader.frame.offset()
    sentences = word_pieces(reader.tokenizer, [example.words for example in examples])
    for index, (example, sentence) in enumerate(zip(examples, sentences, strict=True)):
        gold = _tag_numbers(reader, example)
        words = cap_words(sentence, room)
        for window in windows([len(word.ids) for word in words], room):
            inside = words[window.first : window.last]
            row = reader.frame.wrap([token for word in inside for token in word.ids])
            places = _places([len(w.ids) for w in inside], [w.first for w in inside], start)
            own = slice(window.own_first - window.first, window.own_last - window.first)
            yield reader.features(
                "tags",
                index,
                row,
                words=tuple((0, place) for place in places[own]),
                first_word=window.own_first,
                labels=gold and _at(places[own], gold[window.own_first : window.own_last], len(row[0])),
            )


def _tag_numbers(reader: _Reader, example: TagsExample) -> list[int] | None:
    if not reader.train:
        return None
    if example.words:
        _require(example, example.tags)
    return [reader.labels.number(tag, example=example.id) for tag in example.tags or ()]


def _places(lengths: Sequence[int], firsts: Sequence[int], start: int) -> list[int]:
    """The row position of each word's first character-bearing token."""
    places = []
    for length, first in zip(lengths, firsts, strict=True):
        places.append(start + first)
        start += length
    return places


def _at(places: Sequence[int], labels: Sequence[int], length: int) -> list[int]:
    row = [IGNORED] * length
    for place, label in zip(places, labels, strict=True):
        row[place] = label
    return row


def _tree(reader: _Reader, examples: Sequence[TreeExample]) -> Iterator[Features]:
    """One feature per sentence, however long: its windows are rows, and each word is read from its own."""
    room, start = reader.frame.room(reader.max_length), reader.frame.offset()
    sentences = word_pieces(reader.tokenizer, [example.words for example in examples])
    for index, (example, sentence) in enumerate(zip(examples, sentences, strict=True)):
        words = cap_words(sentence, room)
        rows, places = [], []
        for number, window in enumerate(windows([len(word.ids) for word in words], room)):
            inside = words[window.first : window.last]
            rows.append(reader.frame.wrap([token for word in inside for token in word.ids]))
            positions = _places([len(w.ids) for w in inside], [w.first for w in inside], start)
            own = slice(window.own_first - window.first, window.own_last - window.first)
            places += [(number, position) for position in positions[own]]
        yield reader.features("tree", index, *rows, words=tuple(places), **_tree_gold(reader, example))


def _tree_gold(reader: _Reader, example: TreeExample) -> dict[str, list[int]]:
    if not reader.train:
        return {}
    relations = [reader.labels.number(relation, example=example.id) for relation in example.relations]
    return {"labels": list(example.heads), "relations": relations}


# span


def _span(reader: _Reader, examples: Sequence[SpanExample]) -> Iterator[Features]:
    questions = reader.pieces([example.question for example in examples])
    contexts = _each_once(reader, [example.context for example in examples])
    room = reader.frame.room(reader.max_length, parts=2)
    for index, (example, question) in enumerate(zip(examples, questions, strict=True)):
        context, answer = contexts[example.context], _answer(reader, example)
        asked = question.ids[: room // 2]
        for chunk in _chunks(len(context.ids), room - len(asked), reader.stride):
            yield _span_window(reader, index, asked, context, chunk, answer)


def _each_once(reader: _Reader, texts: Sequence[str]) -> dict[str, Pieces]:
    """Several questions share a context; it is tokenised once."""
    unique = list(dict.fromkeys(texts))
    return dict(zip(unique, reader.pieces(unique), strict=True))


def _chunks(length: int, room: int, stride: int | None, *, share: int = 3) -> Iterator[range]:
    """Overlapping ranges over `length` tokens, each of at most `room`; one, empty, for no tokens."""
    overlap = min(room - 1, room // share if stride is None else stride)
    begin = 0
    while True:
        end = min(begin + room, length)
        yield range(begin, end)
        if end == length:
            return
        begin = end - overlap


def _answer(reader: _Reader, example: SpanExample) -> tuple[int, int] | None:
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
    reader: _Reader,
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


# text


def _text(reader: _Reader, examples: Sequence[TextExample]) -> Iterator[Features]:
    read = {"masked": _text_hidden, "causal": _text_causal, "seq2seq": _text_hidden}[reader.objective]
    rows = reader.pieces([example.text for example in examples])
    for index, (example, row) in enumerate(zip(examples, rows, strict=True)):
        if row.ids:
            yield from read(reader, index, row, len(example.text.encode()))


def _text_hidden(reader: _Reader, index: int, row: Pieces, n_bytes: int) -> Iterator[Features]:
    """Windows side by side, each read several times; every token is hidden in exactly one reading."""
    room = reader.frame.room(reader.max_length)
    masked = reader.objective == "masked"
    hide, run = (_hide, 1) if masked else (_replace, SPAN_LENGTH)
    if not masked:
        room = min(room, (len(reader.sentinels) - 1) * run * MASK_EVERY)
    for chunk in _chunks(len(row.ids), room, 0):
        ids = row.ids[chunk.start : chunk.stop]
        for reading in range(min(MASK_EVERY, -(-len(ids) // run))):
            hidden = [i // run % MASK_EVERY == reading for i in range(len(ids))]
            content, labels = hide(reader, ids, hidden)
            yield reader.features("text", index, content, labels=labels, n_bytes=n_bytes)
            n_bytes = 0


def _text_causal(reader: _Reader, index: int, row: Pieces, n_bytes: int) -> Iterator[Features]:
    """Windows that share some context; what an earlier window has scored is not scored again."""
    start = _start_token(reader)
    seen = 0
    for chunk in _chunks(len(row.ids), reader.max_length - len(start), reader.stride, share=4):
        ids = row.ids[chunk.start : chunk.stop]
        known = seen - chunk.start
        labels = [IGNORED] * (len(start) + known) + ids[known:]
        content = ([*start, *ids], [0] * (len(start) + len(ids)))
        yield reader.features("text", index, content, labels=labels, n_bytes=n_bytes)
        seen, n_bytes = chunk.stop, 0


_ENCODERS: dict[Kind, Callable[[_Reader, Any], Iterator[Features]]] = {
    "label": _label,
    "choice": _choice,
    "gap": _gap,
    "tags": _tags,
    "tree": _tree,
    "span": _span,
    "text": _text,
}
