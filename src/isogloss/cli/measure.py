"""The commands that measure what models cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer


def bench(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Model folders or Hub ids; the first one is the teacher."),
    ],
    batch: Annotated[list[int] | None, typer.Option(help="Rows at a time; may be repeated (1, 8).")] = None,
    length: Annotated[
        list[int] | None, typer.Option(help="Tokens of a row; may be repeated (32, 128).")
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(help="Threads; may be repeated (1, and all cores).")
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="fp32 or bf16, weights and all; may be repeated.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Timed passes of each model and combination.")] = 30,
    head: Annotated[
        bool, typer.Option("--head", help="Run each model's own head too, not its backbone alone.")
    ] = False,
    memory: Annotated[
        bool, typer.Option(help="Measure memory, in a fresh process for each model and combination.")
    ] = True,
    json_: Annotated[Path | None, typer.Option("--json", help="Also write everything to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Also write the tables to this file.")] = None,
) -> None:
    """Measure models side by side: parameters, bytes, operations, memory, and time by batch and length."""
    from isogloss.cli.show_bench import Bar, bench_markdown, print_bench
    from isogloss.core.files import write_json, write_text
    from isogloss.evaluate.forward import Precision
    from isogloss.methods.bench import Settings
    from isogloss.methods.bench import bench as measure

    settings = Settings(
        batches=tuple(batch or Settings.batches),
        lengths=tuple(length or ()),
        threads=tuple(threads or ()),
        precisions=cast("tuple[Precision, ...]", tuple(precision or Settings.precisions)),
        repeats=repeats,
        head=head,
        memory=memory,
    )
    with Bar() as bar:
        found = measure(models, settings, progress=bar)
    print_bench(found)
    if json_:
        write_json(json_, found.to_json())
    if markdown:
        write_text(markdown, bench_markdown(found))
