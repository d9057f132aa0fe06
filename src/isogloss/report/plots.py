"""The figures of any run: curves over steps, scores by language, shares of a mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from isogloss.report.curves import Curves, Series
from isogloss.report.drawing import (
    COLOURS,
    INK,
    PLAIN,
    QUIET,
    VARIABLES,
    Axes,
    Drawing,
    Key,
    finished,
    in_our_style,
    language_axis,
    new_figure,
)
from isogloss.report.measurements import in_order
from isogloss.report.numbers import metric, shown, task_label
from isogloss.report.tables import MixtureTable, ScoreTable


@in_our_style
def curves(
    drawn: Curves, *, name: str, order: Sequence[str] = (), title: str | None = None, kept: int | None = None
) -> Drawing:
    """Loss curves, or development scores by language, against steps.

    Args:
        name: unique within the page; ids inside the SVG begin with it.
        order: names of series over several figures: the same place gives the same colour in each.
        title: for the caption; None says what was measured.
        kept: the step whose weights were kept, to be marked; None marks nothing.
    """
    colours = _colours(drawn, order)
    scale = metric(drawn.metric).scale if drawn.metric else 1.0
    height = max(2.75, 0.2 * len(drawn.series) + 0.6)  # room for a name at the end of each line
    figure, axes = new_figure(height)
    for series, colour in zip(drawn.series, colours, strict=True):
        main = len(drawn.series) == 1 or drawn.metric is not None or series.name == "loss"
        values = [value * scale for value in series.values]
        axes.plot(series.steps, values, color=colour, linewidth=1.7 if main else 1.1, solid_capstyle="round")
    if (
        drawn.metric == "entropy"
    ):  # a collapse is a fall to 0; on a scale of its own every tremor looks like one
        axes.set_ylim(bottom=0.0)
    if kept is not None:
        axes.axvline(kept, color=QUIET, linewidth=0.9, linestyle=(0, (3, 3)), zorder=0)
    _name_the_ends(axes, drawn, scale, colours, gap=0.082 * 2.75 / height)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(_whole_steps())
    title = title or _title(drawn)
    return finished(figure, title, f"{title}. {_in_words(drawn)}", name=name)


@in_our_style
def score_bars(table: ScoreTable, *, name: str) -> Drawing:
    """A bar for each language and column, intervals as whiskers; `name` as in `curves`."""
    facts, n = metric(table.metric), len(table.columns)
    figure, axes = new_figure(0.32 + len(table.rows) * (0.19 + 0.135 * n))
    thickness = 0.76 / n
    for index in range(n):
        for place, row in enumerate(table.rows):
            score = row.scores[index]
            if score is None or not math.isfinite(score.value):
                continue
            y = place - 0.38 + thickness * (index + 0.5)
            axes.barh(y, score.value * facts.scale, thickness * 0.86, color=_column_colour(index, n))
            if score.low is not None and score.high is not None:
                bounds = [score.low * facts.scale, score.high * facts.scale]
                axes.plot(bounds, [y, y], color=INK, linewidth=0.9, solid_capstyle="butt")
    language_axis(axes, [row.name for row in table.rows])
    keys = [Key(column, VARIABLES[_column_colour(i, n)]) for i, column in enumerate(table.columns)]
    title = " ".join(filter(None, [task_label(table.task), facts.label, "by language"]))
    described = "; ".join(
        f"{row.name}: {', '.join(shown(table.metric, value) for value in row.values)}" for row in table.rows
    )
    return finished(
        figure,
        title,
        f"{title}, {', '.join(table.columns)}. {described}.",
        name=name,
        legend=keys if n > 1 else (),
    )


@in_our_style
def share_bars(table: MixtureTable, *, name: str) -> Drawing:
    """Realised shares as bars and requested ones as marks across them, in percent; `name` as in `curves`."""
    figure, axes = new_figure(0.32 + len(table.rows) * 0.29)
    for place, row in enumerate(table.rows):
        if row.realised is not None:
            axes.barh(place, row.realised * 100, 0.62, color=COLOURS[0])
        if row.requested is not None:
            x = row.requested * 100
            axes.plot([x, x], [place - 0.43, place + 0.43], color=INK, linewidth=1.6, solid_capstyle="butt")
    language_axis(axes, [row.name for row in table.rows])
    keys = [Key("realised", VARIABLES[COLOURS[0]]), Key("requested", VARIABLES[INK], "mark")]
    title = f"share of tokens, {table.phase}, in percent"
    described = "; ".join(
        f"{row.name}: requested {_percent(row.requested)}, realised {_percent(row.realised)}"
        for row in table.rows
    )
    return finished(figure, title, f"{title}. {described}.", name=name, legend=keys)


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share * 100:.1f}"


def _colours(drawn: Curves, order: Sequence[str]) -> list[str]:
    """The total loss in ink, what it is made of and languages in colours of their own."""
    names = [
        name for name in in_order([*order, *(s.name for s in drawn.series)]) if not _is_total(drawn, name)
    ]
    return [
        INK if _is_total(drawn, series.name) else COLOURS[names.index(series.name) % len(COLOURS)]
        for series in drawn.series
    ]


def _is_total(drawn: Curves, name: str) -> bool:
    return drawn.metric is None and name == "loss"


def _column_colour(index: int, n: int) -> str:
    """The last column, the result, in the first colour; what it is compared with is plain."""
    if index == n - 1:
        return COLOURS[0]
    return PLAIN if index == 0 else COLOURS[1 + (index - 1) % (len(COLOURS) - 1)]


def _name_the_ends(axes: Axes, drawn: Curves, scale: float, colours: Sequence[str], *, gap: float) -> None:
    """Names at the lines' right ends, moved apart where they would touch; no legend to look up.

    Args:
        gap: between two names, as a share of the axis.
    """
    if len(drawn.series) == 1 and drawn.metric is None:
        return
    low, high = axes.get_ylim()
    ends = [series.values[-1] * scale for series in drawn.series]
    places = _apart(ends, gap=(high - low) * gap, low=low, high=high)
    for series, place, colour in zip(drawn.series, places, colours, strict=True):
        axes.annotate(
            series.name.replace("_", " "),
            xy=(1.0, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(5, 0),
            textcoords="offset points",
            color=colour,
            va="center_baseline",
            annotation_clip=False,
        )
    axes.set_ylim(low, high)


def _apart(values: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Places near the values, at least `gap` from each other, kept between low and high where they fit."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    places = [values[index] for index in order]
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + gap)
    places[-1] = min(places[-1], max(high, low + gap * (len(places) - 1)))
    for index in range(len(places) - 2, -1, -1):
        places[index] = min(places[index], places[index + 1] - gap)
    return [place for _, place in sorted(zip(order, places, strict=True))]


def _whole_steps() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=5, integer=True)


def _title(drawn: Curves) -> str:
    if drawn.metric is None:
        return f"training loss, {drawn.phase}"
    return ", ".join(
        filter(
            None,
            [
                " ".join(filter(None, [task_label(drawn.task), metric(drawn.metric).label])) + " on dev",
                drawn.phase,
            ],
        )
    )


def _in_words(drawn: Curves) -> str:
    name = drawn.metric or "loss"
    return "; ".join(_from_to(series, name) for series in drawn.series) + "."


def _from_to(series: Series, name: str) -> str:
    return (
        f"{series.name} from {shown(name, series.values[0])} at step {series.steps[0]}"
        f" to {shown(name, series.values[-1])} at step {series.steps[-1]}"
    )
