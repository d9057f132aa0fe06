"""SQuAD JSON: XQuAD, TyDiQA-GoldP, MLQA, CMRC 2018.

Oddities of real files: TyDiQA-GoldP's dev has its answers blanked (start 0, text ""), which reads as no gold,
and its train repeats ids such as "0"; XQuAD's contexts may start with a byte-order mark, which belongs to the
text and its offsets. CMRC 2018 needs `spans="mend"`: its dev marks with -1 some 190 answers that annotators
worded freely, and its trial counts offsets in UTF-16, so that a rare character shifts them by one.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeAlias

from isogloss.core.errors import DataError, IsoglossWarning
from isogloss.core.languages import language as find_language
from isogloss.data.lines import whole_text
from isogloss.data.records import SpanExample

Spans: TypeAlias = Literal["exact", "mend"]
_Answers: TypeAlias = tuple[tuple[int, str], ...]


def questions(path: Path, *, language: str, spans: Spans = "exact") -> Iterator[SpanExample]:
    """The questions of a file, in its order.

    Args:
        spans: what to do with an answer that does not stand where the file says. "exact" raises. "mend" moves
            it to the nearest place in the context that has it, leaves out an answer that is nowhere, and a
            question left with none; one warning at the end says how many of each.

    Raises:
        DataError: not SQuAD's JSON, or, with "exact", an answer outside its context or different from it
            (named by file and question id).
    """
    if spans not in ("exact", "mend"):
        raise DataError(f"spans={spans!r}", wanted="'exact' or 'mend'")
    tag = find_language(language).tag
    mended: Counter[str] = Counter()
    for context, question in _questions(path):
        identifier = str(question["id"])
        where = f"{path} question {identifier}"
        given = _given(question, where)
        answers = _placed(given, context, where, mended if spans == "mend" else None)
        if given and not answers:
            mended["questions left out"] += 1
            continue
        yield SpanExample(identifier, tag, question["question"], context, answers)
    if mended:
        told = ", ".join(f"{count} {what}" for what, count in mended.items())
        warnings.warn(f"{path}: {told}", IsoglossWarning, stacklevel=2)


def _questions(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each question with its context; a field that is missing or of another type is told with its place."""
    for a, article in enumerate(_list(_parsed(path), "data", str(path))):
        for p, paragraph in enumerate(_list(article, "paragraphs", f"{path} data[{a}]")):
            where = f"{path} data[{a}].paragraphs[{p}]"
            for q, question in enumerate(_list(paragraph, "qas", where)):
                _check_field(paragraph, "context", str, where)
                _check_field(question, "question", str, f"{where}.qas[{q}]")
                _check_field(question, "id", str | int, f"{where}.qas[{q}]")
                yield paragraph["context"], question


def _parsed(path: Path) -> Any:
    try:
        return json.loads(whole_text(path))
    except json.JSONDecodeError as error:
        raise DataError(
            f"not JSON: {error.msg} at character {error.colno}",
            wanted="SQuAD's JSON: data, paragraphs, qas",
            where=f"{path}:{error.lineno}",
        ) from error


def _list(holder: Any, field: str, where: str) -> list[Any]:
    if not isinstance(holder, dict) or not isinstance(holder.get(field), list):
        raise DataError(f"no list {field!r}", wanted="SQuAD's JSON: data, paragraphs, qas", where=where)
    found: list[Any] = holder[field]
    return found


def _check_field(holder: Any, field: str, kind: type | UnionType, where: str) -> None:
    if not isinstance(holder, dict) or not isinstance(holder.get(field), kind):
        raise DataError(
            f"no {field!r}, or not as text", wanted="SQuAD's JSON: data, paragraphs, qas", where=where
        )


def _given(question: dict[str, Any], where: str) -> _Answers:
    """The answers as the file has them, blanked ones left out."""
    try:
        pairs = [(int(a["answer_start"]), str(a["text"])) for a in question.get("answers") or []]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("a broken answer", wanted="answer_start and text in each", where=where) from error
    return tuple((start, text) for start, text in pairs if text)


def _placed(given: _Answers, context: str, where: str, mended: Counter[str] | None) -> _Answers:
    """The answers where they really stand; with no counter for mending, a wrong one raises."""
    placed = []
    for start, text in given:
        if start >= 0 and context.startswith(text, start):
            placed.append((start, text))
            continue
        if mended is None:
            raise _misplaced(start, text, context, where)
        nearest = _nearest(start, text, context)
        mended["answers moved" if nearest is not None else "answers left out: not in the context"] += 1
        placed += [(nearest, text)] if nearest is not None else []
    return tuple(placed)


def _nearest(start: int, text: str, context: str) -> int | None:
    """Where the text stands nearest to `start`, the earlier of two equally near; None when nowhere."""
    places = []
    at = context.find(text)
    while at >= 0:
        places.append(at)
        at = context.find(text, at + 1)
    return min(places, key=lambda place: abs(place - start), default=None)


def _misplaced(start: int, text: str, context: str, where: str) -> DataError:
    inside = 0 <= start and start + len(text) <= len(context)
    there = (
        f"there stands {context[start : start + len(text)]!r}" if inside else "that is outside the context"
    )
    return DataError(
        f"answer {text!r} at {start}: {there} (of {len(context)} characters)",
        wanted="an answer that is a piece of its context",
        fix='correct the file, or read it with spans="mend", which moves such answers or leaves them out',
        where=where,
    )
