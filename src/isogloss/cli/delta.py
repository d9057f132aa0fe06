"""`isogloss delta`: what one does with sparse fine-tunings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

delta_app = typer.Typer(
    help="Look at sparse fine-tunings, apply, add and carry them.",
    no_args_is_help=True,
)

Delta = Annotated[
    Path, typer.Argument(metavar="DELTA", help="deltas/NAME.safetensors, or a pytorch_diff.bin.")
]
Deltas = Annotated[
    list[Path], typer.Argument(metavar="DELTA...", help="deltas/NAME.safetensors, or a pytorch_diff.bin.")
]
Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="The model they were learnt on: a folder or a Hub id.")
]
OutFolder = Annotated[Path, typer.Option("--out", help="The model folder to write.")]
OutFile = Annotated[Path, typer.Option("--out", help="The delta to write, a .safetensors file.")]


@delta_app.command()
def show(deltas: Deltas) -> None:
    """Print what deltas change, and where they meet."""
    from isogloss.cli.show_delta import print_delta, print_meetings
    from isogloss.methods.deltas import read_delta
    from isogloss.sparse.compose import meetings

    found = [read_delta(path) for path in deltas]
    for path, delta in zip(deltas, found, strict=True):
        print_delta(path, delta)
    print_meetings(deltas, meetings(found))


@delta_app.command()
def apply(model: Model, deltas: Deltas, out: OutFolder) -> None:
    """Write the model with deltas on its backbone and the head it has."""
    from isogloss.methods.deltas import apply_deltas

    for name in apply_deltas(model, deltas, out):
        typer.echo(f"left out: {name}, for which the model has no place")
    typer.echo(out)


@delta_app.command()
def add(
    deltas: Deltas,
    out: OutFile,
    heads_of: Annotated[
        Path | None, typer.Option("--heads-of", metavar="DELTA", help="Take the head of this one alone.")
    ] = None,
) -> None:
    """Write the sum of several deltas, and print where they meet."""
    from isogloss.cli.show_delta import print_meetings
    from isogloss.methods.deltas import add_deltas

    print_meetings(deltas, add_deltas(deltas, out, heads_of=heads_of))
    typer.echo(out)


@delta_app.command()
def carry(
    delta: Delta,
    large: Annotated[str, typer.Option("--from", metavar="MODEL", help="The model it was learnt on.")],
    small: Annotated[Path, typer.Option("--to", metavar="MODEL", help="The folder of the smaller model.")],
    out: OutFile,
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            "--vocabulary", help="The trimmed vocabulary's folder, where the model does not know it."
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers", metavar="RULE", help="The layers that stayed, likewise: every-2nd, or 1,3,5."
        ),
    ] = None,
) -> None:
    """Write a delta for a trimmed or shallower model.

    Prints what of it was lost.
    """
    from isogloss.cli.show_delta import print_losses
    from isogloss.methods.deltas import carry_delta

    print_losses(carry_delta(delta, large=large, small=small, out=out, vocabulary=vocabulary, layers=layers))
    typer.echo(out)


@delta_app.command()
def export(model: Model, deltas: Deltas, out: OutFolder) -> None:
    """Write the whole task model that deltas make of a base.

    The head is that of the one delta among them which is a task's.
    """
    from isogloss.methods.deltas import export_model

    export_model(model, deltas, out)
    typer.echo(out)
