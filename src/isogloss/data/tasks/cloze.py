"""GeoMLAMA: prompts with `<mask>`, the right answers, and the candidates to choose from.

Oddities of the files, all alike in the five languages, so row n is parallel: CRLF; a row of empty cells after
each five countries; answers and candidates separated by commas, several answers right for some prompts; a
candidate that comes twice in Hindi (one is kept); columns of GPT-3's answers, left aside. The `_aug` files
are 500 bare prompts, paraphrases without header, answers or candidates: their examples have neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from isogloss.core.errors import DataError
from isogloss.core.languages import language as find_language
from isogloss.data.records import GAP, GapExample
from isogloss.data.rows import cell_rows, missing_column

PROMPT, ANSWERS, CANDIDATES = "Prompt", "Ans", "Candidate Ans"


def gaps(path: Path, *, language: str) -> Iterator[GapExample]:
    """The prompts of a file; the id is the prompt's number from 1, empty rows not counted.

    Raises:
        DataError: a prompt without exactly one `<mask>`, an answer that is no candidate, or a missing column.
    """
    tag = find_language(language).tag
    header: list[str] | None = None
    number = 0
    for line, cells in cell_rows(path):
        where = f"{path}:{line}"
        if header is None:
            header = _header(cells, where)
            if header == cells:
                continue
        if not any(cell.strip() for cell in cells):
            continue
        number += 1
        yield _gap(dict(zip(header, cells, strict=True)), str(number), tag, where)


def _header(cells: list[str], where: str) -> list[str]:
    if len(cells) == 1:
        return [PROMPT]
    for column in (PROMPT, ANSWERS, CANDIDATES):
        if column not in cells:
            raise missing_column(column, cells, where)
    return cells


def _gap(row: dict[str, str], identifier: str, tag: str, where: str) -> GapExample:
    prompt = row[PROMPT].strip()
    if prompt.count(GAP) != 1:
        raise DataError(f"{prompt.count(GAP)} times {GAP} in {prompt!r}", wanted="exactly one", where=where)
    answers, candidates = _listed(row.get(ANSWERS, "")), _listed(row.get(CANDIDATES, ""))
    for answer in answers:
        if answer not in candidates:
            wanted = f"one of the candidates {', '.join(candidates) or '(none)'}"
            raise DataError(f"answer {answer!r}", wanted=wanted, where=where)
    return GapExample(identifier, tag, prompt, candidates, answers)


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in cell.split(",") if part.strip()))
