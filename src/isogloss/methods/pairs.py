"""Files by language as the command line takes them: `--data swh=a.tsv --data deu=b.tsv`."""

from __future__ import annotations

from collections.abc import Iterable

from isogloss.core.errors import RecipeError, UserError
from isogloss.core.languages import language


def files_by_language(entries: Iterable[str], *, option: str) -> dict[str, tuple[str, ...]]:
    """The files of each language, in the order given.

    Args:
        entries: `LANGUAGE=FILE` each; a language may come again.
        option: the option they were given with, for messages.

    Raises:
        RecipeError: an entry is not of that form, or its language is unknown.
    """
    files: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        tag, file = _pair(entry, option)
        files[tag] = (*files.get(tag, ()), file)
    return files


def _pair(entry: str, option: str) -> tuple[str, str]:
    name, equals, file = entry.partition("=")
    if not equals or not name or not file:
        raise RecipeError(
            f"{option} {entry}",
            wanted=f"LANGUAGE=FILE, such as {option} swh=test.tsv",
            fix="write both, with =",
        )
    try:
        return language(name).tag, file
    except UserError as error:
        raise RecipeError(error.got, wanted=error.wanted, fix=error.fix, where=f"{option} {entry}") from error
