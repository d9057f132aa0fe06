"""Carry out a sweep: every run in a folder of its own, found again by its recipe, and one table of them all.

runs/NAME/
  sweep.yaml  sweep.json     the sweep as given; its runs, what varies in each, and what became of it
  sweep.csv   settings.csv   a row for each run; a row for each setting, over its seeds
  sweep.html                 the same as a page
  2026-11-21-shares-even-seed-0/ …   the run folders
  recipes/  logs/            what each run was given, and what it printed
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from isogloss.core.config import to_yaml
from isogloss.core.errors import CheckpointError, UserError
from isogloss.core.files import write_json, write_text
from isogloss.core.processes import process_count
from isogloss.core.run import STOPPED, find_run, read_status
from isogloss.core.stopping import terminated_as_interrupted
from isogloss.methods.check import check
from isogloss.methods.runners.here import in_turn
from isogloss.methods.runners.job import Event, Job, Runner
from isogloss.methods.sweep_file import Sweep, SweepRun
from isogloss.report.sweep_page import write_sweep
from isogloss.report.sweep_table import FACTS

State: TypeAlias = Literal["finished", "failed", "begun", "new"]


@dataclass(frozen=True)
class Standing:
    """Where one run of a sweep stands.

    Attributes:
        folder: its run folder; None while it has none.
        state: begun and not ended, or stopped, is "begun".
        why: it failed; "" where it did not.
    """

    run: SweepRun
    folder: Path | None
    state: State
    why: str = ""


@dataclass(frozen=True)
class Swept:
    """What became of a sweep: its folder, and where each run stands, in the sweep's order."""

    folder: Path
    standings: tuple[Standing, ...]

    @property
    def failed(self) -> tuple[Standing, ...]:
        """The runs that did not finish."""
        return tuple(one for one in self.standings if one.state != "finished")


class Watching(Protocol):
    """Who is told how a sweep goes."""

    def begin(self, runs: Collection[str], *, unfinished: Collection[str]) -> None:
        """There are runs of these names, of which some are to be carried out."""
        ...

    def event(self, event: Event, *, again: bool) -> None:
        """A run began or ended; `again` where it failed before and is tried once more."""
        ...


def sweep(
    found: Sweep,
    *,
    out: Path = Path("runs"),
    runner: Runner = in_turn,
    retries: int = 1,
    threads: int | None = None,
    watching: Watching | None = None,
) -> Swept:
    """Carry out what is not finished yet, one failure stopping no other run, and gather all results.

    Args:
        found: the sweep, from `load_sweep`.
        out: the folder of sweeps.
        runner: where and how many at a time.
        retries: how often a run that failed is tried again, from its last checkpoint.
        threads: for each run; None leaves that to torch.
        watching: who is told.

    Raises:
        IsoglossError: what can be known before any run begins: a file or model that is not there.
        KeyboardInterrupt: stopped, also by SIGTERM; the same call goes on where it was.
    """
    _refuse_several_processes()
    folder = out / found.name
    standings = standing(found, out=out)
    unfinished = [one.run for one in standings if one.state != "finished"]
    for run in unfinished:
        check(run.recipe)
    _write_beginning(folder, found, unfinished)
    jobs = [_job(folder, run, threads) for run in unfinished]
    if watching:
        watching.begin([run.name for run in found.runs], unfinished=[job.name for job in jobs])
    reasons: dict[str, str] = {}
    try:
        with terminated_as_interrupted():  # runs in processes of their own would outlive us
            for again in range(retries + 1):
                jobs = _round(runner, jobs, reasons, watching=watching, again=again > 0)
    finally:
        swept = Swept(folder, tuple(standing(found, out=out, reasons=reasons)))
        _gather(found, swept)
    return swept


def standing(found: Sweep, *, out: Path, reasons: Mapping[str, str] | None = None) -> list[Standing]:
    """Where each run of a sweep stands, from its run folders.

    Args:
        out: the folder of sweeps.
        reasons: why runs failed that may have left no folder, by name.
    """
    return [_standing(out / found.name, run, (reasons or {}).get(run.name, "")) for run in found.runs]


def _standing(folder: Path, run: SweepRun, why: str) -> Standing:
    place = find_run(folder, run.recipe, name=run.name)
    if not place.exists():
        return Standing(run, None, "failed" if why else "new", why)
    try:
        status = read_status(place)
    except CheckpointError as error:
        return Standing(run, place, "failed", error.message())
    if status.get("state") == "finished":
        return Standing(run, place, "finished")
    if not why and status.get("state") == "failed" and status.get("why") != STOPPED:
        why = str(status.get("why", ""))
    return Standing(run, place, "failed" if why else "begun", why)


def _round(
    runner: Runner, jobs: Sequence[Job], reasons: dict[str, str], *, watching: Watching | None, again: bool
) -> list[Job]:
    """Carry jobs out; those that failed, which `reasons` then says why."""
    failed: list[Job] = []
    if not jobs:  # nobody need start a cluster for nothing
        return failed
    with contextlib.closing(runner(jobs)) as events:  # type: ignore[type-var]
        for event in events:
            if event.kind == "ended":
                reasons.pop(event.job.name, None)
                if event.why:
                    reasons[event.job.name] = event.why
                    failed.append(event.job)
            if watching:
                watching.event(event, again=again)
    return failed


def _job(folder: Path, run: SweepRun, threads: int | None) -> Job:
    return Job(
        name=run.name,
        recipe=(folder / "recipes" / f"{run.name}.yaml").absolute(),
        out=folder.absolute(),
        log=(folder / "logs" / f"{run.name}.log").absolute(),
        folder=Path.cwd(),
        threads=threads,
    )


def _write_beginning(folder: Path, found: Sweep, unfinished: Sequence[SweepRun]) -> None:
    write_text(folder / "sweep.yaml", found.text)
    for run in unfinished:
        write_text(folder / "recipes" / f"{run.name}.yaml", to_yaml(run.recipe))


def _gather(found: Sweep, swept: Swept) -> None:
    """sweep.json, and from it and the run folders the tables and the page."""
    facts = {
        "name": found.name,
        "keys": list(found.keys),
        "metrics": list(found.metrics),
        "runs": [_facts(one, swept.folder) for one in swept.standings],
    }
    write_json(swept.folder / FACTS, facts)
    write_sweep(swept.folder)


def _facts(one: Standing, folder: Path) -> dict[str, Any]:
    run = one.run
    facts = {"name": run.name, "setting": run.setting, "seed": run.seed, "varied": dict(run.varied)}
    place = str(one.folder.relative_to(folder)) if one.folder else None
    return facts | {"recipe_hash": run.hash, "folder": place, "state": one.state, "why": one.why}


def _refuse_several_processes() -> None:
    if process_count() > 1:
        raise UserError(
            f"a sweep, started as {process_count()} processes that carry out one recipe together",
            wanted="one process, which starts the others",
            fix="leave the launcher out, and say --jobs or --ray",
        )
