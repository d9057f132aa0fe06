"""What commands print besides the report's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from isogloss.core.languages import language

if TYPE_CHECKING:
    from isogloss.evaluate.suite import Evaluation
    from isogloss.methods.planning import Plan


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


def print_evaluation(found: Evaluation, title: str) -> None:
    """Scores by language, and their spread."""
    metrics = list(dict.fromkeys(metric for scores in found.scores.values() for metric in scores))
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("language")
    for metric in metrics:
        table.add_column(metric.replace("_", " "), justify="right")
    for tag, scores in found.scores.items():
        cells = [f"{scores[metric]:.4f}" if metric in scores else "–" for metric in metrics]
        table.add_row(f"{language(tag).name} ({tag})", *cells)
    console = Console()
    console.print(table)
    spread = found.summary
    if len(found.scores) > 1:
        console.print(
            f"{found.headline.replace('_', ' ')}: mean {spread.macro_average:.4f}, "
            f"worst {spread.worst_score:.4f} ({spread.worst}), gap {spread.gap:.4f}, "
            f"standard deviation {spread.deviation:.4f}"
        )
