"""The figures of the language-imbalance papers (2404.07982), from any set of pretrainings."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from isogloss.core.run import RunRecord
from isogloss.report.charts import Chart, Grid, Line, Point, line, over_seeds
from isogloss.report.efficiency import Efficiencies, Law, efficiencies
from isogloss.report.measurements import Measurement, in_order, language_name, measurements
from isogloss.report.mixing import (
    PHASE,
    MixedRun,
    Setting,
    is_monolingual,
    mixed_runs,
    model_names,
    pairs_of,
    settings,
    unfinished,
)
from isogloss.report.numbers import about, metric, task_label

_LAW_POINTS = 60
SHARE = "share of its tokens, percent"


@dataclass(frozen=True)
class Mixing:
    """What some pretrainings show together; all parts may be empty."""

    charts: tuple[Chart | Grid, ...]
    missing: tuple[str, ...]


def mixing(runs: Sequence[RunRecord]) -> Mixing:
    """The charts of several runs; a chart that these runs cannot fill is left out.

    Args:
        runs: stages of pipelines among them, each as a run of its own.
    """
    every = settings(mixed_runs(runs))
    mixed = [one for one in every if not is_monolingual(one.first)]
    if len(every) < 2 or not mixed:
        return Mixing((), ())
    teff = efficiencies(every)
    models = model_names(mixed)
    found = [
        _against_share(mixed, "perplexity-share", "perplexity against share", "perplexity", _perplexity),
        _teff_chart(mixed, teff, by_scale=False),
        _perplexity_by_scale(mixed),
        _teff_chart(mixed, teff, by_scale=True),
        *(_law_chart(law, models[law.model]) for law in teff.laws),
        *layer_charts(mixed),
        *_gradient_maps(mixed),
        *_frequency_charts(mixed),
        _anchor_chart(mixed),
        *_transfer_charts(mixed),
    ]
    begun = unfinished(runs)
    left_out = [f"Left out, for they have not finished: {', '.join(begun)}."] if begun else []
    return Mixing(tuple(one for one in found if one is not None), (*teff.missing, *left_out))


def run_charts(run: RunRecord) -> tuple[Chart | Grid, ...]:
    """The charts of a single pretraining: shares over its steps where they change, and its alignment."""
    one = settings(mixed_runs([run]))
    shares = _shares_over_steps(run)
    return tuple(
        filter(
            None, [shares, *(layer_charts(one, floors=True)), *_gradient_maps(one), *_frequency_charts(one)]
        )
    )


_Value = Callable[[MixedRun, str], float | None]


def _perplexity(run: MixedRun, language: str) -> float | None:
    return run.perplexity.get(language)


def _points(
    found: Sequence[Setting], language: str, x: Callable[[MixedRun], float], value: _Value
) -> list[Point]:
    every = [(one, one.values(lambda run: value(run, language))) for one in found]
    return [over_seeds(one.mean(x), values) for one, values in every if values]


def _percent_of(language: str) -> Callable[[MixedRun], float]:
    return lambda run: 100 * run.share(language)


def _against_share(found: Sequence[Setting], name: str, title: str, y: str, value: _Value) -> Chart | None:
    """A line for each language and kind of run; runs whose shares change stand as points of their own."""
    lines = []
    for kind, same in _kinds(found):
        for language in _languages(same):
            if points := _points(same, language, _percent_of(language), value):
                label = ", ".join(filter(None, [language_name(language), kind]))
                lines.append(line(label, points, joined=not same[0].first.schedule))
    return _chart(name, title, SHARE, y, lines)


def _kinds(found: Sequence[Setting]) -> Iterator[tuple[str, list[Setting]]]:
    """Settings that one line may join: as many tokens, languages and anchors; and what they are called."""
    models = model_names(found)

    def facts(one: Setting) -> tuple[str, ...]:
        run = one.first
        return (
            models[run.model],
            f"{about(run.total)} tokens",
            f"{len(run.tokens)} languages",
            "" if run.anchors is None else f"{100 * run.anchors:.3g} % anchors",
            run.schedule,
        )

    every = {one.name: facts(one) for one in found}
    varies = [len({row[place] for row in every.values()}) > 1 for place in range(5)]
    for kind in in_order(every.values()):
        told = [word for word, tell in zip(kind, varies, strict=True) if tell and word]
        yield ", ".join(told), [one for one in found if every[one.name] == kind]


def _languages(found: Sequence[Setting]) -> list[str]:
    return in_order(tag for one in found for tag in one.first.languages)


def _teff_chart(found: Sequence[Setting], teff: Efficiencies, *, by_scale: bool) -> Chart | None:
    title = "token efficiency against tokens" if by_scale else "token efficiency against share"
    grouped: dict[str, list[Point]] = {}
    loose: set[str] = set()
    for kind, same in _by_mixture(found) if by_scale else _kinds(found):
        for one in same:
            for tag in one.first.languages:
                if told := teff.found.get((one.name, tag)):
                    x = one.mean((lambda run: run.total) if by_scale else _percent_of(tag))
                    label = ", ".join(filter(None, [language_name(tag), kind]))
                    value, low, high = told.teff
                    bounds = (None, None) if math.isnan(low) else (low, high)
                    grouped.setdefault(label, []).append(Point(x, value, *bounds))
                    loose |= {label} if one.first.schedule and not by_scale else set()
    lines = [line(name, points, joined=name not in loose) for name, points in grouped.items()]
    if by_scale:
        lines = [one for one in lines if len({point.x for point in one.points}) > 1]
    name = "efficiency-tokens" if by_scale else "efficiency-share"
    x_label = "tokens of all languages" if by_scale else SHARE
    return _chart(name, title, x_label, "token efficiency", lines, log_x=by_scale, level=1.0)


def _by_mixture(found: Sequence[Setting]) -> Iterator[tuple[str, list[Setting]]]:
    """Settings that differ in how long they learn, for lines along it; and what they are called."""
    models = model_names(found)

    def kind(one: Setting) -> str:
        run = one.first
        anchors = f"{100 * run.anchors:.3g} % anchors" if run.anchors else ""
        return ", ".join(filter(None, [models[run.model], run.mixture, anchors]))

    yield from _grouped(found, kind)


def _grouped(found: Sequence[Setting], kind: Callable[[Setting], str]) -> Iterator[tuple[str, list[Setting]]]:
    for told in in_order(map(kind, found)):
        yield told, [one for one in found if kind(one) == told]


def _perplexity_by_scale(found: Sequence[Setting]) -> Chart | None:
    lines = []
    for kind, same in _by_mixture(found):
        for language in _languages(same):
            points = _points(same, language, lambda run: run.total, _perplexity)
            if len({point.x for point in points}) > 1:
                lines.append(line(f"{language_name(language)}, {kind}", points))
    title = "perplexity against tokens"
    return _chart("perplexity-tokens", title, "tokens of all languages", "perplexity", lines, log_x=True)


def _law_chart(law: Law, model: str) -> Chart:
    """The monolingual runs, the law through them, and a band of laws of resampled runs.

    Args:
        model: what to call it where there are several; "" for none.
    """
    name = language_name(law.language)
    x = np.geomspace(min(law.tokens), max(law.tokens), _LAW_POINTS)
    fitted = [_on_the_law(law, float(tokens)) for tokens in x]
    runs = [Point(*pair) for pair in zip(law.tokens, law.perplexities, strict=True)]
    lines = [line("law, 95 %", fitted, band=True), line("monolingual runs", runs, joined=False)]
    title = ", ".join(filter(None, [f"scaling law of {name}", model]))
    made = _chart(
        _file_name("law", law.language, model), title, f"tokens of {name}", "perplexity", lines, log_x=True
    )
    assert made
    return made


def _on_the_law(law: Law, tokens: float) -> Point:
    value, low, high = law.fit.mlpe(tokens)
    return Point(tokens, value, *((None, None) if math.isnan(low) else (low, high)))


def layer_charts(found: Sequence[Setting], *, floors: bool = False) -> Iterator[Chart | None]:
    """Cosine of hidden states by layer, as it is and with the mean taken out.

    Args:
        floors: what tokens that do not belong together have, beside it.
    """
    for end, words in (("", "cosine by layer"), ("_centred", "cosine by layer, without the mean")):
        names = [f"hidden_cosine{end}", *([f"hidden_cosine_floor{end}"] if floors else [])]
        lines = [
            found_line
            for name in names
            for found_line in _along(found, name, lambda m: m.layer, says="floor" if "floor" in name else "")
        ]
        yield _chart(f"cosine-layer{end.replace('_', '-')}", words, "layer", "cosine", lines)


def _along(
    found: Sequence[Setting],
    name: str,
    place: Callable[[Measurement], float | None],
    *,
    says: str = "",
    part: str | None = None,
) -> Iterator[Line]:
    """A measure of alignment along something, for each setting and pair of languages."""
    several = len({pair for one in found for pair in pairs_of(one.first)}) > 1
    for one in found:
        for pair in pairs_of(one.first):
            values: dict[float, list[float]] = {}
            for run in one.runs:
                for m in run.aligned:
                    x = place(m)
                    if (
                        m.metric == name
                        and (m.language, m.other) == pair
                        and m.part == part
                        and x is not None
                    ):
                        values.setdefault(x, []).append(m.value)
            if values:
                told = f"{language_name(pair[0])} and {language_name(pair[1])}" if several else ""
                label = ", ".join(filter(None, [one.name if len(found) > 1 else "", told, says or part]))
                yield line(label or "cosine", [over_seeds(x, seen) for x, seen in values.items()])


def _gradient_maps(found: Sequence[Setting]) -> Iterator[Grid | None]:
    """Cosine of two languages' gradients: settings down, kinds of tensor or layers across."""
    rows = [(one, pair) for one in found for pair in pairs_of(one.first)]
    several = len({pair for _, pair in rows}) > 1
    for across, place in (("part", _part), ("layer", _layer)):
        columns = in_order(
            p for one in found for run in one.runs for m in run.aligned
            if m.metric == "gradient_cosine" and (p := place(m)) is not None
        )  # fmt: skip
        if not columns:
            continue
        values = tuple(tuple(_cell(one, pair, place, column) for column in columns) for one, pair in rows)
        names = tuple(_row_name(one, pair, several=several) for one, pair in rows)
        yield Grid(f"gradients-{across}", f"cosine of gradients by {across}", names, tuple(columns), values)


def _part(m: Measurement) -> str | None:
    return m.part


def _layer(m: Measurement) -> str | None:
    return None if m.layer is None else str(m.layer)


def _cell(
    one: Setting, pair: tuple[str, str], place: Callable[[Measurement], str | None], column: str
) -> float:
    seen = [
        m.value
        for run in one.runs
        for m in run.aligned
        if m.metric == "gradient_cosine" and (m.language, m.other) == pair and place(m) == column
    ]
    return sum(seen) / len(seen) if seen else math.nan


def _row_name(one: Setting, pair: tuple[str, str], *, several: bool) -> str:
    return f"{one.name}, {language_name(pair[0])} and {language_name(pair[1])}" if several else one.name


def _frequency_charts(found: Sequence[Setting]) -> Iterator[Chart | None]:
    """Cosine of the rows of the same pieces, by how often they were read."""
    for part in ("input", "output"):
        lines = list(_along(found, "embedding_cosine", lambda m: m.frequency, part=part))
        title = f"cosine of {part} rows by frequency"
        yield _chart(f"frequency-{part}", title, "occurrences in training", "cosine", lines, log_x=True)


def _anchor_chart(found: Sequence[Setting]) -> Chart | None:
    """The mean perplexity of clones against the share of pieces they have in common.

    Of real languages other shares of the pieces are other vocabularies, and perplexities do not compare.
    """
    known = [one for one in found if one.first.anchors is not None and one.first.cloned]
    if len({one.first.anchors for one in known}) < 2:
        return None
    lines = []
    for kind, same in _by_budget(known):
        points = [
            over_seeds(100 * (one.first.anchors or 0.0), values)
            for one in same
            if (values := one.values(_mean_perplexity))
        ]
        lines.append(line(kind, points))
    title = "mean perplexity of the languages against anchors"
    return _chart("anchors", title, "pieces in common, percent", "perplexity", lines)


def _by_budget(found: Sequence[Setting]) -> Iterator[tuple[str, list[Setting]]]:
    """Settings with the same shares of as many tokens."""
    models = model_names(found)

    def kind(one: Setting) -> str:
        tokens = f"{about(one.first.total)} tokens"
        return ", ".join(filter(None, [models[one.first.model], one.first.mixture, tokens]))

    yield from _grouped(found, kind)


def _mean_perplexity(run: MixedRun) -> float | None:
    values = [run.perplexity[tag] for tag in run.languages if tag in run.perplexity]
    return sum(values) / len(values) if values else None


def _transfer_charts(found: Sequence[Setting]) -> Iterator[Chart | None]:
    """Scores after fine-tuning in one language, tested in each, against the share of what was tested."""
    kinds = in_order((t.task, t.metric, t.source) for one in found for run in one.runs for t in run.transfers)
    tasks = [task for task, _, _ in kinds]
    for task, name, source in kinds:
        facts = metric(name)

        def value(
            run: MixedRun, tag: str, *, wanted: tuple[str, str, str | None] = (task, name, source)
        ) -> float | None:
            scores = [t.scores.get(tag) for t in run.transfers if (t.task, t.metric, t.source) == wanted]
            return None if not scores or scores[0] is None else metric(wanted[1]).scale * scores[0]

        learnt = f", learnt in {language_name(source)}" if source else ""
        title = f"{task_label(task)} {facts.label}{learnt}, against share"
        apart = (name, source or "several") if tasks.count(task) > 1 else ()
        yield _against_share(found, _file_name("transfer", task, *apart), title, facts.label, value)


def _shares_over_steps(run: RunRecord) -> Chart | None:
    """What share of the tokens each language had between two looks at the ledger, where shares change."""
    if not run.recipe.get("schedule"):
        return None
    counts = _counted(run)
    points: dict[str, list[Point]] = {}
    before, had = 0, dict[str, float]()
    for step in sorted(counts):
        new = {tag: tokens - had.get(tag, 0.0) for tag, tokens in counts[step].items()}
        total = sum(new.values())
        for tag, tokens in new.items() if total > 0 else ():
            points.setdefault(tag, []).extend(Point(place, 100 * tokens / total) for place in (before, step))
        before, had = step, counts[step]
    lines = [line(language_name(tag), found) for tag, found in points.items()]
    return _chart("shares-steps", "shares along the training", "step", "share of tokens, percent", lines)


def _counted(run: RunRecord) -> dict[int, dict[str, float]]:
    """By step, the tokens of each language up to there; at the end of each stage too."""
    found: dict[int, dict[str, float]] = {}
    so_far: dict[str, float] = {}
    for m in measurements(run, per_language=True):
        if m.phase == PHASE and m.metric == "tokens":
            found.setdefault(m.step, {})[str(m.language)] = m.value
        elif m.phase == PHASE and m.metric == "stage_tokens":
            so_far[str(m.language)] = so_far.get(str(m.language), 0.0) + m.value
            found.setdefault(m.step, {})[str(m.language)] = so_far[str(m.language)]
    return found


def _file_name(*parts: str) -> str:
    return "-".join(re.sub(r"[^\w.]+", "-", part).strip("-") for part in parts if part)


def _chart(
    name: str,
    title: str,
    x: str,
    y: str,
    lines: Sequence[Line],
    *,
    log_x: bool = False,
    level: float | None = None,
) -> Chart | None:
    """A chart; None where no line has a point."""
    drawn = [one for one in lines if one.points]
    if not drawn:
        return None
    return Chart(name, title, x, y, tuple(drawn), log_x, level)
