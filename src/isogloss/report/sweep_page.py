"""The page of a sweep, and its tables as CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isogloss.core.files import write_text
from isogloss.core.run import read_run
from isogloss.report.headline import number_word
from isogloss.report.notes import Note
from isogloss.report.page import MixingView, mixing_view, stage_folders, templates
from isogloss.report.sweep_table import SweepTable, runs_csv, settings_csv, short_keys, sweep_table

CSV = {"sweep.csv": runs_csv, "settings.csv": settings_csv}
PAGE = "sweep.html"


@dataclass(frozen=True)
class SweepView:
    """What the page says."""

    sentence: str
    notes: tuple[Note, ...]
    table: SweepTable
    keys: tuple[str, ...]
    several_seeds: bool
    mixing: MixingView


def write_sweep(folder: Path) -> Path:
    """Write sweep.csv, settings.csv and sweep.html into a sweep's folder; the page.

    Raises:
        CheckpointError: it is not a sweep's, or a file of it is damaged.
        StorageError: the disk refused.
    """
    table = sweep_table(folder)
    for name, text in CSV.items():
        write_text(folder / name, text(table))
    write_text(folder / PAGE, sweep_html(folder, table))
    return folder / PAGE


def sweep_html(folder: Path, table: SweepTable) -> str:
    """The page's HTML."""
    finished = [folder / run.folder for run in table.runs if run.folder and run.state == "finished"]
    every = [read_run(part) for root in finished for part in (root, *stage_folders(root))]
    view = SweepView(
        sentence=_sentence(table),
        notes=_notes(table),
        table=table,
        keys=short_keys(table.keys),
        several_seeds=any(value and value.number > 1 for row in table.settings for value in row.values),
        mixing=mixing_view(every),
    )
    return str(templates().get_template("sweep.html.j2").render(page=view))


def _sentence(table: SweepTable) -> str:
    finished = sum(run.state == "finished" for run in table.runs)
    done = "All are finished." if finished == len(table.runs) else f"{finished} are finished."
    settings = len(table.settings)
    word = number_word(settings)
    return f"{word.capitalize()} setting{'s' * (settings != 1)} in {len(table.runs)} runs. {done}"


def _notes(table: SweepTable) -> tuple[Note, ...]:
    return tuple(
        Note("failed", f"{run.name} failed.", run.why) for run in table.runs if run.state == "failed"
    )
