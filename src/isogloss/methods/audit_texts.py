"""What an audit reads: held-out text of each language, and the same sentences in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from isogloss.core.seeds import generator
from isogloss.methods.aligned_text import AlignedText, aligned_text
from isogloss.methods.sources import corpora, miniature

if TYPE_CHECKING:
    from isogloss.methods.audit import AuditRecipe


@dataclass(frozen=True)
class Material:
    """Sentences by language (internal tags).

    Attributes:
        source: the language that the others are measured against.
        languages: the source first, then in the recipe's order.
        text: lines to count tokens in.
        drawn: by language some of these lines, for the model to read.
        rows: the same sentences in each language; None where none were given.
        stand_ins: languages whose text is their aligned sentences, for want of other.
        embedded: whether everything is of the embedded world.
    """

    source: str
    languages: tuple[str, ...]
    text: Mapping[str, Sequence[str]]
    drawn: Mapping[str, Sequence[str]]
    rows: AlignedText | None
    stand_ins: tuple[str, ...]
    embedded: bool

    def others(self) -> tuple[str, ...]:
        """The aligned languages but the source."""
        return tuple(tag for tag in self.languages if self.rows and tag in self.rows.languages)[1:]

    def facts(self) -> dict[str, Any]:
        """What was read, for audit.json."""
        rows = self.rows
        return {
            "source": self.source,
            "languages": list(self.languages),
            "read": {
                "lines": {tag: len(lines) for tag, lines in self.text.items()},
                "sentences": {tag: len(lines) for tag, lines in self.drawn.items()},
                "aligned": len(rows) if rows else 0,
                "aligned_languages": list(rows.languages) if rows else [],
                "stand_ins": list(self.stand_ins),
                "embedded": self.embedded,
            },
        }


def gather(recipe: AuditRecipe) -> Material:
    """Read the text and the aligned sentences.

    Raises:
        DataError: a file is missing or malformed, has no text, or languages share no sentence.
    """
    rows = _drawn_rows(recipe) if recipe.aligned else None
    text: dict[str, Sequence[str]] = {
        tag: [*islice(corpus, recipe.lines)] for tag, corpus in corpora(recipe.text).items()
    }
    stand_ins = tuple(tag for tag in (rows.languages if rows else ()) if tag not in text)
    text |= {tag: rows.texts[tag] for tag in stand_ins if rows}
    first = recipe.reference
    languages = (first, *(tag for tag in dict.fromkeys([*recipe.aligned, *recipe.text]) if tag != first))
    places = [*recipe.text.values(), *recipe.aligned.values()]
    return Material(
        first,
        languages,
        {tag: text[tag] for tag in languages},
        {
            tag: text[tag] if tag in stand_ins else _drawn(text[tag], recipe, tag)
            for tag in languages
        },
        rows,
        stand_ins,
        embedded=all(miniature(place) for place in places),
    )  # fmt: skip


def _drawn_rows(recipe: AuditRecipe) -> AlignedText:
    whole = aligned_text(recipe.aligned)
    chosen = _places(len(whole), recipe.sentences, recipe.seed, "aligned")
    drawn = {tag: tuple(texts[i] for i in chosen) for tag, texts in whole.texts.items()}
    return AlignedText(whole.languages, drawn)


def _drawn(lines: Sequence[str], recipe: AuditRecipe, tag: str) -> list[str]:
    return [lines[i] for i in _places(len(lines), recipe.sentences, recipe.seed, tag)]


def _places(count: int, most: int, seed: int, name: str) -> list[int]:
    """Positions drawn at random, rising; all where there are no more."""
    if count <= most:
        return list(range(count))
    return sorted(generator(seed, "audit", name).permutation(count)[:most].tolist())
