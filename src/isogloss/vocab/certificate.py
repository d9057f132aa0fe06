"""What trimming a vocabulary changed, measured on text it was not trimmed for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import DataError, ModelError
from isogloss.core.tokenizer import backend_of
from isogloss.vocab.count import unknown_id
from isogloss.vocab.encode import ahead, batches
from isogloss.vocab.fertility import Fertility, measured
from isogloss.vocab.fingerprint import fingerprint
from isogloss.vocab.trim import TrimmedVocabulary

EXAMPLES = 5
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Example:
    """One place that is cut otherwise: the text, its pieces before and its pieces now."""

    text: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass
class Difference:
    """One kind of difference.

    Attributes:
        places: how many there are.
        examples: the first different ones.
    """

    places: int = 0
    examples: list[Example] = field(default_factory=list)

    def note(self, example: Example) -> None:
        """Count a place."""
        self.places += 1
        if len(self.examples) < EXAMPLES and example not in self.examples:
            self.examples.append(example)


@dataclass(frozen=True)
class LanguageCertificate:
    """What trimming did to one language's held-out text.

    Attributes:
        sentences: pieces of text compared.
        identical: how many of them are cut exactly as before.
        lost: the share of the tokens before that are no longer in the vocabulary, in [0, 1].
        before: what the whole vocabulary costs.
        after: what the trimmed one costs.
        differences: by kind.
    """

    sentences: int
    identical: int
    lost: float
    before: Fertility
    after: Fertility
    differences: dict[str, Difference]

    @property
    def share(self) -> float:
        """Of sentences cut exactly as before, in [0, 1]."""
        return self.identical / self.sentences

    @property
    def new_unknown(self) -> int:
        """Unknown tokens now that were known before."""
        return self.after.unknown - self.before.unknown


@dataclass(frozen=True)
class Certificate:
    """The comparison of a vocabulary with what was left of it.

    Attributes:
        original: fingerprint of the whole tokenizer.
        trimmed: fingerprint of the trimmed one.
        entries: of the whole vocabulary.
        kept: entries of the trimmed one.
        languages: by language of the held-out text.
    """

    original: str
    trimmed: str
    entries: int
    kept: int
    languages: dict[str, LanguageCertificate]

    def require(self, share: float) -> None:
        """Refuse a vocabulary that changes too much.

        Args:
            share: of the sentences of every language that must be cut as before, in [0, 1].

        Raises:
            ModelError: a language has fewer.
        """
        low = {tag: found for tag, found in self.languages.items() if found.share < share}
        if low:
            told = ", ".join(f"{tag} {100 * found.share:.3f} %" for tag, found in low.items())
            raise ModelError(
                f"a trimmed vocabulary that cuts too few held-out sentences as before: {told}",
                wanted=f"{100 * share:.3f} % or more of the sentences of every language",
                fix="keep more (a lower probability, a larger size, a higher coverage), count more text of "
                "these languages, or ask for less; nothing was saved",
            )

    def to_json(self) -> dict[str, Any]:
        """As the certificate file has it."""
        return {
            "original": self.original,
            "trimmed": self.trimmed,
            "entries": self.entries,
            "kept": self.kept,
            "languages": {tag: _to_json(found) for tag, found in self.languages.items()},
        }


def _to_json(found: LanguageCertificate) -> dict[str, Any]:
    costs = {
        name: {
            **asdict(cost),
            "tokens_per_word": round(cost.tokens_per_word, 4),
            "unknown_rate": round(cost.unknown_rate, 7),
        }
        for name, cost in (("before", found.before), ("after", found.after))
    }
    return {
        "sentences": found.sentences,
        "identical": found.identical,
        "identical_share": round(found.share, 7),
        "new_unknown": found.new_unknown,
        "probability_lost": round(found.lost, 9),
        **costs,
        "differences": {kind: asdict(one) for kind, one in sorted(found.differences.items())},
    }


def certify(original: Any, trimmed: TrimmedVocabulary, held_out: Mapping[str, Iterable[str]]) -> Certificate:
    """Cut held-out text with both vocabularies and compare; the text is streamed once, on all cores.

    Args:
        original: the tokenizer that was trimmed: transformers' fast kind, or a `tokenizers.Tokenizer`.
        trimmed: what `trim_vocabulary` made of it.
        held_out: texts per language, others than it was trimmed for.

    Raises:
        ModelError: the tokenizer has no tokenizers library behind it.
        DataError: a language has no words.
    """
    from tokenizers import Tokenizer

    pair = _Pair(backend_of(original), Tokenizer.from_str(trimmed.tokenizer_json), trimmed.kept)
    return Certificate(
        original=fingerprint(original),
        trimmed=fingerprint(pair.new),
        entries=pair.old.get_vocab_size(),
        kept=len(trimmed.kept),
        languages={tag: _language(pair, texts, tag) for tag, texts in held_out.items()},
    )


class _Pair:
    """Two tokenizers, the second a part of the first; `kept` has the old id of each new one."""

    def __init__(self, old: Any, new: Any, kept: Ints) -> None:
        self.old, self.new, self.kept = old, new, kept
        self.unknown = unknown_id(old), unknown_id(new)
        self.stays = np.zeros(max(old.get_vocab().values()) + 1, dtype=np.bool_)
        self.stays[kept] = True

    def cut(self, texts: list[str]) -> tuple[list[list[int]], list[list[int]]]:
        """Ids of each text by either, those of the new one in its own numbers."""
        old, new = (one.encode_batch_fast(texts, add_special_tokens=False) for one in (self.old, self.new))
        return [encoding.ids for encoding in old], [encoding.ids for encoding in new]


def _language(pair: _Pair, texts: Iterable[str], tag: str) -> LanguageCertificate:
    sentences = identical = gone = 0
    before = after = Fertility(0, 0, 0, 0, 0)
    differences: dict[str, Difference] = {}
    for batch, (old, new) in ahead(pair.cut, batches(texts)):
        before += measured(batch, old, pair.unknown[0])
        after += measured(batch, new, pair.unknown[1])
        for text, ids, new_ids in zip(batch, old, new, strict=True):
            sentences += 1
            if pair.kept[new_ids].tolist() == ids:
                identical += 1
                continue
            gone += len(ids) - int(pair.stays[ids].sum())
            for kind, example in _differences(pair, text):
                differences.setdefault(kind, Difference()).note(example)
    if not before.words:
        raise DataError(
            f"the held-out {tag} text is empty", wanted="at least one word", fix="check the path of the text"
        )
    return LanguageCertificate(sentences, identical, gone / max(before.tokens, 1), before, after, differences)


def _differences(pair: _Pair, text: str) -> Iterator[tuple[str, Example]]:
    """The places of a text that are cut otherwise, each with its kind."""
    old, new = (one.encode(text, add_special_tokens=False) for one in (pair.old, pair.new))
    for left, right in _places(old.offsets, new.offsets):
        ids, now = old.ids[left], pair.kept[new.ids[right]].tolist()
        if ids != now:
            begin, end = old.offsets[left][0][0], old.offsets[left][-1][1]
            example = Example(text[begin:end], tuple(old.tokens[left]), tuple(new.tokens[right]))
            yield _kind(pair, ids, now, example), example


def _places(old: Sequence[tuple[int, int]], new: Sequence[tuple[int, int]]) -> Iterator[tuple[slice, slice]]:
    """The shortest stretches of two cuts of a text that begin and end at the same letters."""
    i = j = 0
    while i < len(old) and j < len(new):
        first = i, j
        i, j = i + 1, j + 1
        while i < len(old) or j < len(new):
            if i < len(old) and (j == len(new) or _behind(old, i, new, j)):
                i += 1
            elif j < len(new) and (i == len(old) or _behind(new, j, old, i)):
                j += 1
            else:
                break
        yield slice(first[0], i), slice(first[1], j)


def _behind(
    one: Sequence[tuple[int, int]], place: int, other: Sequence[tuple[int, int]], beside: int
) -> bool:
    """Whether the next of `one` still lies before the end of the last of `other`."""
    return one[place][0] < other[beside - 1][1] or one[place - 1][1] < other[beside - 1][1]


_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def _kind(pair: _Pair, ids: list[int], now: list[int], example: Example) -> str:
    unknown = pair.unknown[0]
    strange = now.count(unknown) - ids.count(unknown) if unknown is not None else 0
    if strange:
        return "unknown now" if strange > 0 else "known now"
    if pair.stays[ids].all():
        return "kept pieces cut otherwise"
    spelt = [sum(map(bool, map(_BYTE.fullmatch, side))) for side in (example.before, example.after)]
    if spelt[1] > spelt[0]:
        return "spelt in bytes"
    return "spelt in smaller pieces" if len(now) > len(ids) else "spelt in other pieces"
