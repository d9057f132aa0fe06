"""Budget: from what a student may cost to a recipe that makes it; later, whether it kept the promise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from isogloss.compress.plan import (
    Block,
    Candidate,
    Choice,
    Limits,
    blocks_of,
    candidates,
    choose,
)
from isogloss.core.errors import DataError, UserError
from isogloss.core.files import cache_folder
from isogloss.core.machine import cores, machine
from isogloss.evaluate.forward import PRECISIONS, Precision, random_rows, threads, torch_runtime
from isogloss.evaluate.latency import time_in_turns
from isogloss.methods.distil import DistilRecipe, General
from isogloss.methods.latency_table import Conditions, Measured, latency_table
from isogloss.methods.sources import corpora as read_corpora
from isogloss.models.backbone import load_config, load_tokenizer
from isogloss.models.saved import load_saved, saved_bytes
from isogloss.models.storage import STORAGES, Storage, header_bytes, stored_bytes
from isogloss.models.tasks import longest_input, objective_of
from isogloss.vocab.count import count_tokens
from isogloss.vocab.curve import VocabularySize, vocabulary_sizes
from isogloss.vocab.trim import calibrate

_PRECISIONS: tuple[Storage, ...] = ("fp32", "bf16")
_REPEATS = 50
_FORMAT = 1


@dataclass(frozen=True)
class BudgetPlan:
    """A student that fits, and what is promised of it.

    Attributes:
        teacher: folder or Hub id.
        corpora: places of text per language, the source first.
        limits: what was asked.
        conditions: under which the time is promised; their precision is PyTorch's, also where the student is
            to be stored in int8.
        choice: the plan and its runners-up.
        measured: the latency table; empty where no time was asked.
        sizes: the vocabularies there were to choose from.
        longest: tokens the teacher reads at most; None: nothing bounds them.
        machine: what was measured on.
    """

    teacher: str
    corpora: Mapping[str, tuple[str, ...]]
    limits: Limits
    conditions: Conditions
    choice: Choice
    measured: Mapping[Block, Measured]
    sizes: tuple[VocabularySize, ...]
    longest: int | None
    machine: Mapping[str, Any]

    def recipe(self) -> DistilRecipe:
        """A recipe that makes the student; phase 1 has the published settings, phase 2 is yours to add."""
        return DistilRecipe.model_validate(self.recipe_values())

    def recipe_values(self) -> dict[str, Any]:
        """What the recipe says besides its defaults."""
        source, *targets = self.corpora
        one, usual = self.choice.chosen, General().length
        shorter = self.longest is not None and self.longest < usual
        return {
            "method": "distil",
            "teacher": self.teacher,
            "languages": {"source": source, "target": targets or source},
            "corpora": {tag: list(places) for tag, places in self.corpora.items()},
            "student": {
                "vocabulary": {"size": one.vocabulary.size},
                "layers": {"keep": f"last-of-{one.layers}-blocks"},
                **_cuts(one),
            },
            **({"phase1": {"length": self.longest}} if shorter else {}),
        }

    def recipe_text(self) -> str:
        """The recipe as YAML, with what it promises in the first lines."""
        one = self.choice.chosen
        about = [f"{one.disk / 1e6:.1f} MB on disk in {one.storage}", f"{one.layers} layers"]
        if one.latency is not None:
            case = f"{self.conditions.length} tokens, --threads {self.conditions.threads}"
            about.append(f"{1e3 * one.latency:.2f} ms ({case}, {self.conditions.precision} PyTorch)")
        written = yaml.safe_dump(self.recipe_values(), sort_keys=False, allow_unicode=True)
        return f"# Planned: {', '.join(about)}.\n{written}"

    def to_json(self) -> dict[str, Any]:
        """As a dictionary of plain values, which `load_plan` and `check_promise` read."""
        return {
            "format": _FORMAT,
            "teacher": self.teacher,
            "corpora": {tag: list(places) for tag, places in self.corpora.items()},
            "limits": asdict(self.limits),
            "conditions": asdict(self.conditions),
            "chosen": _plain(self.choice.chosen),
            "others": [_plain(one) for one in self.choice.others],
            "latency_table": [{"block": asdict(b), **m.to_json()} for b, m in self.measured.items()],
            "vocabularies": [asdict(one) for one in self.sizes],
            "machine": dict(self.machine),
        }


def _plain(one: Candidate) -> dict[str, Any]:
    return {**asdict(one), "qualities": dict(one.qualities)}


def _cuts(one: Candidate) -> dict[str, int]:
    """What a recipe has to say where the student's layers are not of the teacher's sizes."""
    said: dict[str, int] = {}
    if one.qualities["width"] < 1:
        said |= {"width": one.block.width, "heads": one.block.heads}
    if one.qualities["feedforward"] < 1:
        said["feedforward"] = one.block.feedforward
    return said


def plan_budget(
    teacher: str | Path,
    *,
    corpora: Mapping[str, tuple[str, ...]],
    limits: Limits,
    conditions: Conditions,
    precision: Storage | None = None,
    cache: Path | None = None,
    again: bool = False,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> BudgetPlan:
    """The best student within the limits, before any training.

    Args:
        teacher: folder or Hub id of a language model.
        corpora: places of text per language, to count; the first is the recipe's source language.
        limits: what must hold.
        conditions: under which the time must; their precision is ignored where `precision` names one that
            PyTorch computes in.
        precision: of the stored weights; None: float32, or bfloat16 where that buys something.
        cache: folder of the latency table; None: this user's cache.
        again: measure even what is in the cache.
        progress: told the share of the measuring that is done, and what comes next.

    Raises:
        UserError: no student fits, a limit out of its range, or the teacher or a corpus cannot be read.
    """
    _check(limits, conditions, precision)
    config, tokenizer = load_config(teacher), load_tokenizer(teacher)
    progress(0.0, "counting tokens")
    sizes = vocabulary_sizes(calibrate(tokenizer, read_corpora(dict(corpora))))
    storages = (precision,) if precision else _PRECISIONS
    computed = {storage: _computed(storage, conditions.precision) for storage in storages}
    measured: dict[Precision, dict[Block, Measured]] = {each: {} for each in computed.values()}
    if limits.latency is not None:
        place = cache or cache_folder()
        for each in measured:
            timed = replace(conditions, precision=each)
            measured[each] = latency_table(
                config, blocks_of(config), timed, cache=place, again=again, progress=progress
            )
    choice = choose(_students(config, sizes, {one: measured[computed[one]] for one in storages}), limits)
    chosen = computed[choice.chosen.storage]
    return BudgetPlan(
        teacher=str(teacher),
        corpora=dict(corpora),
        limits=limits,
        conditions=replace(conditions, precision=chosen),
        choice=choice,
        measured=measured[chosen],
        sizes=tuple(sizes),
        longest=longest_input(config),
        machine=machine(),
    )


def _students(
    config: Any, sizes: Sequence[VocabularySize], measured: Mapping[Storage, Mapping[Block, Measured]]
) -> list[Candidate]:
    """Every student of a teacher, in each of the precisions with its times; {} for one without any."""
    found: list[Candidate] = []
    for storage, table in measured.items():
        found += candidates(
            config,
            objective_of(config),
            vocabularies=sizes,
            blocks=blocks_of(config),
            storages=(storage,),
            lines={block: one.line for block, one in table.items()} or None,
        )
    return found


def _computed(storage: Storage, otherwise: Precision) -> Precision:
    """int8 cannot be timed before there is an export to it: PyTorch's own precision stands in."""
    return otherwise if storage == "int8" else storage


def _check(limits: Limits, conditions: Conditions, precision: Storage | None) -> None:
    if not 0 <= limits.coverage <= 1:
        raise UserError(
            f"--coverage {limits.coverage}", wanted="a share from 0 to 1", fix="write 99.9 % as 0.999"
        )
    if not 1 <= conditions.threads <= cores():
        raise UserError(
            f"--threads {conditions.threads} on a machine with {cores()} cores for this process",
            wanted=f"1 to {cores()}",
            fix="plan on the machine the student will run on, or on one like it",
        )
    if precision is not None and precision not in STORAGES:
        raise UserError(
            f"--precision {precision}",
            wanted=f"one of: {', '.join(STORAGES)}",
            fix="leave it out to let the plan choose between fp32 and bf16",
        )
    if conditions.precision not in PRECISIONS:
        raise UserError(f"time in {conditions.precision}", wanted=f"one of: {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class Promise:
    """One thing that was promised, and what came of it.

    Attributes:
        what: in a few words.
        limit: what was asked; None: nothing was.
        planned: what the plan said.
        measured: of the finished student.
        unit: `bytes`, `seconds` or `share`.
        note: how it was measured.
        kept: whether the limit holds; without one, whether it is at least as good as planned. None: unknown.
    """

    what: str
    limit: float | None
    planned: float | None
    measured: float | None
    unit: str
    note: str
    kept: bool | None


def load_plan(file: Path) -> dict[str, Any]:
    """What `BudgetPlan.to_json` said.

    Raises:
        DataError: not such a file.
    """
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        assert told["format"] == _FORMAT
        assert {"teacher", "corpora", "limits", "conditions", "chosen"} <= set(told)
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise DataError(
            "not a plan that can be read",
            wanted="the file that `isogloss budget ... --plan` wrote",
            fix="plan again with --plan, or check the path",
            where=str(file),
        ) from error
    return dict(told)


def check_promise(plan: Mapping[str, Any], student: str | Path) -> list[Promise]:
    """Measure a finished student against its plan.

    Args:
        plan: as `load_plan` read it; its teacher and corpora must still be there.
        student: a model's folder, or a run's, whose model/ is taken.

    Raises:
        UserError: the student, the teacher or a corpus cannot be read.
    """
    folder = Path(student) / "model" if (Path(student) / "model").is_dir() else Path(student)
    model = load_saved(folder)
    return [_disk(plan, folder, model), *_latency(plan, model), *_coverage(plan, folder)]


def _disk(plan: Mapping[str, Any], folder: Path, model: Any) -> Promise:
    """The files themselves, if they are in the precision promised."""
    storage, limit, planned = plan["chosen"]["storage"], plan["limits"]["disk"], plan["chosen"]["disk"]
    files = saved_bytes(folder)
    weights = stored_bytes(model, storage) + header_bytes(model)
    saved = files["weights"] <= weights
    found = files["other"] + (files["weights"] if saved else weights)
    note = f"the files, weights in {storage}"
    if not saved:
        note = f"by arithmetic in {storage}; the files hold {sum(files.values()) / 1e6:.2f} MB"
    allowed = planned if limit is None else limit
    return Promise("disk", limit, planned, found, "bytes", note, found <= allowed)


def _latency(plan: Mapping[str, Any], model: Any) -> Iterator[Promise]:
    limit, conditions = plan["limits"]["latency"], Conditions(**plan["conditions"])
    if limit is None:
        return
    rows = random_rows(model, batch=1, length=conditions.length)
    forward = torch_runtime(model, precision=conditions.precision, head=False)
    with threads(conditions.threads):
        timing = time_in_turns({"student": lambda: forward(rows)}, repeats=_REPEATS)["student"]
    quartiles = "–".join(f"{1e3 * timing.quantile(share):.2f}" for share in (0.25, 0.75))
    case = f"{conditions.length} tokens, {conditions.threads} thread{'s' * (conditions.threads > 1)}"
    note = (
        f"median of {_REPEATS}, {case}, {conditions.precision} PyTorch without head; quartiles {quartiles} ms"
    )
    kept = timing.p50 <= limit
    yield Promise("latency", limit, plan["chosen"]["latency"], timing.p50, "seconds", note, kept)
    if plan["chosen"]["storage"] == "int8":
        note = "unknown: there is no export to int8 to measure yet"
        yield Promise("latency in int8", limit, None, None, "seconds", note, None)


def _coverage(plan: Mapping[str, Any], folder: Path) -> Iterator[Promise]:
    """Counted again with the teacher's tokenizer: the share of its tokens that the student has a row for."""
    teacher, student = load_tokenizer(plan["teacher"]), load_tokenizer(folder)
    places = {tag: tuple(several) for tag, several in plan["corpora"].items()}
    there = set(student.get_vocab())
    kept = [index for piece, index in teacher.get_vocab().items() if piece in there]
    for tag, counts in count_tokens(teacher, read_corpora(places)).items():
        share = float(counts[kept].sum() / counts.sum())
        limit, planned = plan["limits"]["coverage"], plan["chosen"]["vocabulary"]["kept"][tag]
        note = "of the teacher's tokens in the corpora"
        yield Promise(f"coverage, {tag}", limit, planned, share, "share", note, share >= limit)
