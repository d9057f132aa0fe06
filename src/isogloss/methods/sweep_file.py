"""A sweep's file, and the runs it stands for: one recipe, and what varies in it.

    recipe: tiny/pretrain-causal          # a shipped name, a file beside this one, or a recipe written here
    grid:                                 # every combination
      mixture.shares: {uneven: {eng: 0.9, deu: 0.1}, even: {eng: 0.5, deu: 0.5}}
      training.steps: [40, 80]
    seeds: [0, 1, 2]

Keys are dotted, as after `--set`. Every run is a recipe of its own, validated before any of them runs.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

from isogloss.core.config import (
    Document,
    KeyPath,
    Record,
    key_path,
    lay_over,
    origins_below,
    part,
    problems_of,
    read_document,
    recipe_hash,
    several,
    to_yaml,
    validate,
)
from isogloss.core.errors import RecipeError
from isogloss.methods.shipped import is_file_name
from isogloss.methods.table import recipe_document, resolve

SEED = "seed"
_MARKS = frozenset({"grid", "zip", "runs", "seeds"})
_LONGEST_NAME = 80  # characters of a run's name: it becomes the name of a folder


def _named(value: Any) -> Any:
    """A list or a mapping, with every name a text: `{90: …}` is named "90"."""
    if isinstance(value, dict):
        return {str(name): inner for name, inner in value.items()}
    if not isinstance(value, list | tuple):
        raise ValueError("a list of values, or names for them: {small: 64, large: 128}")
    return value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


Choices: TypeAlias = Annotated[list[Any] | dict[str, Any], BeforeValidator(_named), Field(min_length=1)]
"""Values to try, in a list or by name."""

Overrides: TypeAlias = Annotated[dict[str, Any], Field(min_length=1)]


class SweepSpec(Record):
    """One recipe and what varies in it.

    Attributes:
        recipe: what all runs have in common: a shipped recipe's name, a file beside the sweep's, or the
            recipe itself.
        name: of the folder with all runs; None takes the file's name.
        grid: dotted keys and the values of each; every combination is a run.
        zip: keys that go together, as one mapping or several: the first values of all keys, then the second
            ones. Combined with the grid.
        runs: more runs, in a list or by name, each with its own overrides of the recipe.
        seeds: each of the above with each of these; of a pipeline, every stage's seed.
        metrics: what the table shows of each run, by language; empty for what was measured on test sets.
    """

    recipe: str | dict[str, Any]
    name: str | None = Field(default=None, pattern=r"^[\w][\w.-]*$")
    grid: dict[str, Choices] = Field(default_factory=dict)
    zip: Annotated[tuple[dict[str, Choices], ...], BeforeValidator(_as_list)] = ()
    runs: Annotated[list[Overrides] | dict[str, Overrides], BeforeValidator(_named)] = Field(
        default_factory=list
    )
    seeds: tuple[int, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        name: of its folder: what varies, and its seed.
        setting: its name without the seed; the same for runs that differ in nothing else.
        seed: None where the sweep names no seeds.
        varied: what each of the sweep's keys is in this run, as text; "" where the recipe leaves it out,
            or has a mapping that this run does not change.
        recipe: the validated record.
    """

    name: str
    setting: str
    seed: int | None
    varied: Mapping[str, str]
    recipe: Any

    @property
    def hash(self) -> str:
        """The identity of its recipe, by which its folder is found again."""
        return recipe_hash(self.recipe)


@dataclass(frozen=True)
class Sweep:
    """A sweep read and expanded.

    Attributes:
        name: of its folder.
        keys: the dotted keys that vary, seeds apart, in the order of the file.
        metrics: as in `SweepSpec`.
        runs: in order, the seeds of a setting beside each other.
        text: the file with every default written out.
    """

    name: str
    keys: tuple[str, ...]
    metrics: tuple[str, ...]
    runs: tuple[SweepRun, ...]
    text: str


def is_sweep(document: Document) -> bool:
    """Whether a file is a sweep's rather than a recipe."""
    return "method" not in document.values and bool(_MARKS & document.values.keys())


def load_sweep(sweep: str | Path) -> Sweep:
    """Read a sweep's file (or a shipped one by name) and expand it; every run's recipe is validated.

    Raises:
        RecipeError: no such file, or something in it or in a recipe that it makes is wrong, with the line.
    """
    return expand(recipe_document(str(sweep)))


def expand(document: Document) -> Sweep:
    """The runs that a sweep's file stands for; see `load_sweep`."""
    if "method" in document.values:
        raise RecipeError(
            "a recipe, which is one run",
            wanted="a sweep: `recipe:`, and a `grid:`, `zip:`, `runs:` or `seeds:`",
            fix="`isogloss run` carries out one recipe",
            where=document.where(("method",)),
        )
    spec = validate(document, SweepSpec)
    base = _base(document, spec)
    seeds = _seeds(document, spec, base)
    each = _points(document, spec)
    _refuse_second_seeds(each, spec)
    points = [(*point, *seed) for point in each for seed in seeds]
    keys = tuple(dict.fromkeys(change.key for point in points for change in point if change.key != SEED))
    runs = _resolved([_Planned(point, _laid(base, point)) for point in points], keys)
    _refuse_twins(runs, document)
    return Sweep(spec.name or Path(document.source).stem, keys, spec.metrics, tuple(runs), to_yaml(spec))


@dataclass(frozen=True)
class _Change:
    """One key of a run with its value, and what it is called in the run's name and in tables."""

    key: str
    value: Any
    shown: str
    origins: Mapping[KeyPath, str]
    paths: tuple[KeyPath, ...]
    title: str | None = None


_Point: TypeAlias = tuple[_Change, ...]


@dataclass(frozen=True)
class _Planned:
    point: _Point
    document: Document


def _base(document: Document, spec: SweepSpec) -> Document:
    if not isinstance(spec.recipe, str):
        return part(document, ("recipe",))
    beside = Path(document.source).parent / spec.recipe
    try:
        return read_document(beside) if is_file_name(str(beside)) else recipe_document(spec.recipe)
    except RecipeError as error:
        where = (
            f"{document.where(('recipe',))} ({error.where})" if error.where else document.where(("recipe",))
        )
        raise RecipeError(error.got, wanted=error.wanted, fix=error.fix, where=where) from error


def _points(document: Document, spec: SweepSpec) -> list[_Point]:
    """Grid and zip combined, then the runs written out; one without changes where there are neither."""
    dimensions: list[list[_Point]] = [
        [(change,) for change in _changes(document, key, choices, ("grid", key))]
        for key, choices in spec.grid.items()
    ]
    for number, group in enumerate(spec.zip):
        dimensions.append(_zipped(document, group, number))
    combined = list(itertools.product(*dimensions)) if dimensions else []
    points = [tuple(itertools.chain(*point)) for point in combined]
    return [*points, *_written_out(document, spec)] or [()]


def _changes(document: Document, key: str, choices: Any, path: KeyPath) -> list[_Change]:
    named = choices.items() if isinstance(choices, dict) else enumerate(choices)
    return [
        _change(document, key, value, (*path, name), shown=name if isinstance(name, str) else None)
        for name, value in named
    ]


def _change(
    document: Document,
    key: str,
    value: Any,
    path: KeyPath,
    *,
    shown: str | None = None,
    title: str | None = None,
) -> _Change:
    if not all(key.split(".")):
        raise RecipeError(
            f"{key!r} is no dotted key", wanted="such as training.steps", where=document.where(path)
        )
    origins = origins_below(document, path)
    origins.setdefault((), document.where(path[:-1]).partition("  ")[0])
    return _Change(key, value, as_text(value) if shown is None else shown, origins, (key_path(key),), title)


def _zipped(document: Document, group: Mapping[str, Any], number: int) -> list[_Point]:
    place: KeyPath = ("zip", number) if isinstance(document.values["zip"], list) else ("zip",)
    columns = [_changes(document, key, choices, (*place, key)) for key, choices in group.items()]
    lengths = {key: len(column) for key, column in zip(group, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        raise RecipeError(
            f"keys that go together have {', '.join(f'{n} values ({key})' for key, n in lengths.items())}",
            wanted="as many values for each",
            where=document.where(place),
        )
    return list(zip(*columns, strict=True))


def _written_out(document: Document, spec: SweepSpec) -> list[_Point]:
    named = spec.runs.items() if isinstance(spec.runs, dict) else enumerate(spec.runs)
    return [
        tuple(
            _change(document, key, value, ("runs", name, key), title=name if isinstance(name, str) else None)
            for key, value in overrides.items()
        )
        for name, overrides in named
    ]


def _seeds(document: Document, spec: SweepSpec, base: Document) -> list[_Point]:
    """One point for each seed, which in a pipeline is every stage's; one without changes for none."""
    stages = base.values.get("stages")
    paths: list[KeyPath] = [(SEED,)]
    if base.values.get("method") == "pipeline" and isinstance(stages, dict):
        paths = [("stages", name, SEED) for name in stages]
    points: list[_Point] = [
        (_Change(SEED, seed, str(seed), origins_below(document, ("seeds", number)), tuple(paths)),)
        for number, seed in enumerate(spec.seeds)
    ]
    return points or [()]


def _refuse_second_seeds(points: Sequence[_Point], spec: SweepSpec) -> None:
    own = [change for point in points for change in point if change.key == SEED]
    if spec.seeds and own:
        raise RecipeError(
            "a run with a `seed` of its own, beside `seeds` for all",
            wanted="one of the two",
            fix="take `seeds` away, or the run's `seed`",
            where=own[0].origins[()],
        )


def _laid(base: Document, point: _Point) -> Document:
    for change in point:
        for path in change.paths:
            base = lay_over(base, path, change.value, origins=change.origins)
    return base


def _resolved(planned: Sequence[_Planned], keys: Sequence[str]) -> list[SweepRun]:
    """Every recipe as a record; all mistakes of all of them are told together, each once."""
    short = _short(keys)
    runs: list[tuple[str, SweepRun]] = []
    problems: dict[str, list[tuple[RecipeError, _Point]]] = {}
    for one in planned:
        try:
            recipe = resolve(one.document)
            runs.append((_without_seed(one, recipe), _run(one, recipe, keys, short)))
        except RecipeError as error:
            for problem in problems_of(error):
                problems.setdefault(problem.message(), []).append((problem, one.point))
    if problems:
        everywhere = len(planned) if len(planned) > 1 else 2
        raise several([_blamed(found, everywhere=everywhere) for found in problems.values()])
    return _with_own_names(runs)


def _blamed(found: Sequence[tuple[RecipeError, _Point]], *, everywhere: int) -> RecipeError:
    """A mistake of some runs and not of all has to do with what changes in them: the first one's lines."""
    error, point = found[0]
    known = error.where or ""
    lines = [line for change in point if (line := change.origins.get(())) and line not in known]
    if len(found) >= everywhere or not lines:
        return error
    where = ", ".join(filter(None, [known, f"changed by {' and '.join(dict.fromkeys(lines))}"]))
    return RecipeError(error.got, wanted=error.wanted, fix=error.fix, where=where)


def _run(planned: _Planned, recipe: Any, keys: Sequence[str], short: Mapping[str, str]) -> SweepRun:
    changes = {change.key: change for change in planned.point}
    title = next((change.title for change in planned.point if change.title), None)
    seed = changes.pop(SEED, None)
    words = title or " ".join(f"{short[key]} {change.shown}" for key, change in changes.items())
    setting = _slug(words) or "base"
    return SweepRun(
        name=f"{setting}-seed-{seed.shown}" if seed else setting,
        setting=setting,
        seed=seed.value if seed else None,
        varied={key: changes[key].shown if key in changes else _found(planned.document, key) for key in keys},
        recipe=recipe,
    )


def _without_seed(planned: _Planned, recipe: Record) -> str:
    """What runs that differ in the sweep's seeds alone have in common."""
    values: Any = recipe.model_dump(mode="json")
    for path in (path for change in planned.point if change.key == SEED for path in change.paths):
        inner = values
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]
    return json.dumps(values, sort_keys=True)


def _found(document: Document, key: str) -> str:
    """What a recipe says at a key that other runs change; of a mapping nothing, for it may be long."""
    value: Any = document.values
    for name in key_path(key):
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None or isinstance(value, dict) else as_text(value)


def _short(keys: Sequence[str]) -> dict[str, str]:
    """Each key by its last part, or whole where two would be called the same."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return {key: name if list(last.values()).count(name) == 1 else key for key, name in last.items()}


def as_text(value: Any) -> str:
    """A value for a table and a name: words and numbers as they are, mappings as `eng 0.9, deu 0.1`."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and not any(isinstance(inner, dict | list) for inner in value.values()):
        return ", ".join(f"{key} {as_text(inner)}" for key, inner in value.items())
    return json.dumps(value, ensure_ascii=False)


def _slug(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text).strip("-.")[:_LONGEST_NAME]


def _with_own_names(runs: Iterable[tuple[str, SweepRun]]) -> list[SweepRun]:
    """Runs under names that differ even where what varies was too long for one, or cannot be told.

    Args:
        runs: each after what it has in common with other seeds of its setting.
    """
    settings: dict[str, str] = {}
    names: set[str] = set()
    result = []
    for common, run in runs:
        if common not in settings:
            settings[common] = _free(run.setting, settings.values())
        setting = settings[common]
        name = _free(setting + run.name.removeprefix(run.setting), names)
        names.add(name)
        result.append(SweepRun(name, setting, run.seed, run.varied, run.recipe))
    return result


def _free(name: str, taken: Collection[str]) -> str:
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(free for free in itertools.chain([name], numbered) if free not in taken)


def _refuse_twins(runs: Iterable[SweepRun], document: Document) -> None:
    seen: dict[str, SweepRun] = {}
    for run in runs:
        twin = seen.setdefault(run.hash, run)
        if twin is not run:
            raise RecipeError(
                f"two runs are the same recipe: {twin.name} and {run.name}",
                wanted="each recipe once",
                fix="leave out one of the values or runs that make it",
                where=document.source,
            )
