"""What a run did, in a sentence, and the numbers to read first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from isogloss.core.run import RunRecord
from isogloss.report.measurements import (
    in_order,
    language_name,
    model_name,
    source_language,
)
from isogloss.report.numbers import (
    count,
    duration,
    megabytes,
    metric,
    percent,
    shown,
    signed,
    task_label,
    tone,
)
from isogloss.report.tables import (
    DisparityRow,
    ScoreTable,
    SizeTable,
    mixture_tables,
    score_tables,
    size_table,
)


@dataclass(frozen=True)
class KeyNumber:
    """One figure of the headline: a value, what it is, and what it came from."""

    label: str
    value: str
    note: str = ""
    tone: Literal["good", "bad", ""] = ""


def run_name(run: RunRecord) -> str:
    """The run folder's name."""
    return run.folder.resolve().name


def sentence(run: RunRecord, *, stages: Sequence[str] = ()) -> str:
    """What was done, and on the first test table what came of it; without results, only what was done.

    Args:
        stages: the names of a pipeline's stages, in order.
    """
    return " ".join(filter(None, [deed(run, stages=stages), _outcome(_tested(run))]))


def deed(run: RunRecord, *, stages: Sequence[str] = ()) -> str:
    """What was to be done, as a noun phrase that is true of a failed run too; `stages` as in `sentence`."""
    recipe = run.recipe
    method = str(recipe.get("method") or ("pipeline" if stages else "run"))
    if stages:
        return f"A {method} of {number_word(len(stages))} stages: {listed(stages)}."
    describe = _DEEDS.get(method)
    return describe(recipe, run) if describe else f"A run of {method}."


def _finetune(recipe: Mapping[str, Any], run: RunRecord) -> str:
    model = model_name(recipe.get("model")) or "a model"
    tasks = in_order(table.task for table in _tested(run)) or [recipe.get("task")]
    source = source_language(dict(recipe))
    on = f" on {listed([task_label(task) for task in tasks])}" if any(tasks) else ""
    taught = f" in {language_name(source)}" if source else ""
    return f"Fine-tuning of {model}{on}{taught}."


def _distil(recipe: Mapping[str, Any], run: RunRecord) -> str:
    teacher = model_name(recipe.get("teacher")) or "a teacher"
    student = next((row for row in size_table(run).rows if row.name == "student"), None)
    languages = _languages(recipe)
    speaks = f" for {listed(languages)}" if 0 < len(languages) <= 4 else ""
    small = f" with {percent(student.share, digits=0)} of its parameters" if student and student.share else ""
    return f"Distillation of {teacher} into a student{speaks}{small}."


def _pretrain(recipe: Mapping[str, Any], run: RunRecord) -> str:
    ledger = [row.name for table in mixture_tables(run) for row in table.rows]
    languages = in_order(ledger) or _languages(recipe)
    shape = recipe.get("architecture")
    new = f"a new {shape['family']} model" if isinstance(shape, dict) and "family" in shape else "a model"
    model = model_name(recipe.get("model")) or new
    return f"Pretraining of {model}{_on_mixture(languages)}."


def _on_mixture(languages: Sequence[str]) -> str:
    if not languages:
        return ""
    return f" on a mixture of {listed(languages)}" if len(languages) > 1 else f" on {languages[0]}"


def _level(recipe: Mapping[str, Any], run: RunRecord) -> str:
    model = model_name(recipe.get("model")) or "a model"
    trains_itself = dict(recipe.get("distillation") or {}).get("aim") == "self"
    what = "Self-training" if trains_itself else "Levelling"
    return f"{what} of {model} on {task_label(recipe.get('task'))}, {len(_unlabelled(recipe))} languages."


def _unlabelled(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(recipe.get("unlabelled") or {})


def _audit(recipe: Mapping[str, Any], run: RunRecord) -> str:
    languages = {*dict(recipe.get("text") or {}), *dict(recipe.get("aligned") or {})}
    return (
        f"Audit of {model_name(recipe.get('model')) or 'a model'} in {number_word(len(languages))} languages."
    )


_DEEDS: dict[str, Callable[[Mapping[str, Any], RunRecord], str]] = {
    "finetune": _finetune,
    "distil": _distil,
    "pretrain": _pretrain,
    "level": _level,
    "audit": _audit,
}


def _tested(run: RunRecord) -> list[ScoreTable]:
    return [table for table in score_tables(run) if table.split == "test"]


def _outcome(tables: Sequence[ScoreTable]) -> str:
    table = next((table for table in tables if len(table.columns) > 1 and table.disparity), None)
    if table is None:
        return ""
    mean, gap = table.figure("mean"), table.figure("gap")
    assert mean
    assert gap
    task = f" {task_label(table.task)}" if table.task else ""
    ends = (table.columns[0], table.columns[-1])
    return (
        f"Over {number_word(len(table.compared))} languages, mean{task} {metric(table.metric).label}"
        f" {_went(_first(table, mean), _last(table, mean), ends)}, and the gap between best and worst"
        f" {_went(_first(table, gap), _last(table, gap))}."
    )


def _went(first: str, last: str, named: tuple[str, str] | None = None) -> str:
    if first == last:
        return f"stayed at {first}"
    whose = [f" ({name})" for name in named] if named else ["", ""]
    return f"went from {first}{whose[0]} to {last}{whose[1]}"


def key_numbers(table: ScoreTable | None, sizes: SizeTable) -> tuple[KeyNumber, ...]:
    """The numbers to read first: mean, worst language and gap of a table, and the result's size.

    Args:
        table: the table to read first; None without results.
        sizes: may be empty.
    """
    return (*_score_numbers(table), *_size_numbers(sizes))


def _score_numbers(table: ScoreTable | None) -> list[KeyNumber]:
    if table is None:
        return []
    label = f"{task_label(table.task)} {metric(table.metric).label}".strip()
    if not table.disparity:
        row = table.rows[0]
        value = shown(table.metric, row.values[-1])
        note = _was(table, row.change, row.values[0])
        return [KeyNumber(f"{label}, {row.name}", value, note, tone(table.metric, row.change))]
    numbers = []
    for key, name in (("mean", f"mean {label}"), ("worst", "worst language"), ("gap", "best − worst")):
        row_ = table.figure(key)
        assert row_
        worst = row_.languages[-1]
        name = f"{name}, {language_name(worst)}" if worst else name
        note = _was(table, row_.change, row_.values[0])
        numbers.append(KeyNumber(name, _last(table, row_), note, change_tone(table, row_)))
    return numbers


def _was(table: ScoreTable, change: float | None, first: float | None) -> str:
    if change is None:
        return ""
    return f"{signed(table.metric, change)} from {shown(table.metric, first)} ({table.columns[0]})"


def change_tone(table: ScoreTable, row: DisparityRow) -> Literal["good", "bad", ""]:
    """Whether a disparity row's change is for the better; "" when no language's own change is beyond chance.

    A smaller inequality is always for the better.
    """
    found = "" if table.within_chance else tone(table.metric, row.change)
    if not found or not row.lower_is_better or metric(table.metric).better == "lower":
        return found
    return "bad" if found == "good" else "good"


def _size_numbers(sizes: SizeTable) -> list[KeyNumber]:
    if not sizes.rows:
        return []
    row = sizes.rows[-1]
    of = f"{percent(row.share, digits=0)} of the {sizes.reference}" if row.share and row.share != 1 else ""
    return [
        KeyNumber(f"parameters, {row.name}", count(row.parameters), of),
        KeyNumber(f"size on disk, {row.name}", megabytes(row.bytes)),
    ]


def took(run: RunRecord) -> str | None:
    """How long the run took from its first start to its last status, pauses included; None when unknown."""
    try:
        started, updated = (datetime.fromisoformat(str(run.status[key])) for key in ("started", "updated"))
        return duration((updated - started).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None


def _languages(recipe: Mapping[str, Any]) -> list[str]:
    """The names of the languages a recipe lists, whether as a list or as roles with languages."""
    given = recipe.get("languages") or recipe.get("corpora")
    if isinstance(given, dict):  # roles such as {source: en-Latn, target: sw-Latn}, or files per language
        given = _tags(given.values()) if "languages" in recipe else list(given)
    return in_order(language_name(str(tag)) for tag in given) if isinstance(given, list) else []


def _tags(roles: Iterable[Any]) -> list[str]:
    return [tag for role in roles for tag in (role if isinstance(role, list) else [role])]


def _first(table: ScoreTable, row: DisparityRow) -> str:
    return shown(table.metric, row.values[0])


def _last(table: ScoreTable, row: DisparityRow) -> str:
    return shown(table.metric, row.values[-1])


def listed(names: Sequence[object]) -> str:
    """Names as in a sentence: "a, b and c"."""
    texts = [str(name) for name in names]
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else "".join(texts)


def number_word(number: int) -> str:
    """A count in words up to ten, in digits beyond."""
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[number] if number < len(words) else str(number)
