"""A vocabulary cut down to what some languages use; text of those languages is tokenised as before.

After BiStil (Ansell et al., 2023, 2306.01709), for WordPiece, Unigram and BPE of characters or bytes. A rule
chooses what the languages use enough; beyond it stays what the tokenizer needs to cut their text as before.
"""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isogloss.core.by_language import each_tokenizer
from isogloss.core.errors import ModelError
from isogloss.core.tokenizer import backend_of
from isogloss.vocab.alphabet import Alphabet, kept_letters
from isogloss.vocab.count import Usage, count_usage
from isogloss.vocab.kinds import Kind, kind_of
from isogloss.vocab.renumber import mentioned_ids, renumber
from isogloss.vocab.rules import ByProbability, Rule
from isogloss.vocab.unseen import unseen_share

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrimmedVocabulary:
    """What is left, and what it cost.

    Attributes:
        tokenizer_json: the trimmed tokenizer, as the tokenizers library writes it.
        kept: the old id of each new one, rising; (new size,).
        lost: per language, the share of its tokens that are no longer in the vocabulary, in [0, 1]. 0 means
            that the text counted is tokenised exactly as before.
        unseen: per language, the share of the tokens of further text like that counted which are of pieces
            that it has not shown, in [0, 1]: as much may be lost besides, less what other languages keep.
    """

    tokenizer_json: str
    kept: Ints
    lost: dict[str, float]
    unseen: dict[str, float]


def trim_vocabulary(
    tokenizer: Any,
    corpora: Mapping[str, Iterable[str]],
    *,
    rule: Rule = ByProbability(),  # noqa: B008, frozen
    alphabet: Alphabet = "scripts",
    keep: Iterable[str] = (),
) -> TrimmedVocabulary:
    """Keep the tokens that the languages use, by a rule.

    Besides what the rule chooses stay
    - special and other added tokens, and the unknown token;
    - the alphabet: all bytes where the vocabulary is one of bytes or falls back to them, and letters, so that
      words of dropped pieces can be spelt;
    - of Unigram, the piece of the lowest score, from which the library derives the score of what is unknown:
      without it, text with unknown letters can be cut elsewhere;
    - of BPE, every piece on the way to a piece that stays, by the merges that made it;
    - of WordPiece, the pieces that unknown words begin with.

    Ids keep their order and close ranks. Of BPE all merges stay whose pieces do.

    Args:
        tokenizer: a transformers tokenizer of the fast kind, or a `tokenizers.Tokenizer`.
        corpora: texts per language; streamed once.
        rule: which tokens are used enough.
        alphabet: which letters stay, see `kept_letters`.
        keep: texts whose every token stays, at the beginning of a text and after a space: prompts,
            verbalisers, the words of a probe.

    Raises:
        ModelError: the tokenizer's model or post-processor is of a type that cannot be trimmed, or there is
            one for each of several languages.
        DataError: a language gives no token.
        RecipeError: the rule leaves no room for what has to stay.
    """
    return calibrate(tokenizer, corpora, alphabet=alphabet, keep=keep).trim(rule)


def calibrate(
    tokenizer: Any,
    corpora: Mapping[str, Iterable[str]],
    *,
    alphabet: Alphabet = "scripts",
    keep: Iterable[str] = (),
) -> Calibration:
    """Count the corpora once, for any number of rules; arguments and errors as of `trim_vocabulary`."""
    if len(each_tokenizer(tokenizer)) > 1:
        raise ModelError(
            "a vocabulary that several languages' tokenizers share, to be trimmed",
            wanted="a model with one tokenizer",
            fix="keep the whole vocabulary: where a student is made of the model, say trim: false",
        )
    backend = backend_of(tokenizer)
    described = json.loads(backend.to_str())
    kind = kind_of(described["model"])
    begun = _begun(backend, described, kind)
    usage = count_usage(backend, corpora, beside=begun)
    always = np.zeros_like(next(iter(usage.values())).counts, dtype=np.bool_)
    always[list(mentioned_ids(described))] = True
    always[list(kind.essential())] = True
    always[_letters(described, kind, usage, alphabet)] = True
    for text in keep:
        for spelt in (text, f" {text}"):
            always[backend.encode(spelt, add_special_tokens=False).ids] = True
            always[list(begun(spelt))] = True
    return Calibration(described, kind, always, usage)


@dataclass(frozen=True)
class Calibration:
    """What the languages use of a vocabulary.

    Attributes:
        described: tokenizer.json.
        kind: of its model.
        always: by id, what stays under any rule; not closed.
        usage: per language.
    """

    described: dict[str, Any]
    kind: Kind
    always: Flags
    usage: Mapping[str, Usage]

    @property
    def weights(self) -> dict[str, Ints]:
        """Per language and id, occurrences, those of tokens that unknown words begin with included."""
        return {language: used.counts + used.tried for language, used in self.usage.items()}

    def closed(self, chosen: Flags) -> Flags:
        """With what stays anyway, and everything these need."""
        return _closed(self.kind, chosen | self.always)

    def lost(self, wanted: Flags) -> dict[str, float]:
        """Per language, the share of its tokens outside these."""
        counts = {language: used.counts for language, used in self.usage.items()}
        return {one: 1.0 - float(count[wanted].sum() / count.sum()) for one, count in counts.items()}

    def trim(self, rule: Rule) -> TrimmedVocabulary:
        """The vocabulary that a rule leaves.

        Raises:
            RecipeError: the rule leaves no room for what has to stay.
        """
        return self.cut(rule.choose(self.weights, self.closed))

    def cut(self, wanted: Flags) -> TrimmedVocabulary:
        """The vocabulary of these tokens, which are closed."""
        kept = np.flatnonzero(wanted).astype(np.int64)
        places = {old: new for new, old in enumerate(kept.tolist())}
        described = copy.deepcopy({**self.described, "model": None})
        described["model"] = self.kind.cut(kept.tolist(), places.__getitem__)
        renumber(described, places.__getitem__)
        text = json.dumps(described, ensure_ascii=False)
        unseen = {language: unseen_share(used.counts) for language, used in self.usage.items()}
        return TrimmedVocabulary(tokenizer_json=text, kept=kept, lost=self.lost(wanted), unseen=unseen)


def _closed(kind: Kind, wanted: Flags) -> Flags:
    closed = wanted.copy()
    for index in np.flatnonzero(wanted).tolist():
        closed[list(kind.ancestors(index))] = True
    return closed


def _letters(
    described: Mapping[str, Any], kind: Kind, usage: Mapping[str, Usage], alphabet: Alphabet
) -> list[int]:
    """Ids of pieces of one letter that stay."""
    single = {index: bare for index, piece in kind.pieces.items() if len(bare := kind.letters(piece)) == 1}
    if _of_bytes(described):
        from tokenizers.pre_tokenizers import ByteLevel

        letters = set(ByteLevel.alphabet())
    else:
        used = {language: _occurrences(kind, one.counts) for language, one in usage.items()}
        letters = kept_letters(alphabet, known=single.values(), used=used)
    return [index for index, letter in single.items() if letter in letters]


def _of_bytes(described: Mapping[str, Any]) -> bool:
    """Whether the pieces spell bytes, each as one of 256 printable letters."""
    parts = [described["pre_tokenizer"], described["normalizer"]]
    return any('"ByteLevel"' in json.dumps(part) for part in parts)


def _occurrences(kind: Kind, counts: Ints) -> Counter[str]:
    """How often each letter occurs in the text that was counted."""
    found: Counter[str] = Counter()
    for index in np.flatnonzero(counts).tolist():
        for letter in kind.letters(kind.pieces.get(index, "")):
            found[letter] += int(counts[index])
    return found


def _begun(backend: Any, described: Mapping[str, Any], kind: Kind) -> Callable[[str], Iterator[int]]:
    """For a text, the ids its unknown words begin with."""
    added = sorted((token["content"] for token in described["added_tokens"]), key=len, reverse=True)
    border = re.compile("|".join(map(re.escape, added)) or "(?!)")
    normalise = backend.normalizer.normalize_str if backend.normalizer else str
    split = backend.pre_tokenizer.pre_tokenize_str if backend.pre_tokenizer else lambda text: [(text, None)]

    def words(text: str) -> Iterator[str]:
        return (word for part in border.split(text) for word, _ in split(normalise(part)))

    return lambda text: kind.begun(words(text))
