"""A recipe to be carried out somewhere, and what a runner tells of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class Job:
    """One recipe, wherever it is carried out; all paths must mean the same there.

    Attributes:
        name: of a new run folder.
        recipe: the file that holds it, whole.
        out: the folder of run folders.
        log: what it prints is added to this file.
        folder: where the command is given, for relative paths in the recipe.
        threads: it may compute with; None leaves that to torch.
    """

    name: str
    recipe: Path
    out: Path
    log: Path
    folder: Path
    threads: int | None = None


@dataclass(frozen=True)
class Event:
    """A job began, or ended: well where `why` is None."""

    job: Job
    kind: Literal["started", "ended"]
    why: str | None = None


Runner: TypeAlias = Callable[[Sequence[Job]], Iterator[Event]]
"""Carries jobs out and tells of each beginning and end; closed early, it stops them, to be gone on with."""
