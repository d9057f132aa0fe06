"""Figures as inline SVG: matplotlib draws, then colours become the page's and text stays text.

matplotlib gets stand-in colours, one for each role; in the finished SVG they are replaced by `currentColor`
and the page's CSS variables, so a figure follows light and dark mode without being drawn twice. The same
data gives the same bytes.
"""

from __future__ import annotations

import functools
import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any, Literal, ParamSpec, TypeAlias

Axes: TypeAlias = Any  # matplotlib.axes.Axes; matplotlib is imported late

INK, QUIET, LINE, PLAIN = "#010101", "#010102", "#010103", "#010104"
GOOD, BAD, PAPER = "#010105", "#010106", "#010107"
COLOURS = tuple(f"#0201{number:02x}" for number in range(1, 9))
VARIABLES = {
    INK: "currentColor",
    QUIET: "var(--quiet)",
    LINE: "var(--line)",
    PLAIN: "var(--s0)",
    GOOD: "var(--good)",
    BAD: "var(--bad)",
    PAPER: "var(--paper)",
    **{colour: f"var(--s{number})" for number, colour in enumerate(COLOURS, 1)},
}
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "isogloss",
    "text.parse_math": False,
    "font.size": 9,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.labelcolor": QUIET,
    "axes.unicode_minus": True,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "text.color": INK,
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


def in_our_style(draw: Callable[Arguments, Drawing]) -> Callable[Arguments, Drawing]:
    """Draw with our settings from the first axis to the file: matplotlib makes ticks as late as it can."""

    @functools.wraps(draw)
    def styled(*args: Arguments.args, **named: Arguments.kwargs) -> Drawing:
        from matplotlib import rc_context

        with rc_context(_SETTINGS):
            return draw(*args, **named)

    return styled


def new_figure(height: float) -> tuple[Any, Axes]:
    """A figure as wide as a column of the page, with one pair of axes; `height` in inches."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure, axes


def language_axis(axes: Axes, names: Sequence[str]) -> None:
    """Names down the side, the first one on top; values across begin at 0 or below."""
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_visible(False)


def finished(figure: Any, title: str, description: str, *, name: str, legend: Sequence[Key] = ()) -> Drawing:
    """The figure as an element of the page.

    Args:
        name: unique within the page; ids inside the SVG begin with it.
    """
    stream = io.StringIO()
    # A name in a script that matplotlib's own font lacks is drawn by the reader's browser all the same.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        facts = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=facts)
    return Drawing(
        title, description, _for_the_page(stream.getvalue(), title, description, name), tuple(legend)
    )


def standalone(drawing: Drawing) -> str:
    """A figure as a file of its own, in the page's light colours."""
    css = resources.files("isogloss.report").joinpath("templates", "page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"(--\w+): (#[0-9a-f]{6});", css.partition("}")[0]))
    svg = drawing.svg.replace("currentColor", colours["--ink"])
    svg = re.sub(r"var\((--\w+)\)", lambda found: colours[found[1]], svg)
    style = f"<style>svg {{ background: {colours['--paper']} }} text {{ font-family: sans-serif }}</style>"
    return re.sub(r"(<svg[^>]*>)", rf"\1{style}", svg, count=1) + "\n"


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
    svg = re.sub("#0[12]01[0-9a-f]{2}", lambda found: VARIABLES.get(found[0], found[0]), svg)
    width, height = (float(number) for number in re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2])
    words = f'<title id="{name}-title">{escape(title)}</title>'
    words += f'<desc id="{name}-desc">{escape(description)}</desc>'
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img"'
        f' aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {width:g} {height:g}" width="{width:g}">\n'
        f" {words}"
    )
    return re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1).strip()
