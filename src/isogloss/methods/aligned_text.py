"""Texts that say the same in several languages, and in clones of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isogloss.core.errors import DataError
from isogloss.core.languages import original_of
from isogloss.data.lines import suffix
from isogloss.data.parallel import ParallelText, aligned, from_lines, from_tables
from isogloss.methods.finding import Pair
from isogloss.methods.records import ByLanguage
from isogloss.methods.sources import MiniatureText, miniature

_TABLES = (".tsv", ".csv", ".jsonl")


@dataclass(frozen=True, slots=True)
class AlignedText:
    """The same texts in several languages.

    Attributes:
        languages: internal tags, in the order of the recipe, clones after them.
        texts: by language, as many for each; none is empty, and none comes twice in a language.
    """

    languages: tuple[str, ...]
    texts: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(next(iter(self.texts.values()), ()))


def aligned_text(
    sources: ByLanguage, *, clones: Iterable[str] = (), limit: int | None = None, join: int = 1
) -> AlignedText:
    """Read aligned texts; a clone without a source of its own reads its original's.

    Args:
        sources: one place for each language: files in step line by line; tables (TSV, CSV, JSON lines) with
            the columns `index_id` and `text`, joined by id; or the embedded world.
        clones: tags of clones that shall be there too, where their original is.
        limit: the most texts, from the beginning; None for all.
        join: neighbouring texts that make one; the last one may have fewer.

    Raises:
        DataError: files out of step, places of different kinds, or no text in all languages.
    """
    read = _read(sources).without_empty()
    texts = {tag: read.texts(tag) for tag in read.languages}
    texts |= {
        tag: texts[original_of(tag)] for tag in clones if tag not in texts and original_of(tag) in texts
    }
    places = _distinct(list(texts.values()))
    if not places:
        raise DataError(f"no text that {', '.join(texts)} all have", wanted="the same texts in each language")
    groups = [places[start : start + join] for start in range(0, len(places), join)][:limit]
    joined = {tag: tuple(" ".join(own[i] for i in group) for group in groups) for tag, own in texts.items()}
    return AlignedText(tuple(texts), joined)


def _read(sources: ByLanguage) -> ParallelText:
    if several := next((tag for tag, places in sources.items() if len(places) > 1), None):
        raise DataError(
            f"{len(sources[several])} places for {several}", wanted="one place for each language, in step"
        )
    places = {tag: own[0] for tag, own in sources.items()}
    embedded = {tag: found for tag, own in sources.items() if (found := miniature(own))}
    tables = [place for place in places.values() if suffix(Path(place)) in _TABLES]
    if len(embedded) == len(places):
        told = {tag: MiniatureText(tag, *found) for tag, found in embedded.items()}
        return aligned({tag: {str(n): text for n, text in enumerate(own)} for tag, own in told.items()})
    if len(tables) == len(places):
        return from_tables(places)
    if embedded or tables:
        raise DataError(
            f"places of different kinds: {', '.join(places.values())}",
            wanted="files in step line by line, or tables with ids, or the embedded world",
        )
    return from_lines(places)


def _distinct(texts: Sequence[Sequence[str]]) -> list[int]:
    """Positions of rows of which no language has had the text before: retrieval could not tell them apart."""
    seen: list[set[str]] = [set() for _ in texts]
    kept = []
    for place, row in enumerate(zip(*texts, strict=True)):
        if not any(text in known for text, known in zip(row, seen, strict=True)):
            kept.append(place)
        for text, known in zip(row, seen, strict=True):
            known.add(text)
    return kept


def pairs_of(languages: Sequence[str], *, every: bool) -> list[Pair]:
    """The first language with each other one, or all pairs."""
    ends = [(i, j) for i in range(len(languages)) for j in range(i + 1, len(languages)) if every or i == 0]
    return [(languages[i], languages[j]) for i, j in ends]
