"""CoNLL-U, kept to the byte: comments, multiword tokens and empty nodes stay where they are.

Oddities of real treebanks, all read as they stand: `_` as the form of a word whose text is withheld
(UD_English-GUMReddit) or missing (EWT, IMST); spaces inside a word (Vietnamese, French); enhanced-only nodes
such as `8.1` (EWT, GUM).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from isogloss.core.errors import DataError
from isogloss.core.languages import language as find_language
from isogloss.data.lines import numbered_lines
from isogloss.data.records import TagsExample, TreeExample

UPOS = tuple("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())


class Row(NamedTuple):
    """The ten columns of one line, as text, and the line's number in its file."""

    id: str
    form: str
    lemma: str
    upos: str
    xpos: str
    feats: str
    head: str
    deprel: str
    deps: str
    misc: str
    line: int


@dataclass(frozen=True)
class Sentence:
    """One sentence; `str(sentence)` gives back its bytes of the file, blank lines included.

    Attributes:
        source: the lines with their ends. A byte-order mark and blank lines before the first sentence belong
            to it; so the sentences of a file, joined, are the file.
        comments: the lines that start with `#`, without line ends.
        words: the syntactic words, ids 1, 2, ...
        ranges: the multiword tokens, ids such as `3-4`.
        empty_nodes: the nodes of enhanced graphs, ids such as `8.1`.
        path: the file; with a row's `line` it makes the place in an error.
    """

    source: tuple[str, ...]
    comments: tuple[str, ...]
    words: tuple[Row, ...]
    ranges: tuple[Row, ...]
    empty_nodes: tuple[Row, ...]
    path: Path

    def __str__(self) -> str:
        return "".join(self.source)

    @property
    def id(self) -> str | None:
        """The `sent_id`, None without one."""
        return self.comment("sent_id")

    def comment(self, name: str) -> str | None:
        """The value of the comment `# name = value`, None when there is none."""
        for line in self.comments:
            key, equals, value = line[1:].partition("=")
            if equals and key.strip() == name:
                return value.strip()
        return None

    def fault(self, got: str, row: Row, *, wanted: str = "", fix: str = "") -> DataError:
        """An error that names the row's file and line, and the sentence."""
        return DataError(
            f"{got} (sent_id {self.id or 'missing'})",
            wanted=wanted,
            fix=fix,
            where=f"{self.path}:{row.line}",
        )

    def tags_example(self, language: str, *, id: str) -> TagsExample:
        """The words and their universal parts of speech; no tags when the column is `_` throughout.

        Raises:
            DataError: a tag that is none of the seventeen.
        """
        words = tuple(row.form for row in self.words)
        return TagsExample(id, language, words, self._upos() or None)

    def tree_example(self, language: str, *, id: str) -> TreeExample:
        """The dependency tree over the words.

        Raises:
            DataError: a head that is no number or no word, not exactly one root, or a cycle.
        """
        heads = tuple(self._head(row) for row in self.words)
        self._check_tree(heads)
        return TreeExample(
            id=id,
            language=language,
            words=tuple(row.form for row in self.words),
            tags=self._upos() or ("_",) * len(self.words),
            heads=heads,
            relations=tuple(row.deprel for row in self.words),
            ranges=tuple((*_span(row.id), row.form) for row in self.ranges),
        )

    def _upos(self) -> tuple[str, ...]:
        """The tags; () when no word has one."""
        if all(row.upos == "_" for row in self.words):
            return ()
        for row in self.words:
            if row.upos not in UPOS:
                raise self.fault(
                    f"unknown part of speech {row.upos!r}", row, wanted=f"one of {' '.join(UPOS)}"
                )
        return tuple(row.upos for row in self.words)

    def _head(self, row: Row) -> int:
        if not (row.head.isascii() and row.head.isdigit()):
            raise self.fault(
                f"head {row.head!r} is not a number", row, wanted="0 for the root, or a word's id"
            )
        if int(row.head) > len(self.words):
            raise self.fault(f"head {row.head} is out of range", row, wanted=f"0 to {len(self.words)}")
        return int(row.head)

    def _check_tree(self, heads: Sequence[int]) -> None:
        roots = [i for i, head in enumerate(heads, start=1) if head == 0]
        if len(roots) != 1:
            found = f"{len(roots)} roots, words {', '.join(map(str, roots))}" if roots else "no root"
            row = self.words[roots[1] - 1 if roots else 0]
            raise self.fault(found, row, wanted="exactly one word with head 0")
        if cycle := _cycle(heads):
            loop = " -> ".join(map(str, [*cycle, cycle[0]]))
            raise self.fault(f"the heads form a cycle: {loop}", self.words[cycle[0] - 1], wanted="a tree")


def sentences(path: Path) -> Iterator[Sentence]:
    """The sentences of a file, one at a time.

    Raises:
        DataError: a line without ten columns, word ids out of order, a range or empty node with a bad id.
    """
    lines: list[tuple[int, str]] = []
    seen_rows = ended = False
    for number, line in numbered_lines(path, exact=True):
        blank = not line.strip("\ufeff\r\n")
        if ended and not blank:
            yield _sentence(lines, path)
            lines, seen_rows, ended = [], False, False
        lines.append((number, line))
        seen_rows = seen_rows or not blank
        ended = seen_rows and blank
    if seen_rows:
        yield _sentence(lines, path)


def _sentence(lines: Sequence[tuple[int, str]], path: Path) -> Sentence:
    bare = [(number, line.rstrip("\r\n").removeprefix("\ufeff")) for number, line in lines]
    comments = tuple(line for _, line in bare if line.startswith("#"))
    rows = [_row(line, number, path) for number, line in bare if line and not line.startswith("#")]
    sentence = Sentence(
        source=tuple(line for _, line in lines),
        comments=comments,
        words=tuple(row for row in rows if row.id.isdigit()),
        ranges=tuple(row for row in rows if "-" in row.id),
        empty_nodes=tuple(row for row in rows if "." in row.id),
        path=path,
    )
    if not sentence.words:
        raise DataError("a sentence without words", where=f"{path}:{lines[0][0]}")
    _check_ids(sentence)
    return sentence


def _row(line: str, number: int, path: Path) -> Row:
    cells = line.split("\t")
    if len(cells) != 10:
        raise DataError(
            f"{len(cells)} columns",
            wanted="ten columns between tabs, or a comment, or an empty line",
            fix="look for spaces in place of tabs" if len(cells) == 1 else "",
            where=f"{path}:{number}",
        )
    if not all(part.isascii() and part.isdigit() for part in cells[0].replace("-", ".", 1).split(".", 1)):
        raise DataError(f"id {cells[0]!r}", wanted="a number, a range (3-4) or 8.1", where=f"{path}:{number}")
    return Row._make([*cells, number])


def _check_ids(sentence: Sentence) -> None:
    for expected, row in enumerate(sentence.words, start=1):
        if row.id != str(expected):
            raise sentence.fault(f"word id {row.id}", row, wanted=f"{expected}: words are numbered from 1")
    last = 0
    for row in sentence.ranges:
        first, end = _span(row.id)
        if not last < first <= end <= len(sentence.words):
            raise sentence.fault(
                f"multiword token {row.id}", row, wanted="ranges in order, within the sentence"
            )
        last = end


def _span(identifier: str) -> tuple[int, int]:
    first, _, last = identifier.partition("-")
    return int(first), int(last)


def _cycle(heads: Sequence[int]) -> list[int]:
    """The words of one cycle, each followed by its head, the smallest first; [] for a tree."""
    state = [0] * (len(heads) + 1)  # 0 unseen, else the number of the walk that saw it
    for start in range(1, len(heads) + 1):
        word = start
        while word and not state[word]:
            state[word] = start
            word = heads[word - 1]
        if word and state[word] == start:
            cycle = [word]
            while (word := heads[word - 1]) != cycle[0]:
                cycle.append(word)
            at = cycle.index(min(cycle))
            return cycle[at:] + cycle[:at]
    return []


def trees(path: Path, *, language: str) -> Iterator[TreeExample]:
    """The file as trees. The id is the sent_id, or the sentence's number from 1 without one."""
    tag = find_language(language).tag
    for number, sentence in enumerate(sentences(path), start=1):
        yield sentence.tree_example(tag, id=sentence.id or str(number))


def tags(path: Path, *, language: str) -> Iterator[TagsExample]:
    """The file as words and universal parts of speech; ids as in `trees`."""
    tag = find_language(language).tag
    for number, sentence in enumerate(sentences(path), start=1):
        yield sentence.tags_example(tag, id=sentence.id or str(number))
