"""Texts with every word once, and how often: what a tokenizer needs to see of a corpus to count its tokens.

Text repeats its words, so most of the work on it is repetition. Where a tokenizer is bound to cut at
spaces, the distinct words are put together to new texts, those that occur equally often in the same ones. Not
every tokenizer may be fed so: `cuts_at_spaces` tells which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeAlias

_DISTINCT = 1 << 21
"""Characters of distinct chunks held at once: some tens of megabytes, whatever the size of the corpus."""
_BATCH = 1 << 18
_TOGETHER = 64

Tally: TypeAlias = tuple[list[str], list[int]]


def tallied(texts: Iterable[str], *, cut: bool) -> Iterator[Tally]:
    """Texts that together hold all words, with their number of occurrences, in batches of bounded size.

    Args:
        texts: streamed.
        cut: at spaces; False hands on the texts as they are.
    """
    firsts: Counter[str] = Counter()
    later: Counter[str] = Counter()
    read = 0
    for text in texts:
        first, *others = _chunks(text) if cut else (text,)
        firsts[first] += 1
        later.update(others)
        read += len(text)
        if read >= _DISTINCT:
            # What was read is at least as long as what is distinct in it: seldom worth measuring.
            read = sum(map(len, firsts)) + sum(map(len, later))
            if 2 * read >= _DISTINCT:
                yield from _batches(firsts, later)
                firsts, later, read = Counter(), Counter(), 0
    yield from _batches(firsts, later)


def _batches(firsts: Mapping[str, int], later: Mapping[str, int]) -> Iterator[Tally]:
    texts: list[str] = []
    times: list[int] = []
    size = 0
    for text, count in chain(firsts.items(), _together(later)):
        texts.append(text)
        times.append(count)
        size += len(text) + 1
        if size >= _BATCH:
            yield texts, times
            texts, times, size = [], [], 0
    if texts:
        yield texts, times


def _together(chunks: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Texts of chunks that occur equally often, the lost spaces before them put back."""
    groups: dict[int, list[str]] = {}
    for chunk, count in chunks.items():
        groups.setdefault(count, []).append(chunk)
    for count, group in groups.items():
        for start in range(0, len(group), _TOGETHER):
            yield " " + " ".join(group[start : start + _TOGETHER]), count


def _chunks(text: str) -> list[str]:
    """Words, all but the first without the space before them; the whole text where it is not so simple.

    Other white space, and the format characters some normalisers turn into it, are not printable.
    """
    words = text.split(" ")
    return words if "" not in words and text.isprintable() else [text]


def cuts_at_spaces(described: Mapping[str, Any]) -> bool:
    """Whether the tokens of a text are those of its chunks, one after the other.

    True only for parts of which that is known: a pre-tokenizer that begins a new word at a space, normalisers
    that do not look across one, added tokens that do not reach across one.

    Args:
        described: tokenizer.json.
    """
    added = described["added_tokens"]
    if any(token["rstrip"] or any(map(str.isspace, token["content"])) for token in added):
        return False
    splitters = _parts(described["pre_tokenizer"], "pretokenizers")
    return all(map(_keeps_spaces, _parts(described["normalizer"], "normalizers"))) and _splits(splitters)


def _parts(component: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    if component is None:
        return []
    if component["type"] == "Sequence":
        return [inner for part in component[key] for inner in _parts(part, key)]
    return [component]


_WITHIN_WORDS = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt", "Precompiled", "BertNormalizer"}


def _keeps_spaces(normaliser: Mapping[str, Any]) -> bool:
    if normaliser["type"] == "Replace":
        pattern = normaliser["pattern"]
        return pattern == {"Regex": " {2,}"} or " " not in pattern.get("String", " ")
    # Only a chunk that ends its text can end in white space.
    return normaliser["type"] in _WITHIN_WORDS or (
        normaliser["type"] == "Strip" and not normaliser["strip_left"]
    )


_AT_WHITE_SPACE = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
_FURTHER = {"Punctuation", "Digits", "Metaspace", "ByteLevel"}
_PATTERNS = {
    # Llama 3.
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+",
    # Qwen 2 and 3.
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+",
}
"""In these, as in GPT-2's of ByteLevel, a space between words can only begin a match."""


def _splits(parts: list[Mapping[str, Any]]) -> bool:
    if not parts or any(part["type"] not in _FURTHER for part in parts[1:]):
        return False
    first = parts[0]
    if first["type"] == "Split":
        isolated = first["behavior"] == "Isolated" and not first["invert"]
        return isolated and first["pattern"].get("Regex") in _PATTERNS
    if first["type"] == "Metaspace":
        return bool(first["split"])
    return first["type"] in _AT_WHITE_SPACE or (first["type"] == "ByteLevel" and bool(first["use_regex"]))
