"""Figures as inline SVG: matplotlib draws, then colours become the page's and text stays text.

matplotlib gets stand-in colours, one for each role; in the finished SVG they are replaced by `currentColor`
and the page's CSS variables, so a figure follows light and dark mode without being drawn twice. The same
data gives the same bytes.
"""

from __future__ import annotations

import functools
import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, ParamSpec, TypeAlias

from isogloss.report.curves import Curves, Series
from isogloss.report.measurements import in_order
from isogloss.report.numbers import metric, shown, task_label
from isogloss.report.tables import MixtureTable, ScoreTable

Axes: TypeAlias = Any  # matplotlib.axes.Axes; matplotlib is imported late

_INK, _QUIET, _LINE, _PLAIN = "#010101", "#010102", "#010103", "#010104"
_COLOURS = tuple(f"#0201{number:02x}" for number in range(1, 9))
_VARIABLES = {
    _INK: "currentColor",
    _QUIET: "var(--quiet)",
    _LINE: "var(--line)",
    _PLAIN: "var(--s0)",
    **{colour: f"var(--s{number})" for number, colour in enumerate(_COLOURS, 1)},
}
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "isogloss",
    "text.parse_math": False,
    "font.size": 9,
    "axes.edgecolor": _LINE,
    "axes.linewidth": 0.8,
    "axes.labelcolor": _QUIET,
    "axes.unicode_minus": True,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": _LINE,
    "grid.linewidth": 0.7,
    "text.color": _INK,
}
_WIDTH = 4.7  # inches; 338 points, narrower than a phone, so that text is not shrunk there


@dataclass(frozen=True)
class Key:
    """One entry of a legend: a CSS colour and what it stands for, drawn as a bar or as a mark."""

    label: str
    colour: str
    shape: Literal["bar", "mark"] = "bar"


@dataclass(frozen=True)
class Drawing:
    """A figure ready to stand in a page.

    The legend is the page's to write, where names of any length can wrap.

    Attributes:
        title: short, for its caption.
        description: what it shows, in words, for those who do not see it.
        svg: an `<svg>` element with title and desc; its colours are CSS variables of the page.
    """

    title: str
    description: str
    svg: str
    legend: tuple[Key, ...] = ()


Arguments = ParamSpec("Arguments")


def _in_our_style(draw: Callable[Arguments, Drawing]) -> Callable[Arguments, Drawing]:
    """Draw with our settings from the first axis to the file: matplotlib makes ticks as late as it can."""

    @functools.wraps(draw)
    def styled(*args: Arguments.args, **named: Arguments.kwargs) -> Drawing:
        from matplotlib import rc_context

        with rc_context(_SETTINGS):
            return draw(*args, **named)

    return styled


@_in_our_style
def curves(drawn: Curves, *, name: str, order: Sequence[str] = ()) -> Drawing:
    """Loss curves, or development scores by language, against steps.

    Args:
        name: unique within the page; ids inside the SVG begin with it.
        order: names of series over several figures: the same place gives the same colour in each.
    """
    colours = _colours(drawn, order)
    scale = metric(drawn.metric).scale if drawn.metric else 1.0
    figure, axes = _figure(2.75)
    for series, colour in zip(drawn.series, colours, strict=True):
        main = len(drawn.series) == 1 or drawn.metric is not None or series.name == "loss"
        values = [value * scale for value in series.values]
        axes.plot(series.steps, values, color=colour, linewidth=1.7 if main else 1.1, solid_capstyle="round")
    _name_the_ends(axes, drawn, scale, colours)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(_whole_steps())
    title = _title(drawn)
    return _drawing(figure, title, f"{title}. {_in_words(drawn)}", name=name)


@_in_our_style
def score_bars(table: ScoreTable, *, name: str) -> Drawing:
    """A bar for each language and column, intervals as whiskers; `name` as in `curves`."""
    facts, n = metric(table.metric), len(table.columns)
    figure, axes = _figure(0.32 + len(table.rows) * (0.19 + 0.135 * n))
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
                axes.plot(bounds, [y, y], color=_INK, linewidth=0.9, solid_capstyle="butt")
    _language_axis(axes, [row.name for row in table.rows])
    keys = [Key(column, _VARIABLES[_column_colour(i, n)]) for i, column in enumerate(table.columns)]
    title = " ".join(filter(None, [task_label(table.task), facts.label, "by language"]))
    described = "; ".join(
        f"{row.name}: {', '.join(shown(table.metric, value) for value in row.values)}" for row in table.rows
    )
    return _drawing(
        figure,
        title,
        f"{title}, {', '.join(table.columns)}. {described}.",
        name=name,
        legend=keys if n > 1 else (),
    )


@_in_our_style
def share_bars(table: MixtureTable, *, name: str) -> Drawing:
    """Realised shares as bars and requested ones as marks across them, in percent; `name` as in `curves`."""
    figure, axes = _figure(0.32 + len(table.rows) * 0.29)
    for place, row in enumerate(table.rows):
        if row.realised is not None:
            axes.barh(place, row.realised * 100, 0.62, color=_COLOURS[0])
        if row.requested is not None:
            x = row.requested * 100
            axes.plot([x, x], [place - 0.43, place + 0.43], color=_INK, linewidth=1.6, solid_capstyle="butt")
    _language_axis(axes, [row.name for row in table.rows])
    keys = [Key("realised", _VARIABLES[_COLOURS[0]]), Key("requested", _VARIABLES[_INK], "mark")]
    title = f"share of tokens, {table.phase}, in percent"
    described = "; ".join(
        f"{row.name}: requested {_percent(row.requested)}, realised {_percent(row.realised)}"
        for row in table.rows
    )
    return _drawing(figure, title, f"{title}. {described}.", name=name, legend=keys)


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share * 100:.1f}"


def _figure(height: float) -> tuple[Any, Axes]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _colours(drawn: Curves, order: Sequence[str]) -> list[str]:
    """The total loss in ink, what it is made of and languages in colours of their own."""
    names = [
        name for name in in_order([*order, *(s.name for s in drawn.series)]) if not _is_total(drawn, name)
    ]
    return [
        _INK if _is_total(drawn, series.name) else _COLOURS[names.index(series.name) % len(_COLOURS)]
        for series in drawn.series
    ]


def _is_total(drawn: Curves, name: str) -> bool:
    return drawn.metric is None and name == "loss"


def _column_colour(index: int, n: int) -> str:
    """The last column, the result, in the first colour; what it is compared with is plain."""
    if index == n - 1:
        return _COLOURS[0]
    return _PLAIN if index == 0 else _COLOURS[1 + (index - 1) % (len(_COLOURS) - 1)]


def _name_the_ends(axes: Axes, drawn: Curves, scale: float, colours: Sequence[str]) -> None:
    """Names at the lines' right ends, moved apart where they would touch; no legend to look up."""
    if len(drawn.series) == 1 and drawn.metric is None:
        return
    low, high = axes.get_ylim()
    ends = [series.values[-1] * scale for series in drawn.series]
    places = _apart(ends, gap=(high - low) * 0.082, low=low, high=high)
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


def _language_axis(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, color=_INK)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_visible(False)


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


def _drawing(figure: Any, title: str, description: str, *, name: str, legend: Sequence[Key] = ()) -> Drawing:
    stream = io.StringIO()
    # A name in a script that matplotlib's own font lacks is drawn by the reader's browser all the same.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        facts = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=facts)
    return Drawing(
        title, description, _for_the_page(stream.getvalue(), title, description, name), tuple(legend)
    )


def _for_the_page(svg: str, title: str, description: str, name: str) -> str:
    """matplotlib's file as an element: no prologue, own ids, the page's fonts and colours, a text for all."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # This style is meant for the file alone but would reach the whole page.
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub("#0[12]01[0-9a-f]{2}", lambda found: _VARIABLES.get(found[0], found[0]), svg)
    width, height = (float(number) for number in re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2])
    words = f'<title id="{name}-title">{escape(title)}</title>'
    words += f'<desc id="{name}-desc">{escape(description)}</desc>'
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img"'
        f' aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {width:g} {height:g}" width="{width:g}">\n'
        f" {words}"
    )
    return re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1).strip()
