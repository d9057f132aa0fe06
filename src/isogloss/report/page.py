"""One HTML page from run folders alone: no script, nothing fetched, readable on a phone and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from isogloss.core.errors import CheckpointError
from isogloss.core.files import write_text
from isogloss.core.run import RunRecord, read_run
from isogloss.report import numbers
from isogloss.report.audit import Audit, audited
from isogloss.report.audit_plots import layer_map, measure_dots, parity_dots
from isogloss.report.chart_plots import drawing_of
from isogloss.report.curves import Curves, loss_curves, score_curves, throughput
from isogloss.report.drawing import Drawing
from isogloss.report.headline import (
    KeyNumber,
    change_tone,
    deed,
    key_numbers,
    listed,
    number_word,
    run_name,
    sentence,
    took,
)
from isogloss.report.levelling import FILE, Levelling, levelling, watched
from isogloss.report.levelling_plots import agreement_map, change_dots, judge_dots
from isogloss.report.measurements import in_order, language_name, numbered
from isogloss.report.mixing_charts import mixing, run_charts
from isogloss.report.notes import Note, notes
from isogloss.report.numbers import metric
from isogloss.report.plots import curves, score_bars, share_bars
from isogloss.report.samples import SampleGroup, sample_groups
from isogloss.report.tables import (
    MixtureTable,
    ScoreTable,
    SizeTable,
    compare,
    mixture_tables,
    score_tables,
    size_table,
)


@dataclass(frozen=True)
class ScoreView:
    """A score table and its figure; the task's first metric stands open, its others are folded away."""

    table: ScoreTable
    drawing: Drawing
    is_first: bool


@dataclass(frozen=True)
class MixtureView:
    """A mixture ledger and its figure."""

    table: MixtureTable
    drawing: Drawing


@dataclass(frozen=True)
class MixingView:
    """What pretrained mixtures show, and what could not be worked out; both may be empty."""

    drawings: tuple[Drawing, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class LevellingView:
    """What a levelling did, and its figures; `changes` is None where nothing changed or was tested."""

    found: Levelling
    changes: Drawing | None
    judged: Drawing
    agreement: tuple[Drawing, ...]
    watched: tuple[Drawing, ...]


@dataclass(frozen=True)
class AuditView:
    """What an audit found, and its figures."""

    found: Audit
    figures: tuple[Drawing, ...]


@dataclass(frozen=True)
class RunView:
    """Everything the page says about one run.

    `anchor` is the id its section has on the page. `scores` of a pipeline's own view are empty: the page
    compares its stages instead.
    """

    anchor: str
    name: str
    deed: str
    sentence: str
    key_numbers: tuple[KeyNumber, ...]
    notes: tuple[Note, ...]
    levelling: LevellingView | None
    audit: AuditView | None
    scores: tuple[ScoreView, ...]
    sizes: SizeTable
    mixtures: tuple[MixtureView, ...]
    mixing: tuple[Drawing, ...]
    curves: tuple[Drawing, ...]
    throughput: tuple[tuple[str, str], ...]
    samples: tuple[SampleGroup, ...]
    recipe: str
    environment: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PageView:
    """The page: a headline, what several runs compare on, and the runs."""

    title: str
    sentence: str
    key_numbers: tuple[KeyNumber, ...]
    notes: tuple[Note, ...]
    compared: tuple[ScoreView, ...]
    mixing: MixingView
    runs: tuple[RunView, ...]


def render(folders: Sequence[Path], out: Path) -> Path:
    """Write the page of one or more run folders; a pipeline's stages are shown with it.

    Args:
        folders: run folders, in the order to show them; finished, failed or still running.
        out: the HTML file; appears whole, or stays as it was.

    Returns:
        `out`.

    Raises:
        CheckpointError: no folder given, or one that is no run folder.
        StorageError: the disk refused.
    """
    if not folders:
        raise CheckpointError(
            "no run folder was given", wanted="one or more folders that `isogloss run` made"
        )
    write_text(out, page([(folder, stage_folders(folder)) for folder in folders]))
    return out


def stage_folders(folder: Path) -> list[Path]:
    """The run folders of a pipeline's stages, in the recipe's order; [] for other runs."""
    found = {path.parent.name: path.parent for path in sorted((folder / "stages").glob("*/recipe.yaml"))}
    if not found:
        return []
    stages = (read_run(folder).recipe or {}).get("stages")
    named = [name for name in stages if name in found] if isinstance(stages, dict) else []
    return [found[name] for name in in_order([*named, *found])]


def page(runs: Sequence[tuple[Path, Sequence[Path]]]) -> str:
    """The page's HTML.

    Args:
        runs: each run folder with those of its stages.
    """
    view = _page_view([(read_run(folder), [read_run(stage) for stage in stages]) for folder, stages in runs])
    return templates().get_template("page.html.j2").render(page=view)


def templates() -> Any:
    """The templates of all pages, with what they may ask."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("isogloss.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "numbers": numbers,
        "change_tone": change_tone,
        "language_name": language_name,
        "number_word": number_word,
    }
    return environment


_MOST_NAMED = 4  # runs in a headline
_Family = tuple[RunRecord, Sequence[RunRecord]]


def _page_view(families: Sequence[_Family]) -> PageView:
    flat = [run for root, stages in families for run in (root, *stages)]
    together = mixing_view(flat)
    # What the figures of all runs show already is not shown again for each.
    views = tuple(
        _run_view(run, f"run{number}", mixed=not together.drawings) for number, run in enumerate(flat, 1)
    )
    compared = _score_views(compare(_distinct_names(flat)), "compared")
    if len(families) > 1:
        names = [run_name(root) for root, _ in families]
        return PageView(
            listed(names) if len(names) <= _MOST_NAMED else f"{names[0]} and {len(names) - 1} others",
            f"{number_word(len(names)).capitalize()} runs, side by side.",
            (),
            (),
            compared,
            together,
            views,
        )
    root, stages = families[0]
    if not stages:
        view = views[0]
        return PageView(view.name, view.sentence, view.key_numbers, view.notes, (), together, views)
    last = size_table(stages[-1])
    return PageView(
        title=run_name(root),
        sentence=sentence(root, stages=[run_name(stage) for stage in stages]),
        key_numbers=key_numbers(_first_table(stages[-1]), last),
        notes=notes(root, stages=stages),
        compared=compared,
        mixing=together,
        runs=(*views[1:], replace(views[0], notes=())),  # they stand at the top
    )


def mixing_view(runs: Sequence[RunRecord]) -> MixingView:
    """The figures of several pretrainings together.

    Args:
        runs: those of stages among them.
    """
    found = mixing(runs)
    return MixingView(
        tuple(drawing_of(chart, name=f"mixing-{chart.name}") for chart in found.charts), found.missing
    )


def _distinct_names(runs: Sequence[RunRecord]) -> dict[str, RunRecord]:
    """Each run under its folder's name, numbered where two are called the same."""
    return dict(zip(numbered([run_name(run) for run in runs]), runs, strict=True))


def _first_table(run: RunRecord) -> ScoreTable | None:
    return next(iter(score_tables(run)), None)


def _run_view(run: RunRecord, anchor: str, *, mixed: bool) -> RunView:
    sizes = size_table(run)
    stages = stage_folders(run.folder)
    audit = _audit_view(run, anchor)
    said = sentence(run, stages=[stage.name for stage in stages])
    return RunView(
        anchor=anchor,
        name=run_name(run),
        deed=deed(run, stages=[stage.name for stage in stages]),
        sentence=f"{said} {audit.found.headline}" if audit else said,
        key_numbers=key_numbers(_first_table(run), sizes),
        notes=notes(run, stages=[read_run(stage) for stage in stages]),
        levelling=_levelling_view(run, anchor),
        audit=audit,
        scores=_score_views(score_tables(run), anchor),
        sizes=sizes,
        mixtures=tuple(
            MixtureView(table, share_bars(table, name=f"{anchor}-mixture{number}"))
            for number, table in enumerate(mixture_tables(run), 1)
        ),
        mixing=_mixing_drawings(run, anchor) if mixed else (),
        curves=_curve_drawings(run, anchor),
        throughput=tuple((phase, f"{rate:,.0f}") for phase, rate in throughput(run).items()),
        samples=sample_groups(run),
        recipe=yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True, width=96)
        if run.recipe
        else "",
        environment=tuple(_environment_rows(run)),
    )


def _score_views(tables: Sequence[ScoreTable], anchor: str) -> tuple[ScoreView, ...]:
    views: list[ScoreView] = []
    for _, group in groupby(enumerate(tables), key=lambda pair: pair[1].task):
        for place, (number, table) in enumerate(group):
            views.append(ScoreView(table, score_bars(table, name=f"{anchor}-scores{number}"), place == 0))
    return tuple(views)


def _levelling_view(run: RunRecord, anchor: str) -> LevellingView | None:
    found = levelling(run)
    if found is None:
        return None
    name = f"{anchor}-levelling"
    order = [teacher.name for teacher in found.teachers]
    return LevellingView(
        found,
        changes=change_dots(found, name=f"{name}-changes") if found.effects else None,
        judged=judge_dots(found, name=f"{name}-judged"),
        agreement=tuple(
            agreement_map(one, name=f"{name}-agreement{number}")
            for number, one in enumerate(found.agreement, 1)
        ),
        watched=tuple(
            curves(
                drawn,
                name=f"{name}-watched{number}",
                order=order,
                title=metric(str(drawn.metric)).label,
                kept=found.kept_step,
            )
            for number, drawn in enumerate(found.watched, 1)
        ),
    )


def _mixing_drawings(run: RunRecord, anchor: str) -> tuple[Drawing, ...]:
    return tuple(drawing_of(chart, name=f"{anchor}-{chart.name}") for chart in run_charts(run))


def _audit_view(run: RunRecord, anchor: str) -> AuditView | None:
    found = audited(run)
    if found is None:
        return None
    name = f"{anchor}-audit"
    drawn = [layer_map(found.layers, name=f"{name}-layers")] if found.layers else []
    if found.values("premium") and found.values("parity"):
        drawn.append(parity_dots(found, name=f"{name}-parity"))
    taken = [key for key in ("gradient", "behind") if found.values(key)]
    return AuditView(found, (*drawn, *(measure_dots(found, key, name=f"{name}-{key}") for key in taken)))


def _curve_drawings(run: RunRecord, anchor: str) -> tuple[Drawing, ...]:
    """Losses and development scores, phase by phase."""
    measured = score_curves(run)
    if (run.folder / FILE).exists():  # what was watched stands there
        measured = tuple(drawn for drawn in measured if not watched(drawn))
    found = [(drawn, _names(kind)) for kind in (loss_curves(run), measured) for drawn in kind]
    phases = in_order(drawn.phase for drawn, _ in found)
    found.sort(key=lambda pair: phases.index(pair[0].phase))
    return tuple(
        curves(drawn, name=f"{anchor}-curves{number}", order=order)
        for number, (drawn, order) in enumerate(found, 1)
    )


def _names(drawn: Sequence[Curves]) -> list[str]:
    return in_order(series.name for one in drawn for series in one.series)


def _environment_rows(run: RunRecord) -> list[tuple[str, str]]:
    """Status and environment as name and text; nested facts under dotted names."""
    rows = {"state": run.status.get("state", "unknown"), "took": took(run) or "unknown"}
    return [(name, str(value)) for name, value in (*rows.items(), *_flat(run.environment, ""))]


def _flat(facts: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in facts.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return rows
