"""The report's tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from isogloss.core.run import RunRecord, read_run
from isogloss.report import numbers
from isogloss.report.audit import Audit, Cell, audited
from isogloss.report.headline import change_tone
from isogloss.report.levelling import Levelling, levelling
from isogloss.report.measurements import language_name
from isogloss.report.notes import notes
from isogloss.report.tables import (
    DisparityRow,
    MixtureTable,
    Score,
    ScoreRow,
    ScoreTable,
    SizeTable,
    mixture_tables,
    score_tables,
    size_table,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_STYLES = {"good": "green", "bad": "red", "": ""}


def print_run(run: RunRecord | Path, *, console: Console | None = None) -> None:
    """Print a run's notes, scores with their disparity, sizes and mixture.

    Args:
        run: a run folder or what was read from it.
        console: where to; None prints to standard output.
    """
    from rich.console import Console

    console = console or Console()
    record = read_run(run) if isinstance(run, Path) else run
    for note in notes(record):
        style = "bold red" if note.level == "failed" else "yellow"
        console.print(_text(f"{note.title} {note.detail}", style))
    levelled = levelling(record)
    for line in levelled.sentences if levelled else ():
        console.print(_text(line))
    found = audited(record)
    for line in (found.headline, *found.read) if found else ():
        console.print(_text(line))
    sizes = size_table(record)
    tables = [
        *([audit_grid(found)] if found else []),
        *(levelling_grids(levelled) if levelled else ()),
        *map(score_grid, score_tables(record)),
        *([size_grid(sizes)] if sizes.rows else []),
        *map(mixture_grid, mixture_tables(record)),
    ]
    for table in tables:
        console.print(table)
    for said in _advice(found) if found else ():
        console.print(said, soft_wrap=True)


def score_grid(table: ScoreTable) -> Table:
    """Languages down, columns across, the change last; below a rule, the numbers over all languages."""
    facts, several = numbers.metric(table.metric), len(table.columns) > 1
    title = f"{numbers.task_label(table.task)} {facts.label} on {table.split}".strip()
    grid = _grid(title, ["", *table.columns, *(["change"] if several else [])])
    for row in table.rows:
        source = " (source)" if row.language == table.source else ""
        tone = "" if row.within_chance else numbers.tone(table.metric, row.change)
        grid.add_row(
            _text(row.name + source), *_cells(table, row, several), *_change(table, row, tone, several)
        )
    grid.add_section()
    for overall in table.disparity:
        tone = change_tone(table, overall)
        values = zip(overall.values, overall.languages, strict=True)
        cells = [
            _text(
                f"{language_name(tag)} {numbers.shown(table.metric, v)}"
                if tag
                else numbers.shown(table.metric, v)
            )
            for v, tag in values
        ]
        grid.add_row(_text(overall.label, "dim"), *cells, *_change(table, overall, tone, several))
    if table.disparity and len(table.compared) < len(table.rows):
        grid.caption = f"overall numbers: the {len(table.compared)} languages that every column has"
    return grid


_NARROW = {
    "unknown_rate": "unk %",
    "tokens_per_word": "tok/word",
    "premium": "premium",
    "bits_per_byte": "bits/B",
    "parity": "parity",
    "retrieval": "found %",
    "score": "score",
    "behind": "behind",
}
"""The measures that a terminal has room for, and what they are called there."""


def audit_grid(found: Audit) -> Table:
    """Languages down, measures across; weak numbers in red and with a star."""
    left_out = "tokens_per_word" if found.values("premium") else None
    places = [place for place, one in enumerate(found.columns) if one.key in _NARROW and one.key != left_out]
    grid = _grid("audit", ["", *(_NARROW[found.columns[place].key] for place in places)])
    for row in found.rows:
        cells = [_audited(found.columns[place].metric, row.cells[place]) for place in places]
        grid.add_row(_text(row.name), *cells)
    grid.caption = "* weak: the whole interval, or the number that has none, beyond the limit"
    return grid


def _audited(name: str, cell: Cell) -> Text:
    text = numbers.shown(name, cell.score.value if cell.score else None)
    return _text(f"{text}*" if cell.weak else text, "red" if cell.weak else "")


def _advice(found: Audit) -> Iterator[Text]:
    if found.nothing_to_try:
        yield _text(found.nothing_to_try)
    for number, one in enumerate(found.suggestions, 1):
        yield _text(f"{number}. {one.title[:1].upper()}{one.title[1:]}", "bold")
        yield _text(f"   {one.means}")
        yield from (_text(f"   - {line}") for line in one.evidence)
        yield _text(f"   {one.remedy}")
        if one.command:
            recipe = " (its recipe is on the page)" if one.recipe else ""
            yield _text(f"   {one.command}{recipe}", "cyan")


def levelling_grids(found: Levelling) -> list[Table]:
    """How teachers were chosen; then, with test sets, what each language gained or lost, and the spread."""
    chosen = _grid("teachers", ["", "score", "95 %", "chosen in"])
    for one in found.teachers:
        share = numbers.percent(one.share, digits=0)
        cells = [f"{one.name} ({one.role})", f"{one.score.value:.3f}", _between(one.score), share]
        chosen.add_row(*map(_text, cells))
    return [chosen, *([_effect_grid(found)] if found.effects else [])]


def _between(score: Score) -> str:
    return "" if score.low is None or score.high is None else f"{score.low:.3f} to {score.high:.3f}"


def _effect_grid(found: Levelling) -> Table:
    label = f"{numbers.task_label(found.task)} {numbers.metric(found.metric).label}".strip()
    grid = _grid(f"gains and harms, {label}", ["", "before", "after", "change", "95 %", ""])
    for one in found.effects:
        before, after = (numbers.shown(found.metric, value) for value in (one.before, one.after))
        word = {"good": "gained", "bad": "harmed", "": ""}[one.tone]
        change = _changed(found.metric, one.change, one.tone)
        grid.add_row(_text(f"{one.name} ({one.role})"), _text(before), _text(after), *change, _text(word))
    grid.add_section()
    for row in found.spread:
        if row.after and row.change:
            values = (_text(numbers.shown(row.metric, score.value)) for score in (row.before, row.after))
            grid.add_row(_text(row.label, "dim"), *values, *_changed(row.metric, row.change, row.tone), "")
    return grid


def _changed(name: str, change: Score, tone: str) -> list[Text]:
    bounds = [numbers.signed(name, bound) for bound in (change.low, change.high)]
    return [_text(numbers.signed(name, change.value), _STYLES[tone]), _text(" to ".join(bounds))]


def size_grid(table: SizeTable) -> Table:
    """The models of a run with their parameters, bytes and shape."""
    reference = [f"of the {table.reference}"] if table.reference else []
    grid = _grid("sizes", ["", "parameters", *reference, "size", "layers", "width", "vocabulary"])
    for row in table.rows:
        facts = map(numbers.whole, (row.layers, row.hidden, row.vocabulary))
        share = [numbers.percent(row.share)] if table.reference else []
        cells = [row.name, numbers.count(row.parameters), *share, numbers.megabytes(row.bytes), *facts]
        grid.add_row(*map(_text, cells))
    return grid


def mixture_grid(table: MixtureTable) -> Table:
    """Requested and realised shares of one phase."""
    grid = _grid(f"mixture of {table.phase}", ["", "requested", "realised", "tokens"])
    for row in table.rows:
        shares = [numbers.percent(row.requested), numbers.percent(row.realised), numbers.count(row.tokens)]
        grid.add_row(*map(_text, [row.name, *shares]))
    return grid


def _cells(table: ScoreTable, row: ScoreRow, several: bool) -> list[Text]:
    last = len(row.scores) - 1
    return [
        _text(_with_interval(table.metric, score), "bold" if several and index == last else "")
        for index, score in enumerate(row.scores)
    ]


def _with_interval(name: str, score: Score | None) -> str:
    if score is None or score.low is None or score.high is None:
        return numbers.shown(name, score.value if score else None)
    low, high = numbers.shown(name, score.low), numbers.shown(name, score.high)
    return f"{numbers.shown(name, score.value)} [{low}, {high}]"


def _change(table: ScoreTable, row: ScoreRow | DisparityRow, tone: str, several: bool) -> list[Text]:
    return [_text(numbers.signed(table.metric, row.change), _STYLES[tone])] if several else []


def _grid(title: str, columns: list[str]) -> Table:
    from rich import box
    from rich.table import Table

    grid = Table(title=_text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, header_style="dim")
    for index, column in enumerate(columns):
        grid.add_column(_text(column), justify="right" if index else "left")
    return grid


def _text(words: str, style: str = "") -> Text:
    """Plain text: a name with square brackets is no markup."""
    from rich.text import Text

    return Text(words, style)
