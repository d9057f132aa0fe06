"""What `isogloss budget` and `budget-check` print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from isogloss.core.languages import language
from isogloss.report.numbers import NOTHING, whole

if TYPE_CHECKING:
    from isogloss.compress.plan import Candidate
    from isogloss.methods.budget import BudgetPlan, Promise

_SHOWN = {
    "bytes": lambda value: f"{value / 1e6:.2f} MB",
    "seconds": lambda value: f"{1e3 * value:.2f} ms",
    "share": lambda value: f"{100 * value:.3f} %",
}


def print_budget(found: BudgetPlan) -> None:
    """The plan, then students that fit as well and have more of something."""
    console = Console()
    table = _table("the plan")
    for name in ("what", "planned", "asked"):
        table.add_column(name if name != "what" else "", justify="left" if name == "what" else "right")
    for row in _rows(found):
        table.add_row(*row)
    console.print(table)
    if found.choice.others:
        others = _table("also within the limits")
        others.padding = (0, 1, 0, 0)
        for name in ("layers", "width", "units", "pieces", "kept", "stored", "disk", "time"):
            others.add_column(name, justify="right", no_wrap=True)
        for one in found.choice.others:
            others.add_row(*_other(one))
        console.print(others)
    for line in _notes(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _rows(found: BudgetPlan) -> Iterator[tuple[str, str, str]]:
    one, limits = found.choice.chosen, found.limits
    yield "layers", f"{one.layers}", ""
    yield "width", f"{one.block.width}", ""
    yield "heads", f"{one.block.heads}", ""
    yield "feed-forward units", f"{one.block.feedforward}", ""
    yield "vocabulary", whole(one.vocabulary.size), ""
    for tag, share in one.vocabulary.kept.items():
        name = f"– tokens kept, {language(tag).name} ({tag})"
        yield name, _SHOWN["share"](share), f"≥ {100 * limits.coverage:g} %"
    yield "precision on disk", one.storage, ""
    asked = "" if limits.disk is None else f"≤ {limits.disk / 1e6:g} MB"
    yield "disk", _SHOWN["bytes"](one.disk), asked
    yield "– weights", _SHOWN["bytes"](one.weight_bytes), ""
    yield "– tokenizer.json", _SHOWN["bytes"](one.vocabulary.tokenizer_bytes), ""
    if one.latency is not None and limits.latency is not None:
        case = f"{found.conditions.length} tokens, {found.conditions.precision}"
        yield f"time, {case}", _SHOWN["seconds"](one.latency), f"≤ {1e3 * limits.latency:g} ms"
        if one.storage == "int8":
            yield "time in int8", "unknown", ""


def _other(one: Candidate) -> tuple[str, ...]:
    return (
        str(one.layers),
        str(one.block.width),
        str(one.block.feedforward),
        whole(one.vocabulary.size),
        _SHOWN["share"](one.vocabulary.least_kept),
        one.storage,
        _SHOWN["bytes"](one.disk),
        NOTHING if one.latency is None else _SHOWN["seconds"](one.latency),
    )


def _notes(found: BudgetPlan) -> Iterator[str]:
    one = found.choice.chosen
    yield (
        "disk: exact for the weights, the language model's head included, and for tokenizer.json; 16 kB are "
        "allowed for small files"
    )
    if one.latency is not None:
        measured = found.measured[one.block]
        points = ", ".join(f"{n} layers: {1e3 * one:.2f} ms" for n, one in measured.medians.items())
        threads = found.conditions.threads
        yield (
            f"time: PyTorch in {found.conditions.precision} on {threads} thread{'s' * (threads > 1)} of this "
            f"machine, one text, no head; a line through the medians of random models ({points})"
        )
        if any(one.disturbed for one in found.measured.values()):
            yield (
                "the machine was busy while times were measured: the quartiles of some lie more than a "
                "quarter of the median apart. Plan again when it is quiet; such times are not kept"
            )
    if one.storage == "int8":
        yield (
            "int8: a byte for each entry of a matrix and 5 for each of its rows. How fast it will be is "
            "not known before there is an export to measure: no time is promised for it"
        )


def print_promises(found: Sequence[Promise]) -> None:
    """Each promise, what it was and what came of it."""
    table = _table("promised and measured")
    for number, name in enumerate(("", "asked", "planned", "measured", "kept", "")):
        table.add_column(name, justify="right" if 0 < number < 4 else "left")
    for one in found:
        shown = _SHOWN[one.unit]
        numbers = (NOTHING if v is None else shown(v) for v in (one.limit, one.planned, one.measured))
        kept = {True: "yes", False: "[bold]no[/bold]", None: "unknown"}[one.kept]
        table.add_row(one.what, *numbers, kept, one.note)
    Console().print(table)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
