"""What `isogloss sweep` prints: its plan, a line that says how far it is, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from isogloss.methods.pace import Pace, cost
from isogloss.report import numbers
from isogloss.report.sweep_table import sweep_table

if TYPE_CHECKING:
    from types import TracebackType

    from isogloss.methods.runners.job import Event
    from isogloss.methods.sweep import Swept
    from isogloss.methods.sweep_file import Sweep

_PLANNED = ("parameters", "steps", "tokens", "memory")


def print_sweep_plan(found: Sweep, out: Path) -> None:
    """Every run: where it stands, and what it would cost."""
    from isogloss.methods.planning import plan
    from isogloss.methods.sweep import standing

    table = _table(f"{found.name}: {len(found.runs)} runs", ("run", "stands", *_PLANNED))
    for one in standing(found, out=out):
        rows: dict[str, list[str]] = {}
        for planned in plan(one.run.recipe, out=out / found.name):
            for row in planned.rows:
                rows.setdefault(row.what, []).append(row.value)
        costs = (" + ".join(rows.get(name, [numbers.NOTHING])) for name in _PLANNED)
        table.add_row(one.run.name, one.state, *costs)
    Console().print(table)


def print_swept(swept: Swept) -> None:
    """The settings' means over seeds, the runs that failed and why, and where everything lies."""
    console = Console()
    table = sweep_table(swept.folder)
    shown = _table(table.name, ("setting", *(column.label for column in table.columns)))
    for row in table.settings:
        cells = []
        for column, value in zip(table.columns, row.values, strict=True):
            mean = numbers.shown(column.metric, value.mean if value else None)
            spread = (
                f" ± {numbers.shown(column.metric, value.deviation)}" if value and value.number > 1 else ""
            )
            cells.append(mean + spread)
        shown.add_row(row.name, *cells)
    console.print(shown)
    for words in table.missing:
        console.print(words, style="yellow", markup=False)
    for one in swept.failed:
        console.print(f"{one.run.name}: {one.state}. {one.why}".rstrip(), style="red", markup=False)
    console.print(f"table: {swept.folder / 'sweep.csv'}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"page: {swept.folder / 'sweep.html'}", highlight=False, markup=False, soft_wrap=True)


def _table(title: str, head: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left", no_wrap=number > 0, overflow="fold")
    return table


class Line:
    """How far a sweep is: one line at the foot of a terminal; elsewhere, a line for each run that ends."""

    def __init__(self, found: Sweep) -> None:
        self._console = Console(stderr=True)
        self._costs = {run.name: cost(run.recipe) for run in found.runs}
        self._pace = Pace(self._costs)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._began: dict[str, float] = {}
        self._task = self._bar.add_task("sweep", total=len(found.runs), left="")
        self._done = self._total = self._failed = 0

    def __enter__(self) -> Line:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, runs: Collection[str], *, unfinished: Collection[str]) -> None:
        """See `methods.sweep.Watching`."""
        self._total, self._done = len(runs), len(runs) - len(unfinished)
        self._pace = Pace({name: self._costs[name] for name in unfinished})
        self._show()
        if self._done:
            self._say(f"{self._done} of {self._total} runs were finished before")

    def event(self, event: Event, *, again: bool) -> None:
        """See `methods.sweep.Watching`."""
        self._pace.event(event)
        name = event.job.name
        if event.kind == "started":
            self._began[name] = time.monotonic()
            self._failed -= again
        else:
            took = numbers.duration(time.monotonic() - self._began.pop(name))
            self._done += event.why is None
            self._failed += event.why is not None
            outcome = f"finished in {took}" if event.why is None else f"failed after {took}: {event.why}"
            self._say(f"[{self._done}/{self._total}] {name} {outcome}{self._left(', then ')}")
        self._show()

    def _left(self, before: str) -> str:
        seconds = self._pace.remaining()
        running = self._total > self._done
        return f"{before}about {numbers.duration(seconds)} left" if seconds is not None and running else ""

    def _show(self) -> None:
        failed = f", {self._failed} failed" if self._failed else ""
        self._bar.update(
            self._task,
            completed=self._done,
            description=f"{len(self._began)} running{failed}",
            left=self._left(""),
        )

    def _say(self, words: str) -> None:
        self._bar.console.print(words, markup=False, highlight=False, soft_wrap=True)
