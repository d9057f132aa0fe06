"""The figures of several pretrainings as files of their own, each beside its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isogloss.core.errors import DataError
from isogloss.core.files import write_text
from isogloss.core.run import read_run
from isogloss.report.chart_plots import drawing_of
from isogloss.report.charts import Chart, Grid, chart_csv
from isogloss.report.drawing import COLOURS, standalone
from isogloss.report.mixing_charts import mixing
from isogloss.report.page import stage_folders


def write_figures(folders: Sequence[Path], out: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Write every figure that these runs can fill, as SVG, with a CSV of its numbers.

    Args:
        folders: of runs; stages of pipelines are found in theirs.
        out: the folder to write to.

    Returns:
        The SVG files, and sentences on what could not be worked out.

    Raises:
        CheckpointError: a folder is no run's.
        DataError: there is nothing to draw.
        StorageError: the disk refused.
    """
    found = mixing([read_run(part) for root in folders for part in (root, *stage_folders(root))])
    if not found.charts:
        raise DataError(
            f"{len(folders)} runs, and nothing in them to draw",
            wanted="two or more pretrainings that differ in more than their seed, one of them on several "
            "languages, scored on test text",
            fix="`isogloss report` shows a single run",
        )
    assert len({chart.name for chart in found.charts}) == len(found.charts), "one file for two charts"
    paths, told = [], list(found.missing)
    for chart in found.charts:
        told += _left_out(chart)
        paths.append(out / f"{chart.name}.svg")
        write_text(paths[-1], standalone(drawing_of(chart, name=chart.name, alone=True)))
        write_text(out / f"{chart.name}.csv", chart_csv(chart))
    return paths, tuple(told)


def _left_out(chart: Chart | Grid) -> list[str]:
    most = len(COLOURS)
    if isinstance(chart, Grid) or len(chart.lines) <= most:
        return []
    return [f"{chart.name}.svg shows {most} of {len(chart.lines)} lines; {chart.name}.csv has all."]
