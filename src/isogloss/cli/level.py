"""`isogloss level`: languages of one model teach the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isogloss.cli.options import Format, Out, Set


def level(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A task model's folder; with --prompt, a language model.")
    ],
    task: Annotated[str, typer.Option("--task", help="nli, paraphrase, topic, copa or cloze.")],
    unlabelled: Annotated[
        list[str],
        typer.Option(
            "--unlabelled",
            metavar="LANGUAGE=FILE",
            help="The same items in each language, joined by id; labels are not read. Repeat it.",
        ),
    ],
    train: Annotated[
        list[str] | None,
        typer.Option(
            "--train", metavar="LANGUAGE=FILE", help="Labelled, of the source: holds it while it teaches."
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option("--test", metavar="LANGUAGE=FILE", help="To see who gained and who was harmed."),
    ] = None,
    dev: Annotated[
        list[str] | None,
        typer.Option(
            "--dev", metavar="LANGUAGE=FILE", help="Labelled, such as the source's: for the guards."
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="LANGUAGE", help="The language the task was learnt in.")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="NAME", help="nli, paraphrase, topic, copa, or a YAML file."),
    ] = None,
    format_: Format = None,
    selector: Annotated[
        str | None,
        typer.Option(
            "--selector",
            help="How teachers are found: source, confidence, agreement, reliability, random, all.",
        ),
    ] = None,
    aim: Annotated[
        str | None, typer.Option("--aim", help="What languages are drawn to: consensus, pairs or self.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps to train.")] = None,
    set_: Set = None,
    out: Out = Path("runs"),
) -> None:
    """Let strong languages teach weak ones, without labels.

    Shows who taught whom, who gained and who was harmed.
    """
    from isogloss.cli.show_run import carry_out
    from isogloss.methods.level_options import level_recipe

    recipe = level_recipe(
        model,
        task=task,
        unlabelled=unlabelled,
        train=train or [],
        test=test or [],
        dev=dev or [],
        source=source,
        prompt=prompt,
        format=format_,
        selector=selector,
        aim=aim,
        steps=steps,
        overrides=set_ or [],
    )
    carry_out(recipe, out)
