"""`isogloss audit`: where a model is weak, language by language, and what to try."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isogloss.cli.options import Format, Out, Set


def audit(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder or a Hub id.")],
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="LANGUAGE=FILE", help="Held-out text. Repeat it."),
    ] = None,
    aligned: Annotated[
        list[str] | None,
        typer.Option(
            "--aligned",
            metavar="LANGUAGE=FILE",
            help="The same sentences in each language, line by line or in tables with an id. Repeat it. "
            "Without any file: the embedded world.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="LANGUAGE", help="What the others are measured against: English."),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Also score a task, such as topic.")] = None,
    test: Annotated[
        list[str] | None,
        typer.Option("--test", metavar="LANGUAGE=FILE", help="The task's labelled files. Repeat it."),
    ] = None,
    tuned: Annotated[
        str | None,
        typer.Option("--tuned", metavar="FOLDER", help="Score this task model, which was made of MODEL."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="NAME", help="Ask MODEL by a prompt: nli, topic, or a YAML file."),
    ] = None,
    format_: Format = None,
    sentences: Annotated[
        int | None, typer.Option("--sentences", min=8, help="To read of each language (default 200).")
    ] = None,
    set_: Set = None,
    out: Out = Path("runs"),
) -> None:
    """Say where a model is weak, by language, and what to try.

    Measures what it costs and can do in each.
    """
    from isogloss.cli.show_run import carry_out
    from isogloss.methods.audit_options import audit_recipe

    recipe = audit_recipe(
        model,
        text=text or [],
        aligned=aligned or [],
        source=source,
        task=task,
        test=test or [],
        tuned=tuned,
        prompt=prompt,
        format=format_,
        sentences=sentences,
        overrides=set_ or [],
    )
    carry_out(recipe, out)
