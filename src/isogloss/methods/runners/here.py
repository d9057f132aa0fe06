"""Jobs one after another in this process."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from isogloss.core.errors import IsoglossError
from isogloss.methods.runners.job import Event, Job
from isogloss.methods.table import load_recipe, run_recipe


def in_turn(jobs: Sequence[Job]) -> Iterator[Event]:
    """A `Runner`: the process keeps what it has imported; what is printed goes to each job's log."""
    for job in jobs:
        yield Event(job, "started")
        yield Event(job, "ended", _carried_out(job))


def _carried_out(job: Job) -> str | None:
    """Why it failed; None where it did not."""
    with _printed_to(job.log):
        try:
            print(run_recipe(load_recipe(job.recipe), out=job.out, name=job.name))  # noqa: T201 (to the log)
        except IsoglossError as error:
            print(f"error: {error.message()}")  # noqa: T201
            return error.message()
        except Exception as error:  # ours: the other runs go on, and the log has it whole
            traceback.print_exc()
            return f"{type(error).__name__}: {error}"
    return None


@contextlib.contextmanager
def _printed_to(log: Path) -> Iterator[None]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a", encoding="utf-8") as stream,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        yield
