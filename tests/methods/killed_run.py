"""Run by test_killed_runs.py: carry out a recipe undisturbed, and again in processes that are killed.

    python killed_run.py RECIPE.yaml FOLDER PHASE:STEP ...

The run in FOLDER/whole is left alone. The one in FOLDER/killed dies by SIGKILL at each of the given moments,
and is then taken to its end. Every process is a fork of this one, so that torch is imported once.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from isogloss.methods.table import load_recipe, run_recipe
from isogloss.training.update import Updater


def one_life(recipe: str, out: Path, death: str | None) -> None:
    """Run the recipe in a child, which dies at `PHASE:STEP`, or lives to the end for None."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        expected = 0 if death is None else -signal.SIGKILL
        if os.waitstatus_to_exitcode(status) != expected:
            sys.exit(f"a process that should end with {expected} ended with status {status}")
        return
    if death is not None:
        die_at(death)
    run_recipe(load_recipe(recipe), out=out)
    os._exit(0)


def die_at(death: str) -> None:
    update = Updater.__call__

    def dying(self: Updater, number: int, *details: Any, **more: Any) -> None:
        update(self, number, *details, **more)
        if f"{self._phase}:{number}" == death:
            os.kill(os.getpid(), signal.SIGKILL)

    Updater.__call__ = dying


def main(recipe: str, folder: Path, deaths: list[str]) -> None:
    torch.set_num_threads(1)
    one_life(recipe, folder / "whole", None)
    for death in (*deaths, None):
        one_life(recipe, folder / "killed", death)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
