"""The few things that travel: one frozen record per kind of example.

Every record carries an `id`, by which the same item is found in other languages and in predictions, and a
`language` in the internal form of `core.languages` (`sw-Latn`). Gold that a file does not have is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["label", "choice", "gap", "tags", "tree", "span", "text"]

PIECES: tuple[Kind, ...] = ("gap", "text")
"""Kinds whose targets are pieces of the vocabulary, which a language model's own head scores."""

GAP = "<mask>"
"""How a gap is written in a `GapExample`'s prompt, whatever the tokenizer's own mask looks like."""


@dataclass(frozen=True, slots=True)
class LabelExample:
    """One text, or two, and a class: topic, NLI, paraphrase.

    `pair` is None for single texts; `label` None when the file has no gold.
    """

    id: str
    language: str
    text: str
    pair: str | None
    label: str | None


@dataclass(frozen=True, slots=True)
class ChoiceExample:
    """A premise and two or more alternatives, one of them right (COPA).

    `question` is "cause" or "effect"; `answer` the position of the right choice, or None.
    """

    id: str
    language: str
    premise: str
    question: str
    choices: tuple[str, ...]
    answer: int | None


@dataclass(frozen=True, slots=True)
class GapExample:
    """A prompt with one `GAP` in it and the candidates that could fill it (cloze facts).

    `answers` are the right candidates, each one of `candidates`; empty when the file has no gold.
    """

    id: str
    language: str
    prompt: str
    candidates: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TagsExample:
    """Words and a tag for each: NER in BIO, or parts of speech. `tags` is None without gold."""

    id: str
    language: str
    words: tuple[str, ...]
    tags: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class TreeExample:
    """A dependency tree over syntactic words.

    `heads[i]` is the 1-based position of word i's head, 0 for the root; `relations` keep their subtypes
    (`nmod:poss`); `tags` are universal parts of speech. `ranges` are the multiword tokens of the file, as
    (first, last, form) with 1-based inclusive positions; evaluation is on the words.
    """

    id: str
    language: str
    words: tuple[str, ...]
    tags: tuple[str, ...]
    heads: tuple[int, ...]
    relations: tuple[str, ...]
    ranges: tuple[tuple[int, int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SpanExample:
    """A question and a context that holds its answers.

    `answers` are (start, text) with `context[start:start + len(text)] == text`; empty without gold.
    """

    id: str
    language: str
    question: str
    context: str
    answers: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class TextExample:
    """A piece of running text, such as a line of a corpus."""

    id: str
    language: str
    text: str


Example: TypeAlias = (
    LabelExample | ChoiceExample | GapExample | TagsExample | TreeExample | SpanExample | TextExample
)


def has_gold(example: Example) -> bool:
    """Whether its file says what is right."""
    match example:
        case LabelExample():
            return example.label is not None
        case ChoiceExample():
            return example.answer is not None
        case GapExample() | SpanExample():
            return bool(example.answers)
        case TagsExample():
            return bool(example.tags)
        case TreeExample():
            return bool(example.words)
        case TextExample():
            return bool(example.text)
