"""The model card of a run: what a stranger needs to know before loading the model, as Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from isogloss.core.files import write_text
from isogloss.core.run import RunRecord, read_run
from isogloss.report import numbers
from isogloss.report.audit import Audit, audited
from isogloss.report.headline import run_name, sentence
from isogloss.report.levelling import Levelling, levelling
from isogloss.report.measurements import in_order, language_name
from isogloss.report.notes import notes
from isogloss.report.tables import Score, ScoreTable, SizeTable, mixture_tables, score_tables, size_table


def write_card(folder: Path, out: Path | None = None) -> Path:
    """Write the card of a run folder.

    Args:
        folder: a run folder, finished or not.
        out: the file; None writes `card.md` into the folder.

    Returns:
        The file written.

    Raises:
        CheckpointError: not a run folder.
    """
    out = out or folder / "card.md"
    write_text(out, card(read_run(folder)))
    return out


def card(run: RunRecord) -> str:
    """The card's Markdown, with the front matter that the Hub reads."""
    parts = [
        _front_matter(run),
        f"# {_plain(run_name(run))}",
        _plain(sentence(run)),
        *(f"> **{note.title}** {_plain(note.detail)}" for note in notes(run)),
        *levelling_section(levelling(run)),
        *audit_section(audited(run)),
        *score_sections(score_tables(run)),
        *size_section(size_table(run)),
        *_mixtures(run),
        *_recipe(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(run: RunRecord) -> str:
    tags = [row.language for table in score_tables(run) for row in table.rows]
    tags += [row.language for table in mixture_tables(run) for row in table.rows]
    codes = in_order(tag.partition("-")[0] for tag in tags)
    languages = [code for code in codes if re.fullmatch("[a-z]{2,3}", code)]
    facts: dict[str, object] = {"library_name": "transformers", "tags": ["isogloss"]}
    if method := run.recipe.get("method"):
        facts["tags"] = ["isogloss", str(method)]
    if languages:
        facts = {"language": languages} | facts
    return f"---\n{yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)}---"


def levelling_section(found: Levelling | None) -> list[str]:
    """Markdown of what levelling did; [] for a run that did not level."""
    if found is None:
        return []
    effects = [
        [
            f"{one.name} ({one.role})",
            numbers.shown(found.metric, one.before),
            numbers.shown(found.metric, one.after),
            _change(found.metric, one.change),
            {"good": "gained", "bad": "harmed", "": ""}[one.tone],
        ]
        for one in found.effects
    ]
    spread = [
        [
            row.label,
            *(numbers.shown(row.metric, score.value) for score in (row.before, row.after) if score),
            *([_change(row.metric, row.change)] if row.change else []),
            "",
        ]
        for row in found.spread
        if row.change
    ]
    label = f"{numbers.task_label(found.task)} {numbers.metric(found.metric).label}".strip()
    heads = [label, "before", "after", "change (95 % interval)", ""]
    said = " ".join([*found.sentences, *found.selected])
    return ["## Levelling", _plain(said), *([_grid(heads, effects + spread)] if effects else [])]


def audit_section(found: Audit | None) -> list[str]:
    """Markdown of what an audit found; [] for a run that was none."""
    if found is None:
        return []
    lines = [
        [
            _name(row.name, row.is_source),
            *(
                numbers.shown(column.metric, cell.score.value if cell.score else None)
                + (" (weak)" if cell.weak else "")
                for column, cell in zip(found.columns, row.cells, strict=True)
            ),
        ]
        for row in found.rows
    ]
    advice = []
    for number, one in enumerate(found.suggestions, 1):
        said = f"{one.means} ({'; '.join(one.evidence)}.) {one.remedy}"
        advice.append(f"{number}. **{_plain(one.title)}**: {_plain(said)}")
    table = _grid(["", *(column.label for column in found.columns)], lines)
    return ["## Audit", _plain(" ".join([found.headline, *found.read])), *advice, table]


def _change(name: str, change: Score) -> str:
    if change.low is None or change.high is None:
        return numbers.signed(name, change.value)
    low, high = (numbers.signed(name, bound) for bound in (change.low, change.high))
    return f"{numbers.signed(name, change.value)} ({low} to {high})"


def score_sections(tables: Sequence[ScoreTable]) -> list[str]:
    """Markdown of score tables under one heading; [] for none."""
    return (
        ["## Scores by language", *(part for table in tables for part in _score_table(table))]
        if tables
        else []
    )


def _score_table(table: ScoreTable) -> list[str]:
    facts, several = numbers.metric(table.metric), len(table.columns) > 1
    lower = ", lower is better" if facts.better == "lower" else ""
    title = f"{numbers.task_label(table.task)} {facts.label} on {table.split} data{lower}".strip()
    lines = [
        [_name(row.name, row.language == table.source), *(numbers.shown(table.metric, v) for v in row.values)]
        + ([numbers.signed(table.metric, row.change)] if several else [])
        for row in table.rows
    ]
    overall = [
        [row.label, *map(_with_language, (numbers.shown(table.metric, v) for v in row.values), row.languages)]
        + ([numbers.signed(table.metric, row.change)] if several else [])
        for row in table.disparity
    ]
    heads = ["", *table.columns, *(["change"] if several else [])]
    note = f"Overall numbers are over the {len(table.compared)} languages that every column has."
    partial = table.disparity and len(table.compared) < len(table.rows)
    return [f"**{_plain(title)}**", _grid(heads, lines + overall), *([note] if partial else [])]


def _name(name: str, is_source: bool) -> str:
    return f"{name} (source)" if is_source else name


def _with_language(value: str, tag: str | None) -> str:
    return f"{value} ({language_name(tag)})" if tag else value


def size_section(table: SizeTable) -> list[str]:
    """Markdown of a size table under its heading; [] for an empty one."""
    if not table.rows:
        return []
    reference = [f"of the {table.reference}"] if table.reference else []
    heads = ["", "parameters", *reference, "size", "layers", "width", "vocabulary"]
    lines = [
        [row.name, numbers.count(row.parameters)]
        + ([numbers.percent(row.share)] if table.reference else [])
        + [numbers.megabytes(row.bytes), *map(numbers.whole, (row.layers, row.hidden, row.vocabulary))]
        for row in table.rows
    ]
    return ["## Sizes", _grid(heads, lines)]


def _mixtures(run: RunRecord) -> list[str]:
    parts: list[str] = []
    for table in mixture_tables(run):
        lines = [[r.name, numbers.percent(r.requested), numbers.percent(r.realised)] for r in table.rows]
        parts += [f"**{_plain(table.phase)}**", _grid(["share of tokens", "requested", "realised"], lines)]
    return ["## Training mixture", *parts] if parts else []


def _recipe(run: RunRecord) -> list[str]:
    text = yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True) if run.recipe else ""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    packages = run.environment.get("packages", {})
    return [
        "## How it was made",
        "The recipe, every default written out:",
        f"{fence}yaml\n{text}{fence}",
        f"With {_plain(', '.join(f'{name} {version}' for name, version in packages.items()))}."
        if packages
        else "",
    ]


def _grid(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    first, *others = ([_plain(cell) for cell in line] for line in (heads, *lines))
    rows = [first, ["---", *["---:"] * (len(heads) - 1)], *others]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _plain(text: str) -> str:
    """Text that Markdown, and the HTML inside it, leave alone."""
    marked = re.sub(r"([\\`*_|\[\]])", r"\\\1", html.escape(text, quote=False))
    return " ".join(marked.split())
