"""Scores of predictions against gold, as plain functions on Python sequences.

Scores are fractions from 0 to 1; the report multiplies. Every function refuses an empty input with a
`DataError` rather than return NaN or 0: a language without a single scored item has no score, NaN would
spread unseen into every mean over languages and is no JSON, and 0 would look like a result.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Hashable, Sequence, Sized
from typing import NamedTuple

import numpy as np

from isogloss.core.errors import DataError

LOWER_IS_BETTER = frozenset({"perplexity", "masked_perplexity", "bits_per_byte"})
"""Of every other metric here, more is better."""


class Attachment(NamedTuple):
    """Unlabelled and labelled attachment score, each from 0 to 1."""

    uas: float
    las: float


class Answers(NamedTuple):
    """Exact match and token F1 of extracted answers, each from 0 to 1."""

    em: float
    f1: float


def accuracy(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """The share of items predicted right.

    Raises:
        DataError: nothing to score, or the lengths differ.
    """
    _check_paired(gold, predicted)
    return sum(g == p for g, p in zip(gold, predicted, strict=True)) / len(gold)


def macro_f1(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """The unweighted mean of each class's F1, over the classes that occur in gold or in the predictions.

    A class that is predicted but never gold counts with F1 0, as in scikit-learn's default.

    Raises:
        DataError: nothing to score, or the lengths differ.
    """
    _check_paired(gold, predicted)
    right = Counter(g for g, p in zip(gold, predicted, strict=True) if g == p)
    seen = Counter(gold) + Counter(predicted)
    return float(np.mean([2 * right[label] / seen[label] for label in seen]))


def span_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Micro-averaged F1 of typed spans: a span counts when its type, first and last word are all right.

    Spans are read as conlleval and seqeval's default read them, forgivingly: a span begins at B or S, at
    any tag after O, E or S, and wherever the type changes. So an I that follows O, or an I of another type,
    opens a span of its own, and IOB1, IOB2 and IOBES are all read without being told which. Without a span
    in either gold or predictions the score is 0, as there.

    Args:
        gold: per sentence its tags, such as `B-PER I-PER O`.
        predicted: the same shape.

    Raises:
        DataError: nothing to score, or the lengths differ.
    """
    _check_paired(gold, predicted)
    right = total = 0
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        _check_same_length(gold_tags, predicted_tags)
        wanted, found = set(spans(gold_tags)), set(spans(predicted_tags))
        right += len(wanted & found)
        total += len(wanted) + len(found)
    return 2 * right / total if total else 0.0


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The spans of one sentence as (type, first, last), positions from 0 and inclusive; see `span_f1`."""
    found: list[tuple[str, int, int]] = []
    before, type_before = "O", ""
    for position, tag in enumerate(tags):
        prefix, _, type_ = tag.partition("-")
        if prefix == "O":
            pass
        elif prefix in "BS" or before in "OES" or type_ != type_before:
            found.append((type_, position, position))
        else:
            found[-1] = (type_, found[-1][1], position)
        before, type_before = prefix, type_
    return found


def attachment(
    gold_heads: Sequence[Sequence[int]],
    gold_relations: Sequence[Sequence[str]],
    heads: Sequence[Sequence[int]],
    relations: Sequence[Sequence[str]],
    *,
    keep_subtypes: bool = False,
) -> Attachment:
    """UAS and LAS on gold words, as the CoNLL 2018 shared task counts them.

    Every word counts once, punctuation included, over all sentences together. Relations are compared without
    their subtype (`nmod:poss` as `nmod`) unless `keep_subtypes`.

    Args:
        gold_heads: per sentence, each word's head, 1-based, 0 for the root.
        gold_relations: per sentence, each word's relation.
        heads: as predicted; relations: as predicted.

    Raises:
        DataError: no words to score, or the lengths differ.
    """
    for other in (gold_relations, heads, relations):
        _check_paired(gold_heads, other)
    words = unlabelled = labelled = 0
    for gh, gr, h, r in zip(gold_heads, gold_relations, heads, relations, strict=True):
        for other_words in (gr, h, r):
            _check_same_length(gh, other_words)
        same_head = [a == b for a, b in zip(gh, h, strict=True)]
        same_relation = [
            _relation(a, keep_subtypes) == _relation(b, keep_subtypes) for a, b in zip(gr, r, strict=True)
        ]
        words += len(gh)
        unlabelled += sum(same_head)
        labelled += sum(a and b for a, b in zip(same_head, same_relation, strict=True))
    if not words:
        raise DataError("the sentences hold no words, so there is nothing to score")
    return Attachment(unlabelled / words, labelled / words)


def em_f1(answers: Sequence[Sequence[str]], predicted: Sequence[str], language: str) -> Answers:
    """Exact match and token F1 of extracted answers under MLQA's normalisation (Lewis et al., 2020).

    For each question the best of its gold answers counts, for EM and F1 apart. See `normalised` for what is
    made equal.

    Args:
        answers: per question its gold answers, at least one each.
        predicted: per question the answer given; "" for none.
        language: the language of the answers, such as `de` or `de-Latn`.

    Raises:
        DataError: nothing to score, the lengths differ, or a question has no gold answer.
    """
    _check_paired(answers, predicted)
    exact, overlap = 0.0, 0.0
    for golds, answer in zip(answers, predicted, strict=True):
        if not golds:
            raise DataError(
                "a question has no gold answer",
                fix="leave unanswerable questions out, or give them the answer ''",
            )
        given = normalised(answer, language)
        wanted = [normalised(gold, language) for gold in golds]
        exact += given in wanted
        overlap += max(_token_f1(gold.split(), given.split()) for gold in wanted)
    return Answers(exact / len(predicted), overlap / len(predicted))


_ARTICLES = {
    "en": r"\b(?:a|an|the)\b",
    "es": r"\b(?:un|una|unos|unas|el|la|los|las)\b",
    "de": r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "vi": r"\b(?:của|là|cái|chiếc|những)\b",
    # MLQA's pattern takes the two letters away wherever they stand, inside words too; kept for comparison.
    "ar": r"ال",
}
_HAN, _KANA = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", "\u3040-\u30ff\u31f0-\u31ff"
_UNSPACED = {
    "zh": "\u4e00-\u9fa5",  # MLQA's own range
    "yue": _HAN,
    "wuu": _HAN,
    "ja": _HAN + _KANA,
    "th": "\u0e00-\u0e7f",
    "lo": "\u0e80-\u0eff",
    "my": "\u1000-\u109f",
    "km": "\u1780-\u17ff",
    "bo": "\u0f00-\u0fff",
    "dz": "\u0f00-\u0fff",
}
_TURKIC_CAPITALS = str.maketrans({"I": "ı", "İ": "i"})


def normalised(answer: str, language: str) -> str:
    """An answer as MLQA compares it: lower case, no punctuation, no articles, single spaces between tokens.

    Punctuation is every Unicode character of class P and ASCII's symbols. Articles go in English, Spanish,
    German, Vietnamese and Arabic, the languages MLQA lists words for; elsewhere nothing is removed. Where
    words are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) each character
    of that script is a token; MLQA itself has Chinese only, and refuses languages beyond its seven.

    The one departure: in Turkish and Azerbaijani, `I` becomes `ı` and `İ` becomes `i`. Python's `lower` makes
    `IŞIK` into `işik`, no longer equal to `ışık`, and `İ` into `i` and a loose dot.
    """
    code = re.split("[-_]", language.lower(), maxsplit=1)[0]
    text = answer.translate(_TURKIC_CAPITALS) if code in ("tr", "az") else answer
    text = "".join(character for character in text.lower() if not _is_punctuation(character))
    if code in _ARTICLES:
        text = re.sub(_ARTICLES[code], " ", text)
    if code in _UNSPACED:
        text = re.sub(f"([{_UNSPACED[code]}])", r" \1 ", text)
    return " ".join(text.split())


def mean_reciprocal_rank(ranks: Sequence[int | None]) -> float:
    """The mean of 1 / rank.

    Args:
        ranks: per item, the 1-based place of the first right candidate; None where none was found, which
            counts 0.

    Raises:
        DataError: nothing to score, or a rank below 1.
    """
    _check_some(ranks)
    if any(rank is not None and rank < 1 for rank in ranks):
        raise DataError(f"rank {min(r for r in ranks if r is not None)}", wanted="ranks from 1 up, or None")
    return sum(1 / rank for rank in ranks if rank is not None) / len(ranks)


def perplexity(nats: float, tokens: int) -> float:
    """exp of the mean negative log-likelihood per token; infinite beyond what a float holds.

    Args:
        nats: the summed negative log-likelihood, natural logarithm, not its mean.
        tokens: how many tokens were predicted. Perplexities under different vocabularies do not compare;
            `bits_per_byte` does.

    Raises:
        DataError: no tokens.
    """
    if tokens < 1:
        raise DataError("no tokens were predicted, so there is no perplexity")
    try:
        return math.exp(nats / tokens)
    except OverflowError:
        return math.inf


def bits_per_byte(nats: float, n_bytes: float) -> float:
    """The summed negative log-likelihood in bits, per UTF-8 byte of the text that was predicted.

    Raises:
        DataError: no bytes.
    """
    if n_bytes <= 0:
        raise DataError("no bytes were predicted, so there are no bits per byte")
    return nats / math.log(2) / n_bytes


def _relation(relation: str, keep_subtypes: bool) -> str:
    return relation if keep_subtypes else relation.partition(":")[0]


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _token_f1(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """As SQuAD's script: two answers that are empty after normalisation share no token and score 0."""
    shared = sum((Counter(gold) & Counter(predicted)).values())
    return 2 * shared / (len(gold) + len(predicted)) if shared else 0.0


def _check_some(items: Sized) -> None:
    if not len(items):
        raise DataError(
            "there is nothing to score", fix="leave a language without test items out of the evaluation"
        )


def _check_paired(gold: Sized, predicted: Sized) -> None:
    _check_some(gold)
    _check_same_length(gold, predicted)


def _check_same_length(gold: Sized, predicted: Sized) -> None:
    if len(gold) != len(predicted):
        raise DataError(
            f"{len(gold)} gold items and {len(predicted)} predicted", wanted="one prediction for each"
        )
