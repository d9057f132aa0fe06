"""The few errors users meet. Each says what it got, what it wanted, and what to do.

`assert` is for our own mistakes; everything a user, a file or a disk can get wrong raises one of these.
The command line turns a `UserError` into one message and exit code 2, any other `IsoglossError` into exit
code 1; `--debug` shows the traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class IsoglossWarning(UserWarning):
    """Something the user should know of and may well want: the command line shows it as one line."""


class IsoglossError(Exception):
    """Base of every error we raise on purpose.

    Attributes:
        got: what was found, with the offending value.
        wanted: what would have been right; "" when `got` says it all.
        fix: what to do next.
        where: a place the reader can open, such as `data/eng.txt:12` or `recipe.yaml:7 phase1.steps`;
            None when there is no file.
    """

    exit_code = 1

    def __init__(self, got: str, *, wanted: str = "", fix: str = "", where: str | None = None) -> None:
        self.got, self.wanted, self.fix, self.where = got, wanted, fix, where
        super().__init__(self.message())

    def message(self) -> str:
        """The parts on lines of their own; lines without content are left out."""
        first = f"{self.where}\n  {self.got}" if self.where else self.got
        rest = [("wanted: ", self.wanted), ("to do:  ", self.fix)]
        return "\n".join([first, *(f"  {label}{text}" for label, text in rest if text)])


class UserError(IsoglossError):
    """Something the caller can mend: a recipe, a file, a name. Exit code 2."""

    exit_code = 2


class RecipeError(UserError):
    """A recipe key or value is wrong; `where` is file, line and dotted path."""


class DataError(UserError):
    """A corpus or task file is missing, empty or malformed; `where` is file and line."""


class LanguageError(UserError):
    """A language name or code that the table does not hold."""


class ModelError(UserError):
    """A model or tokenizer that cannot be loaded, or does not fit what is asked of it."""


class CheckpointError(UserError):
    """A checkpoint or run folder that is damaged or belongs to another recipe."""


class StorageError(IsoglossError):
    """The disk refused (full, read-only, quota). Nothing already saved was touched. Exit code 1."""


class ProcessError(IsoglossError):
    """Another of the processes that carry out a recipe together has ended. Exit code 1."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one, or None when nothing is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The advice for a misspelt name: the nearest one, or all of them when there are few."""
    known = sorted(known)
    guess = nearest(name, known)
    if guess:
        return f"did you mean {guess!r}?"
    return f"use one of: {', '.join(known)}" if len(known) <= 40 else "check the spelling"
