"""The figures of a levelling: gains and harms, how teachers were judged, who agrees with whom."""

from __future__ import annotations

from collections.abc import Sequence

from isogloss.report.drawing import (
    BAD,
    COLOURS,
    GOOD,
    INK,
    PAPER,
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
from isogloss.report.levelling import Agreement, Effect, Levelling, Teacher
from isogloss.report.numbers import metric, percent, signed, task_label
from isogloss.report.tables import Score

_DOTS = {"good": GOOD, "bad": BAD, "": INK}
_NUMBERED = 10  # languages up to which a cell has room for its number


@in_our_style
def change_dots(found: Levelling, *, name: str) -> Drawing:
    """Each language's change as a dot with its interval, in colour beyond chance; `name` as elsewhere."""
    scale = metric(found.metric).scale
    figure, axes = new_figure(0.4 + 0.25 * len(found.effects))
    axes.axvline(0, color=QUIET, linewidth=1.0)
    for place, effect in enumerate(found.effects):
        _dot(axes, place, effect.change, scale, _DOTS[effect.tone])
    language_axis(axes, [effect.name for effect in found.effects])
    axes.set_xlim(*_around_zero(found.effects, scale))
    label = " ".join(filter(None, [task_label(found.task), metric(found.metric).label]))
    title = f"change of {label} with 95 % intervals"
    described = "; ".join(_changed(effect, found.metric) for effect in found.effects)
    keys = [
        Key("gained", VARIABLES[GOOD]),
        Key("harmed", VARIABLES[BAD]),
        Key("within chance", VARIABLES[INK]),
    ]
    return finished(figure, title, f"{title}. {described}.", name=name, legend=keys)


def _changed(effect: Effect, name: str) -> str:
    change = effect.change
    bounds = f"{signed(name, change.low)} to {signed(name, change.high)}"
    verdict = {"good": ", gained", "bad": ", harmed", "": ""}[effect.tone]
    return f"{effect.name}: {signed(name, change.value)} ({bounds}){verdict}"


def _around_zero(effects: Sequence[Effect], scale: float) -> tuple[float, float]:
    """Bounds that hold every interval and 0, with a little room."""
    ends = [0.0, *(bound * scale for one in effects for bound in (one.change.low, one.change.high) if bound)]
    room = 0.06 * (max(ends) - min(ends)) or 1.0
    return min(ends) - room, max(ends) + room


@in_our_style
def judge_dots(found: Levelling, *, name: str) -> Drawing:
    """The score each language was chosen by, teachers in colour, and the threshold; `name` as elsewhere."""
    figure, axes = new_figure(0.4 + 0.25 * len(found.teachers))
    for place, teacher in enumerate(found.teachers):
        colour = COLOURS[0] if teacher.role == "teaches" else PLAIN
        _dot(axes, place, teacher.score, 1.0, colour)
    if found.threshold is not None:
        axes.axvline(found.threshold, color=INK, linewidth=1.2)
    language_axis(axes, [teacher.name for teacher in found.teachers])
    lowest = min(teacher.score.low or teacher.score.value for teacher in found.teachers)
    axes.set_xlim(left=max(0.0, lowest - 0.1))
    title = "score by which teachers were chosen, with 95 % intervals"
    described = "; ".join(_judged(teacher) for teacher in found.teachers)
    limit = "" if found.threshold is None else f" Threshold {found.threshold:.3f}."
    keys = [Key("teaches", VARIABLES[COLOURS[0]]), Key("learns", VARIABLES[PLAIN])]
    keys += [Key("threshold", VARIABLES[INK], "mark")] if found.threshold is not None else []
    return finished(figure, title, f"{title}. {described}.{limit}", name=name, legend=keys)


def _judged(teacher: Teacher) -> str:
    return f"{teacher.name}: {teacher.score.value:.3f}, {teacher.role}"


def _dot(axes: Axes, place: int, score: Score, scale: float, colour: str) -> None:
    if score.low is not None and score.high is not None:
        axes.plot([score.low * scale, score.high * scale], [place, place], color=colour, linewidth=1.5)
    axes.plot([score.value * scale], [place], marker="o", markersize=5.5, color=colour, linestyle="none")


@in_our_style
def agreement_map(found: Agreement, *, name: str) -> Drawing:
    """Who agrees with whom as a map of cells, the fuller the more often; `name` as elsewhere."""
    number = len(found.names)
    side = min(0.42, 3.4 / number)
    figure, axes = new_figure(side * number + 0.45)
    for row, shares in enumerate(found.shares):
        for column, share in enumerate(shares):
            _cell(axes, row, column, _depth(share, found.lowest), share if number <= _NUMBERED else None)
    axes.set_xlim(-0.5, number - 0.5)
    axes.set_ylim(number - 0.5, -0.5)
    axes.set_yticks(range(number), found.names, color=INK)
    axes.set_xticks(range(number), found.codes, rotation=90 if number > _NUMBERED else 0)
    axes.spines["bottom"].set_visible(False)
    title = f"same answer, {found.when}"
    rows = "; ".join(
        f"{one}: {', '.join(f'{percent(share, digits=0)}' for share in shares)}"
        for one, shares in zip(found.names, found.shares, strict=True)
    )
    return finished(
        figure, title, f"{title}, each language with {', '.join(found.names)}. {rows}.", name=name
    )


def _depth(share: float, lowest: float) -> float:
    """How full a cell is, from nearly empty for the lowest share before or after."""
    return 0.06 + 0.9 * (share - lowest) / (1 - lowest) if lowest < 1 else 0.96


def _cell(axes: Axes, row: int, column: int, depth: float, share: float | None) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, color=COLOURS[0], alpha=depth, linewidth=0)
    )
    if share is not None:
        ink = PAPER if depth > 0.8 else INK
        axes.text(column, row, f"{share * 100:.0f}", ha="center", va="center", color=ink, fontsize=8)
