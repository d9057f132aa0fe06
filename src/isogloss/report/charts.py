"""Charts of lines and points, and maps of cells, as plain records: what a figure shows before it is drawn."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from isogloss.core.repeats import repeats


@dataclass(frozen=True)
class Point:
    """A place on a chart; `low` and `high` bound y, None without an interval; infinite where open."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """Points of one name.

    Attributes:
        joined: by a line, in order of x.
        band: the interval is a band along the line instead of a whisker at each point.
    """

    name: str
    points: tuple[Point, ...]
    joined: bool = True
    band: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over a pair of axes.

    Attributes:
        name: for its file, without spaces.
        log_x: logarithmic from left to right.
        level: a height worth a line across, such as 1 for an efficiency; None for none.
    """

    name: str
    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    log_x: bool = False
    level: float | None = None


def few(found: Chart, most: int) -> Chart:
    """The first lines of a chart, and in its title how many there are."""
    if len(found.lines) <= most:
        return found
    title = f"{found.title} (the first {most} of {len(found.lines)} lines)"
    return replace(found, title=title, lines=found.lines[:most])


@dataclass(frozen=True)
class Grid:
    """A map of cells, `values[row][column]`, NaN where there is none."""

    name: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


def over_seeds(x: float, values: Sequence[float]) -> Point:
    """The mean of a number over seeds, with Student's interval where there are two or more."""
    found = repeats(values)
    return Point(x, found.mean, found.low, found.high)


def line(name: str, points: Sequence[Point], *, joined: bool = True, band: bool = False) -> Line:
    """A line through the points that are finite, from left to right."""
    finite = [point for point in points if math.isfinite(point.x) and math.isfinite(point.y)]
    return Line(name, tuple(sorted(finite, key=lambda point: point.x)), joined, band)


def chart_csv(found: Chart | Grid) -> str:
    """The numbers of a figure: a row for each point, or for each cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if isinstance(found, Grid):
        writer.writerow(["row", "column", "value"])
        for row, values in zip(found.rows, found.values, strict=True):
            writer.writerows(
                [row, column, value] for column, value in zip(found.columns, values, strict=True)
            )
    else:
        writer.writerow(["line", found.x, found.y, "low", "high"])
        for one in found.lines:
            writer.writerows([one.name, p.x, p.y, p.low, p.high] for p in one.points)
    return stream.getvalue()
