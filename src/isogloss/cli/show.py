"""What commands print besides the report's tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from isogloss.core.errors import IsoglossError
from isogloss.core.languages import language
from isogloss.report import numbers

if TYPE_CHECKING:
    from isogloss.evaluate.suite import Evaluation
    from isogloss.methods.planning import Plan
    from isogloss.methods.trim import Trimming
    from isogloss.vocab.certificate import LanguageCertificate


def print_plans(plans: Sequence[Plan]) -> None:
    """Each plan as a table of what, how much and why."""
    console = Console()
    for plan in plans:
        table = Table(title=plan.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        table.add_column("")
        table.add_column("", justify="right")
        table.add_column("", style="dim")
        for row in plan.rows:
            if row.value:
                table.add_row(row.what, row.value, row.note)
            else:
                table.add_row(f"[bold]{row.what}[/bold]", "", "")
        console.print(table)


def print_missing(recipe: Any) -> None:
    """What `isogloss run` would refuse a recipe for, such as a file that is not there yet; else nothing."""
    from isogloss.methods.check import check

    try:
        check(recipe)
    except IsoglossError as error:
        typer.echo(f"`isogloss run` would refuse this as things are:\n{error.message()}", err=True)


def print_evaluation(found: Evaluation, title: str) -> None:
    """Scores by language, the headline first, and its spread."""
    metrics = sorted({metric for scores in found.scores.values() for metric in scores}, key=numbers.rank)
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("language")
    for metric in metrics:
        table.add_column(numbers.metric(metric).label, justify="right")
    for tag, scores in found.scores.items():
        cells = [numbers.shown(metric, scores.get(metric)) for metric in metrics]
        table.add_row(f"{language(tag).name} ({tag})", *cells)
    console = Console()
    console.print(table)
    if len(found.scores) > 1:
        console.print(f"{numbers.metric(found.headline).label}: {_spread(found)}", soft_wrap=True)


def _spread(found: Evaluation) -> str:
    spread = found.summary
    facts = {
        "mean": spread.macro_average,
        f"worst ({spread.worst})": spread.worst_score,
        "best − worst": spread.gap,
        "standard deviation": spread.deviation,
    }
    return ", ".join(f"{name} {numbers.shown(found.headline, value)}" for name, value in facts.items())


_LITTLE = 5e-4
"""Of a language's tokens: about one sentence in a hundred has one then."""


def print_trimming(found: Trimming) -> None:
    """What was kept, what changed for each language, and how things that changed look."""
    whole = found.certificate
    title = (
        f"{whole.kept:,} of {whole.entries:,} pieces kept, {found.parameters[1] / 1e6:.1f} of "
        f"{found.parameters[0] / 1e6:.1f} million parameters; same scores on kept pieces "
        f"(largest difference {found.difference:.0e})"
    )
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("language")
    for name in ("sentences", "cut as before", "tokens lost", "new unknown", "tokens per word", "now"):
        table.add_column(name, justify="right")
    for tag, one in whole.languages.items():
        table.add_row(
            f"{language(tag).name} ({tag})",
            f"{one.sentences:,}",
            f"{100 * one.share:.3f} %",
            f"{100 * one.lost:.4f} %",
            f"{one.new_unknown:,}",
            f"{one.before.tokens_per_word:.4f}",
            f"{one.after.tokens_per_word:.4f}",
        )
    console = Console()
    console.print(table)
    for tag, one in whole.languages.items():
        for line in (*_differences(tag, one), *_too_little(tag, found)):
            console.print(line, highlight=False, markup=False)
    console.print(f"model, tokenizer and certificate: {found.folder}", highlight=False, markup=False)


def _too_little(tag: str, found: Trimming) -> Iterator[str]:
    """That more text should be counted, where what the text did not show is most of what may be lost."""
    unseen, lost = found.unseen.get(tag, 0.0), found.lost.get(tag, 0.0)
    if unseen > max(_LITTLE, lost):
        yield (
            f"{tag}: {100 * unseen:.2f} % of further text like that counted would be pieces it has not shown "
            f"(the threshold took {100 * lost:.2f} %): count more text, of the kind the model will read"
        )


def _differences(tag: str, found: LanguageCertificate) -> Iterator[str]:
    for kind, difference in sorted(found.differences.items()):
        example = difference.examples[0]
        cuts = f"{' '.join(example.before)} → {' '.join(example.after)}"
        yield f"{tag}: {kind}, {difference.places:,} places, such as {cuts}"
