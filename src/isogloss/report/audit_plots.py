"""The figures of an audit: where sentences find their translation, and who pays more for being told worse."""

from __future__ import annotations

from collections.abc import Mapping

from isogloss.report.audit import Audit, Cell, Layers
from isogloss.report.drawing import (
    BAD,
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
    language_axis,
    new_figure,
)
from isogloss.report.numbers import metric, percent, shown

_NUMBERED = 9  # states up to which a cell has room for its number


@in_our_style
def layer_map(found: Layers, *, name: str) -> Drawing:
    """Sentences that find their translation, languages down and states across; `name` as elsewhere."""
    states = len(found.shares[0])
    figure, axes = new_figure(0.5 + 0.24 * len(found.names))
    for row, shares in enumerate(found.shares):
        for column, share in enumerate(shares):
            _filled(axes, row, column, share, numbered=states <= _NUMBERED)
    axes.set_xlim(-0.5, states - 0.5)
    axes.set_ylim(len(found.names) - 0.5, -0.5)
    axes.set_yticks(range(len(found.names)), found.names, color=INK)
    step = max(1, states // 12)
    axes.set_xticks(range(0, states, step), [str(number) for number in range(0, states, step)])
    axes.axvspan(found.best - 0.5, found.best + 0.5, fill=False, edgecolor=INK, linewidth=1.1)
    axes.spines["bottom"].set_visible(False)
    title = f"finds its translation among {found.candidates}, % by state"
    told = "; ".join(
        f"{one}: {', '.join(percent(share, digits=0) for share in shares)}"
        for one, shares in zip(found.names, found.shares, strict=True)
    )
    said = f"{title}, from 0, the embeddings, to {states - 1}. Best on average: {found.best}. {told}."
    return finished(figure, title, said, name=name, legend=[Key("best on average", VARIABLES[INK], "mark")])


def _filled(axes: Axes, row: int, column: int, share: float, *, numbered: bool) -> None:
    from matplotlib.patches import Rectangle

    depth = 0.06 + 0.9 * share
    axes.add_patch(
        Rectangle((column - 0.47, row - 0.44), 0.94, 0.88, color=COLOURS[0], alpha=depth, linewidth=0)
    )
    if numbered:
        ink = PAPER if depth > 0.7 else INK
        axes.text(column, row, f"{share * 100:.0f}", ha="center", va="center", color=ink, fontsize=8)


@in_our_style
def parity_dots(found: Audit, *, name: str) -> Drawing:
    """How well each language is predicted against the tokens it costs; `name` as elsewhere."""
    premium, parity = found.values("premium"), found.values("parity")
    names = [one for one in premium if one in parity]
    figure, axes = new_figure(3.0 + 0.07 * len(names))
    axes.axhline(1, color=QUIET, linewidth=0.8)
    axes.axvline(1, color=QUIET, linewidth=0.8)
    for one in names:
        across, up = _value(premium[one]), _value(parity[one])
        weak = premium[one].weak or parity[one].weak
        axes.plot(
            [across], [up], marker="s" if weak else "o", markersize=5, color=BAD if weak else COLOURS[0]
        )
    axes.set_xlabel("premium: tokens, of the source's")
    axes.set_ylabel("information parity")
    axes.spines["left"].set_visible(True)
    axes.margins(0.18, 0.12)
    _named(axes, {one: (_value(premium[one]), _value(parity[one])) for one in names})
    title = f"cost and prediction of the same sentences, {found.source} at 1 and 1"
    told = "; ".join(
        f"{one}: {shown('premium', _value(premium[one]))} and {shown('parity', _value(parity[one]))}"
        for one in names
    )
    keys = [Key("weak (square)", VARIABLES[BAD]), Key("not weak", VARIABLES[COLOURS[0]])]
    return finished(figure, title, f"{title}. {told}.", name=name, legend=keys)


def _named(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Names beside their points; one that would lie on another moves down, with a line to its point."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    width, height = (right - left) * _LABEL[0], (top - bottom) * _LABEL[1]
    taken: list[tuple[float, float, float]] = []
    for name, (across, up) in sorted(points.items(), key=lambda item: -item[1][1]):
        long, place = width * (len(name) + 1), up
        while any(
            abs(place - other) < height and across < end and begin < across + long
            for begin, end, other in taken
        ):
            place -= height / 4
        taken.append((across, across + long, place))
        line = {"arrowstyle": "-", "color": QUIET, "linewidth": 0.5} if up - place > height else None
        axes.annotate(
            name,
            (across, up),
            xytext=(across + width, place),
            fontsize=7.5,
            color=INK,
            va="center",
            arrowprops=line,
        )
    axes.set_xlim(left, right)
    axes.set_ylim(min(bottom, *(place - height for *_, place in taken)), top)


_LABEL = (0.017, 0.045)  # of the axes: a letter's width, a line's height


def _value(cell: Cell) -> float:
    assert cell.score is not None
    return cell.score.value


@in_our_style
def measure_dots(found: Audit, key: str, *, name: str) -> Drawing:
    """A measure of every language with its interval, weak ones in colour and square; `name` as elsewhere."""
    cells = found.values(key)
    column = next(one for one in found.columns if one.key == key)
    scale = metric(column.metric).scale
    ordered = sorted(cells.items(), key=lambda pair: -_value(pair[1]))
    figure, axes = new_figure(0.4 + 0.22 * len(ordered))
    for place, (_, cell) in enumerate(ordered):
        score, colour = cell.score, BAD if cell.weak else COLOURS[0]
        assert score is not None
        if score.low is not None and score.high is not None:
            axes.plot([score.low * scale, score.high * scale], [place, place], color=colour, linewidth=1.5)
        mark = "s" if cell.weak else "o"
        axes.plot([score.value * scale], [place], marker=mark, markersize=5, color=colour, linestyle="none")
    language_axis(axes, [one for one, _ in ordered])
    title = f"{column.label} with 95 % intervals"
    told = "; ".join(
        f"{one}: {shown(column.metric, _value(cell))}{', weak' if cell.weak else ''}" for one, cell in ordered
    )
    keys = [Key("weak (square)", VARIABLES[BAD]), Key("not weak", VARIABLES[COLOURS[0]])]
    return finished(figure, title, f"{title}. {told}.", name=name, legend=keys)
