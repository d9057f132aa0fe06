"""`isogloss sweep`: one recipe in many variants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from isogloss.methods.runners.job import Runner


def sweep(
    file: Annotated[
        str,
        typer.Argument(metavar="SWEEP", help="A YAML file, or a shipped sweep such as sweeps/tiny-shares."),
    ],
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Runs at a time (1); on a cluster, at most so many at a time."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads of each run; default: this machine's cores over --jobs, on a cluster 1."
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on a Ray cluster; `local` starts one on this machine."),
    ] = None,
    gpus: Annotated[
        float, typer.Option(min=0, help="GPUs that each run asks Ray for, such as 1 or 0.5.")
    ] = 0.0,
    retries: Annotated[int, typer.Option(min=0, help="How often a run that failed is tried again.")] = 1,
    metric: Annotated[
        list[str] | None, typer.Option(help="What the table shows of each run; may be repeated.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="List the runs and what they would cost; run none.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="The folder that holds the sweep's folder.")] = Path(
        "runs"
    ),
) -> None:
    """Run a recipe in many variants and seeds, into one table.

    Exit code 1 if any failed.
    """
    from dataclasses import replace

    from isogloss.cli.show_sweep import Line, print_sweep_plan, print_swept
    from isogloss.methods.sweep import sweep as carry_out
    from isogloss.methods.sweep_file import load_sweep

    found = load_sweep(file)
    if metric:
        found = replace(found, metrics=tuple(metric))
    if plan:
        print_sweep_plan(found, out)
        return
    each = _threads(threads, jobs=jobs, ray=ray)
    runner = _runner(jobs, each, ray, gpus)
    with Line(found) as line:
        swept = carry_out(found, out=out, runner=runner, retries=retries, threads=each, watching=line)
    print_swept(swept)
    if swept.failed:
        raise typer.Exit(1)


def _threads(asked: int | None, *, jobs: int | None, ray: str | None) -> int | None:
    """Threads of each run; None where one at a time takes what torch gives it."""
    from isogloss.core.machine import cores

    if asked is not None or (ray is None and (jobs or 1) == 1):
        return asked
    here = ray in (None, "local")
    return max(1, cores() // (jobs or cores())) if here else 1


def _runner(jobs: int | None, threads: int | None, ray: str | None, gpus: float) -> Runner:
    from isogloss.core.errors import UserError

    if gpus and ray is None:
        raise UserError("--gpus without --ray", fix="Ray gives each run its GPUs: add --ray local")
    if ray is not None:
        from isogloss.methods.runners.cluster import on_cluster

        return on_cluster(ray, at_once=jobs, threads=threads or 1, gpus=gpus)
    if (jobs or 1) == 1 and threads is None:
        from isogloss.methods.runners.here import in_turn

        return in_turn
    from isogloss.methods.runners.processes import side_by_side

    return side_by_side(jobs or 1)
