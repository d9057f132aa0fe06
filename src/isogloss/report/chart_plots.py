"""Charts and maps drawn."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from isogloss.report.charts import Chart, Grid, Line, Point, few
from isogloss.report.drawing import (
    COLOURS,
    INK,
    PAPER,
    QUIET,
    VARIABLES,
    Axes,
    Drawing,
    Key,
    finished,
    in_our_style,
    new_figure,
)
from isogloss.report.numbers import NOTHING, count

_NUMBERED = 8  # columns up to which a cell has room for its number


def drawing_of(found: Chart | Grid, *, name: str, alone: bool = False) -> Drawing:
    """A figure for the page, or for a file of its own.

    Args:
        name: unique within the page; ids inside the SVG begin with it.
        alone: title and legend stand in the figure, which has no page around it.
    """
    if isinstance(found, Grid):
        return draw_grid(found, name=name, alone=alone)
    return draw_chart(found, name=name, alone=alone)


@in_our_style
def draw_chart(found: Chart, *, name: str, alone: bool = False) -> Drawing:
    """Lines with their intervals, as many as there are colours; the rest as in `drawing_of`."""
    found = few(found, len(COLOURS))
    figure, axes = new_figure(2.75 + alone * (0.3 + 0.17 * len(found.lines)))
    if found.log_x:
        _logarithmic(axes)
    elif all(point.x == round(point.x) for one in found.lines for point in one.points):
        axes.xaxis.set_major_locator(_whole_numbers())
    if found.level is not None:
        axes.axhline(found.level, color=QUIET, linewidth=0.9, linestyle=(0, (3, 3)), zorder=0)
    for one, colour in zip(found.lines, COLOURS, strict=False):
        _draw_line(axes, one, colour)
    axes.set_ylim(*_heights(found))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_xlabel(found.x)
    axes.set_ylabel(found.y)
    if alone:
        axes.set_title(found.title, fontsize=9)
        if len(found.lines) > 1:
            figure.legend(loc="outside lower left", frameon=False)
    keys = [Key(one.name, VARIABLES[colour]) for one, colour in zip(found.lines, COLOURS, strict=False)]
    words = "; ".join(f"{one.name}: {_in_words(one.points)}" for one in found.lines)
    title = found.title
    return finished(figure, title, f"{title}. {words}.", name=name, legend=keys if len(keys) > 1 else ())


def _logarithmic(axes: Axes) -> None:
    """Ticks at 1, 2 and 5, and their numbers as everywhere on the page."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: re.sub(r"\.0+(?=\D|$)", "", count(value))))


def _whole_numbers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=8, integer=True)


def _heights(found: Chart) -> tuple[float, float]:
    """Bounds that hold every point, and of intervals no more than leaves the points apart.

    With two seeds an interval may be ten times as wide as all points lie apart.
    """
    points = [point for one in found.lines for point in one.points]
    y = [point.y for point in points] + ([found.level] if found.level is not None else [])
    reach = 0.6 * (max(y) - min(y) or abs(y[0]) or 1.0)
    low = max(min(y) - reach, min(_finite(point.low, point.y) for point in points))
    high = min(max(y) + reach, max(_finite(point.high, point.y) for point in points))
    room = 0.05 * (max(high, *y) - min(low, *y)) or 0.05
    return min(low, *y) - room, max(high, *y) + room


def _draw_line(axes: Axes, found: Line, colour: str) -> None:
    x, y = [point.x for point in found.points], [point.y for point in found.points]
    if found.band:
        bounds = [(_finite(p.low, p.y), _finite(p.high, p.y)) for p in found.points]
        axes.fill_between(x, *zip(*bounds, strict=True), color=colour, alpha=0.18, linewidth=0)
        axes.plot(x, y, color=colour, linewidth=1.5, label=found.name)
        return
    for point in found.points:
        if point.low is not None and point.high is not None:
            ends = [_finite(point.low, point.y), _finite(point.high, point.y)]
            axes.plot([point.x, point.x], ends, color=colour, linewidth=1.0, alpha=0.7)
    style = "-" if found.joined and len(x) > 1 else "none"
    axes.plot(
        x, y, color=colour, linewidth=1.4, linestyle=style, marker="o", markersize=4.0, label=found.name
    )


def _finite(bound: float | None, otherwise: float) -> float:
    return bound if bound is not None and math.isfinite(bound) else otherwise


def _in_words(points: Sequence[Point]) -> str:
    ends = points if len(points) <= 3 else (points[0], points[len(points) // 2], points[-1])
    return ", ".join(f"{point.y:.4g} at {point.x:.4g}" for point in ends)


@in_our_style
def draw_grid(found: Grid, *, name: str, alone: bool = False) -> Drawing:
    """Cells, the fuller the higher, a number in each where there is room; the rest as in `drawing_of`."""
    columns = found.columns
    figure, axes = new_figure(0.9 + 0.25 * alone + 0.3 * len(found.rows))
    if alone:
        axes.set_title(found.title, fontsize=9)
    known = [value for row in found.values for value in row if math.isfinite(value)]
    low, high = min([0.0, *known]), max([0.0, *known])
    for row, values in enumerate(found.values):
        for column, value in enumerate(values):
            if math.isfinite(value):
                depth = 0.06 + 0.9 * (value - low) / (high - low or 1.0)
                _cell(axes, row, column, depth, value if len(values) <= _NUMBERED else None)
    axes.set_xlim(-0.5, len(found.columns) - 0.5)
    axes.set_ylim(len(found.rows) - 0.5, -0.5)
    axes.set_yticks(range(len(found.rows)), found.rows, color=INK)
    slanted = (
        {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if sum(map(len, columns)) > 30 else {}
    )
    axes.set_xticks(range(len(columns)), columns, **slanted)
    axes.spines["bottom"].set_visible(False)
    words = "; ".join(
        f"{row}: "
        + ", ".join(f"{column} {_shown(value)}" for column, value in zip(columns, values, strict=True))
        for row, values in zip(found.rows, found.values, strict=True)
    )
    return finished(figure, found.title, f"{found.title}. {words}.", name=name)


def _cell(axes: Axes, row: int, column: int, depth: float, value: float | None) -> None:
    from matplotlib.patches import Rectangle

    place = (column - 0.47, row - 0.47)
    axes.add_patch(Rectangle(place, 0.94, 0.94, color=COLOURS[0], alpha=depth, linewidth=0))
    if value is not None:
        ink = PAPER if depth > 0.8 else INK
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=8)


def _shown(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else NOTHING
