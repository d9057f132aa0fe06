"""XCOPA: JSON lines with a premise, `choice1` and `choice2`, whether cause or effect is asked, and a label.

More choices (`choice3`, ...) are read when there. The files have CRLF line ends; `changed` is left aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from isogloss.core.errors import DataError
from isogloss.core.languages import language as find_language
from isogloss.data.records import ChoiceExample
from isogloss.data.rows import json_rows, missing_column

QUESTIONS = ("cause", "effect")


def choices(path: Path, *, language: str) -> Iterator[ChoiceExample]:
    """The rows of a file; the id is `idx`, or the row's number from 1 without one. No `label`, no gold.

    Raises:
        DataError: a field is missing, the question is neither cause nor effect, or the label is no choice.
    """
    tag = find_language(language).tag
    for number, (line, row) in enumerate(json_rows(path), start=1):
        where = f"{path}:{line}"
        for field in ("premise", "choice1", "choice2", "question"):
            if not isinstance(row.get(field), str):
                raise missing_column(field, row, where)
        if row["question"] not in QUESTIONS:
            raise DataError(f"question {row['question']!r}", wanted="'cause' or 'effect'", where=where)
        options = _choices(row)
        answer = _answer(row.get("label"), len(options), where)
        yield ChoiceExample(
            str(row.get("idx", number)), tag, row["premise"], row["question"], options, answer
        )


def _choices(row: dict[str, Any]) -> tuple[str, ...]:
    names = takewhile(lambda name: name in row, (f"choice{n}" for n in count(1)))
    return tuple(str(row[name]) for name in names)


def _answer(label: Any, options: int, where: str) -> int | None:
    if label is None or label == -1:
        return None
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < options:
        raise DataError(f"label {label!r}", wanted=f"0 to {options - 1}, or none", where=where)
    return label
