"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other value of the recipe; may be repeated."),
]
Out = Annotated[Path, typer.Option("--out", help="The folder that holds the run folders.")]
Format = Annotated[
    str | None, typer.Option("--format", help="The files' format, if their names do not tell.")
]
