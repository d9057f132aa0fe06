"""The commands that measure what models cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from isogloss.compress.plan import Limits
    from isogloss.methods.budget import BudgetPlan
    from isogloss.models.storage import Storage


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
    """Measure the size and speed of models side by side.

    Parameters, bytes, operations, memory, and time by batch and length.
    """
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


def budget(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The teacher: a model folder or a Hub id.")],
    corpus: Annotated[
        list[str],
        typer.Option(
            "--corpus", metavar="LANGUAGE=FILE", help="Text of a language; may be repeated, the source first."
        ),
    ],
    disk: Annotated[str | None, typer.Option(help="The folder's size at most, such as 60MB.")] = None,
    latency: Annotated[
        str | None, typer.Option(help="The time of a forward pass without head at most, such as 10ms.")
    ] = None,
    length: Annotated[int, typer.Option(help="Tokens of the text that --latency is for.")] = 32,
    threads: Annotated[int, typer.Option(help="Threads that --latency is for.")] = 1,
    coverage: Annotated[
        float, typer.Option(help="The least share of each language's tokens the vocabulary must hold.")
    ] = 0.99,
    precision: Annotated[
        str | None, typer.Option(help="On disk: fp32, bf16 or int8; left out: fp32 or bf16.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Write a recipe that makes this student to this file.")
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="Write the plan to this file, for budget-check.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of measured times; default: this user's cache.")
    ] = None,
    measure_again: Annotated[
        bool, typer.Option("--measure-again", help="Measure times even where the cache has them.")
    ] = False,
) -> None:
    """Plan a student from what it may cost, before training.

    Vocabulary, layers, sizes and precision.
    """
    from isogloss.cli.show_bench import Bar
    from isogloss.cli.show_budget import print_budget
    from isogloss.methods.budget import plan_budget
    from isogloss.methods.latency_table import Conditions
    from isogloss.methods.pairs import files_by_language

    limits = _limits(disk, latency, coverage)
    with Bar() as bar:
        found = plan_budget(
            model,
            corpora=files_by_language(corpus, option="--corpus"),
            limits=limits,
            conditions=Conditions(length, threads),
            precision=cast("Storage | None", precision),
            cache=cache,
            again=measure_again,
            progress=bar,
        )
    print_budget(found)
    _write_plan(found, recipe=recipe, plan=plan)


def _limits(disk: str | None, latency: str | None, coverage: float) -> Limits:
    """From what people write, such as 60MB and 10ms."""
    from isogloss.compress.plan import Limits
    from isogloss.core.quantities import bytes_of, seconds_of

    return Limits(
        disk=None if disk is None else bytes_of(disk, option="--disk"),
        latency=None if latency is None else seconds_of(latency, option="--latency"),
        coverage=coverage,
    )


def _write_plan(found: BudgetPlan, *, recipe: Path | None, plan: Path | None) -> None:
    from isogloss.core.files import write_json, write_text

    if recipe:
        write_text(recipe, found.recipe_text())
        typer.echo(f"recipe: {recipe}")
    if plan:
        write_json(plan, found.to_json())
        typer.echo(f"plan: {plan}")


def budget_check(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="What `isogloss budget --plan` wrote.")],
    student: Annotated[
        str, typer.Argument(metavar="STUDENT", help="The finished model's folder, or a run's.")
    ],
    json_: Annotated[Path | None, typer.Option("--json", help="Also write what was found here.")] = None,
) -> None:
    """Measure a finished student against its plan.

    Exit code 1 if a promise was broken.
    """
    from dataclasses import asdict

    from isogloss.cli.show_budget import print_promises
    from isogloss.core.files import write_json
    from isogloss.methods.budget import check_promise, load_plan

    found = check_promise(load_plan(plan), student)
    print_promises(found)
    if json_:
        write_json(json_, [asdict(promise) for promise in found])
    if any(promise.kept is False for promise in found):
        raise typer.Exit(1)
