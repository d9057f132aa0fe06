"""A recipe carried out, and its tables printed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from isogloss.core.processes import is_main
from isogloss.core.run import read_status
from isogloss.methods.table import run_recipe
from isogloss.report.console import print_run
from isogloss.report.page import stage_folders


def carry_out(recipe: Any, out: Path, *, name: str | None = None) -> None:
    """Run it, print what each stage left, and where the page lies; `name` as in `run_recipe`."""
    begun = datetime.now(UTC)
    folder = run_recipe(recipe, out=out, name=name)
    if not is_main():
        return
    if datetime.fromisoformat(read_status(folder)["updated"]) < begun.replace(microsecond=0):
        typer.echo(
            f"{folder} was finished before: nothing is run again. Delete it if files have changed",
            err=True,
        )
    for part in stage_folders(folder) or [folder]:
        print_run(part)
    typer.echo(f"report: {folder / 'report.html'}")
