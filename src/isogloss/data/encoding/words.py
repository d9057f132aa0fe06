"""Sentences of words: tags and trees. Long ones are read in overlapping windows, and no word is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isogloss.data.encoding.reader import Reader, require_gold
from isogloss.data.features import IGNORED, Features
from isogloss.data.pieces import cap_words, windows, word_pieces
from isogloss.data.records import TagsExample, TreeExample


def tags(reader: Reader, examples: Sequence[TagsExample]) -> Iterator[Features]:
    """A feature for each window of a sentence; each word has its label at one token of one window."""
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


def _tag_numbers(reader: Reader, example: TagsExample) -> list[int] | None:
    if not reader.train:
        return None
    if example.words:
        require_gold(example, example.tags)
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


def trees(reader: Reader, examples: Sequence[TreeExample]) -> Iterator[Features]:
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


def _tree_gold(reader: Reader, example: TreeExample) -> dict[str, list[int]]:
    if not reader.train:
        return {}
    relations = [reader.labels.number(relation, example=example.id) for relation in example.relations]
    return {"labels": list(example.heads), "relations": relations}
