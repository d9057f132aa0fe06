"""Call the command line in this process, as a user would in a shell."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from isogloss.cli import main


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


class Shell:
    """`shell("run", "x.yaml")` gives exit code, stdout and stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Answer:
        before, sys.argv = sys.argv, ["isogloss", *map(str, arguments)]
        self._capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as end:
                main()
        finally:
            sys.argv = before
        return Answer(int(end.value.code or 0), *self._capsys.readouterr())
