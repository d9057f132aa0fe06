"""What `isogloss delta` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from isogloss.methods.deltas import groups

if TYPE_CHECKING:
    from isogloss.sparse.carry import Losses
    from isogloss.sparse.compose import Meeting
    from isogloss.sparse.delta import Delta


def print_delta(path: Path, delta: Delta) -> None:
    """What a delta changes, and what it says of itself."""
    console = Console()
    table = _table(str(path), "tensors", "entries", "share", "mean change")
    for group in groups(delta):
        share = f"{group.entries / max(1, group.size):.2%}"
        table.add_row(f"{group.name} ({group.tensors})", f"{group.entries:,}", share, f"{group.mean:.2e}")
    console.print(table)
    facts = {
        "entries": f"{delta.entries:,}",
        "replaces": ", ".join(delta.dense) or "nothing",
        "model": delta.base or "not known",
        "vocabulary": delta.vocabulary or "not known",
        **delta.about,
    }
    for name, value in facts.items():
        console.print(f"{name}: {value}", markup=False, highlight=False, soft_wrap=True)


def print_meetings(paths: Sequence[Path], found: Sequence[Meeting]) -> None:
    """Where each two deltas meet; nothing for one alone."""
    if not found:
        return
    table = _table("where they meet", "deltas", "common entries", "of the smaller", "same way", "cosine")
    for each in found:
        table.add_row(
            f"{paths[each.first]}, {paths[each.second]}",
            f"{each.entries:,}",
            f"{each.share:.2%}",
            f"{each.agree:.1%}" if each.entries else "–",
            f"{each.cosine:.3f}",
        )
    Console().print(table)


def print_losses(losses: Losses) -> None:
    """What was lost on the way to a smaller model."""
    console = Console()
    table = _table("lost on the way", "why", "entries", "of")
    for why in dict.fromkeys(fate.why for fate in losses.fates if fate.why):
        concerned = [fate for fate in losses.fates if fate.why == why]
        lost = sum(fate.entries - fate.carried for fate in concerned)
        table.add_row(why, f"{lost:,}", f"{sum(fate.entries for fate in concerned):,}")
    if losses.entries:
        console.print(table)
    total = losses.carried + losses.entries
    lines = [
        f"carried: {losses.carried:,} of {total:,} entries, {losses.movement_kept:.1%} of the movement",
        *(f"left out: {name}" for name in losses.dense),
        *(f"computed anew in the smaller model, so only nearly met: {name}" for name in losses.changed),
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table
