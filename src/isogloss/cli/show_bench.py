"""What `isogloss bench` prints, and the same as Markdown."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from isogloss.report.numbers import NOTHING, count, megabytes, whole

if TYPE_CHECKING:
    from isogloss.methods.bench import Bench, Measurement, Subject

_FLOPS = {
    "total": "FLOPs, {length} tokens",
    "embedding": "– embedding",
    "attention": "– attention",
    "feedforward": "– feed-forward",
    "head": "– head",
}


@dataclass(frozen=True)
class Cells:
    """A table before it is drawn; its first column is left-aligned, the others right."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def print_bench(found: Bench) -> None:
    """Sizes side by side, then times and memory by combination."""
    console = Console()
    for cells in tables(found):
        table = Table(title=cells.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        table.padding = (0, 1, 0, 0)
        for number, name in enumerate(cells.head):
            table.add_column(name, justify="right" if number else "left", overflow="fold")
        for row in cells.rows:
            table.add_row(*row)
        console.print(table)
    for line in notes(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def bench_markdown(found: Bench) -> str:
    """The same tables and notes in Markdown."""
    blocks = []
    for cells in tables(found):
        lines = [cells.head, ("---", *("---:" for _ in cells.head[1:])), *cells.rows]
        blocks.append(f"**{cells.title}**\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in lines))
    return "\n\n".join([*blocks, *notes(found)]) + "\n"


def tables(found: Bench) -> Iterator[Cells]:
    """Sizes, then times for each precision and number of threads."""
    yield Cells("size", ("", *_numbered(found.subjects)), tuple(_sizes(found.subjects)))
    head = ("batch", "model", "p50 ms", "IQR", "p95", "rows/s", "tokens/s", "MB", "faster", "95 %")
    pass_ = "forward pass with head" if found.settings.head else "forward pass without head"
    for precision, threads in itertools.product(found.settings.precisions, found.settings.threads):
        rows = tuple(_times(found, precision, threads))
        yield Cells(f"{pass_}, {precision}, {threads} thread{'s' * (threads > 1)}", head, rows)


def _numbered(subjects: Sequence[Subject]) -> list[str]:
    """The number stands for the model in the tables of times, which have no room for names."""
    return [f"{number}: {one.name}" for number, one in enumerate(subjects, 1)]


def _sizes(subjects: Sequence[Subject]) -> Iterator[tuple[str, ...]]:
    def row(name: str, value: Callable[[Subject], int], shown: Callable[[int], str]) -> tuple[str, ...]:
        first = value(subjects[0])
        return (name, *(_beside(value(one), first, shown, number) for number, one in enumerate(subjects)))

    yield row("parameters", lambda one: one.parameters["total"], count)
    for part in ("embedding", "layers", "head"):
        yield row(f"– {part}", lambda one, part=part: one.parameters[part], count)  # type: ignore[misc]
    yield row("layers", lambda one: one.layers, str)
    yield row("width", lambda one: one.hidden, str)
    yield row("vocabulary", lambda one: one.vocabulary, whole)
    yield row("weights on disk", lambda one: one.files["weights"], megabytes)
    yield row("other files", lambda one: one.files["other"], megabytes)
    for storage in subjects[0].weights:
        yield row(f"weights in {storage}", lambda one, s=storage: one.weights[s], megabytes)  # type: ignore[misc]
    for length in subjects[0].flops:
        for part, name in _FLOPS.items():
            shown = name.format(length=length)
            yield row(shown, lambda one, n=length, p=part: one.flops[n][p], count)  # type: ignore[misc]


def _beside(value: int, first: int, shown: Callable[[int], str], number: int) -> str:
    if not number or not first:
        return shown(value)
    return f"{shown(value)} ({value / first:.2f}×)"


def _times(found: Bench, precision: str, threads: int) -> Iterator[tuple[str, ...]]:
    for one in found.measurements:
        if (one.precision, one.threads) == (precision, threads):
            case = "" if one.model else f"{one.batch} × {one.length}"
            yield (case, str(one.model + 1), *_time_cells(one))


def _time_cells(one: Measurement) -> Iterator[str]:
    timing, faster = one.timing, one.speed_up
    yield f"{1e3 * timing.p50:.2f}"
    yield f"{1e3 * (timing.quantile(0.75) - timing.quantile(0.25)):.2f}"
    yield f"{1e3 * timing.p95:.2f}"
    yield f"{one.rows_per_second:,.1f}"
    yield f"{one.tokens_per_second:,.0f}"
    yield f"{one.memory.peak / 1e6:.0f}" if one.memory else NOTHING
    yield f"{faster.value:.2f}×" if faster else ""
    yield f"{faster.low:.3g}–{faster.high:.3g}" if faster else ""


def notes(found: Bench) -> Iterator[str]:
    """How it was measured, and on what."""
    machine, settings = found.machine, found.settings
    yield (
        f"{machine['processor'] or 'unknown processor'}, {machine['cores']} cores, {machine['system']}, "
        f"torch {machine['torch']}, transformers {machine['transformers']}; "
        f"load before: {NOTHING if found.load is None else found.load}"
    )
    yield (
        f"{settings.repeats} passes each after warming up, the models in turns; random ids without padding; "
        "IQR: between the quartiles; "
        "faster: the first model's median over this one's, with its 95 % interval."
    )
    if settings.memory:
        yield (
            "MB: the most memory that a fresh process held while loading the model and running it, above "
            f"what Python with torch and transformers holds ({megabytes(_baseline(found))})."
        )


def _baseline(found: Bench) -> float | None:
    baselines = [one.memory.baseline for one in found.measurements if one.memory]
    return sum(baselines) / len(baselines) if baselines else None


class Bar:
    """A bar with the time left, on a terminal's stderr; use as a context."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("warming up", total=1.0)

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._bar.stop()

    def __call__(self, share: float, what: str) -> None:
        """Move to a share of the whole, from 0 to 1, and say what is done next."""
        self._bar.update(self._task, completed=share, description=what)
