"""Bench: what models cost, side by side: parameters, bytes, operations, memory, and time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isogloss.core.errors import ModelError, UserError, did_you_mean
from isogloss.core.machine import cores, load, machine
from isogloss.evaluate.forward import PRECISIONS, RUNTIMES, Forward, Precision, random_rows, threads
from isogloss.evaluate.latency import Ratio, Timing, speed_up, time_in_turns
from isogloss.evaluate.memory import Load, Memory, measure_memory
from isogloss.models.anatomy import anatomy
from isogloss.models.flops import flops
from isogloss.models.saved import load_saved, saved_bytes
from isogloss.models.sizes import sizes
from isogloss.models.storage import STORAGES, stored_bytes
from isogloss.models.tasks import longest_input

Progress = Callable[[float, str], None]
_USUAL_LENGTHS = (32, 128)
_WARM_UPS = 6
_FRESH_PROCESS = 1e11  # operations that take about as long as starting Python and importing torch


@dataclass(frozen=True)
class Settings:
    """What to measure; every combination is.

    Attributes:
        batches: rows at a time.
        lengths: tokens of a row, special ones included; () is 32 and 128 where all models read as many, or
            else the most they read.
        threads: of PyTorch; () is one, and as many as there are cores.
        precisions: of weights and activations.
        repeats: timed passes of each model per combination, after warming up.
        head: run each model's own head too. Without, backbones are compared: hidden states, and of an
            encoder-decoder the encoder's.
        memory: measure memory too, in a fresh process for each model and combination.
        runtime: what computes.
    """

    batches: tuple[int, ...] = (1, 8)
    lengths: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
    precisions: tuple[Precision, ...] = ("fp32",)
    repeats: int = 30
    head: bool = False
    memory: bool = True
    runtime: str = "torch"


@dataclass(frozen=True)
class Subject:
    """One model, as far as arithmetic and its files tell.

    Attributes:
        source: its folder or Hub id.
        name: short, none like another's.
        parameters: of `embedding`, `layers`, `head` and in `total`.
        layers, hidden, vocabulary: its shape; layers of an encoder-decoder's encoder.
        files: bytes on disk, `weights` and `other`.
        weights: bytes the weights would take in each precision.
        flops: by length, operations of one row, part by part.
    """

    source: str
    name: str
    parameters: dict[str, int]
    layers: int
    hidden: int
    vocabulary: int
    files: dict[str, int]
    weights: dict[str, int]
    flops: dict[int, dict[str, int]]


@dataclass(frozen=True)
class Measurement:
    """One model under one combination.

    Attributes:
        model: its number among the subjects.
        timing: of a forward pass over the whole batch.
        memory: None where it was not measured.
        speed_up: how many times as fast as the first model; None for that one.
    """

    model: int
    batch: int
    length: int
    threads: int
    precision: Precision
    timing: Timing
    memory: Memory | None
    speed_up: Ratio | None

    @property
    def rows_per_second(self) -> float:
        """Throughput at the median."""
        return self.batch / self.timing.p50

    @property
    def tokens_per_second(self) -> float:
        """Throughput at the median; no token is padding."""
        return self.batch * self.length / self.timing.p50

    def to_json(self) -> dict[str, Any]:
        """As a dictionary of plain values."""
        return {
            **{key: getattr(self, key) for key in ("model", "batch", "length", "threads", "precision")},
            "seconds": self.timing.to_json(),
            "rows_per_second": self.rows_per_second,
            "tokens_per_second": self.tokens_per_second,
            "memory_bytes": asdict(self.memory) if self.memory else None,
            "speed_up": asdict(self.speed_up) if self.speed_up else None,
        }


@dataclass(frozen=True)
class Bench:
    """Everything `bench` found.

    Attributes:
        machine: what it was measured on.
        load: of the machine in the minute before; None where it is not known.
    """

    machine: dict[str, Any]
    load: float | None
    settings: Settings
    subjects: tuple[Subject, ...]
    measurements: tuple[Measurement, ...] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """As a dictionary of plain values."""
        return {
            "machine": self.machine,
            "load": self.load,
            "settings": asdict(self.settings),
            "models": [asdict(subject) for subject in self.subjects],
            "measurements": [measurement.to_json() for measurement in self.measurements],
        }


@dataclass(frozen=True)
class _Case:
    """A combination all models go through together."""

    threads: int
    batch: int
    length: int
    precision: Precision


def bench(
    sources: Sequence[str | Path],
    settings: Settings = Settings(),
    *,
    progress: Progress = lambda share, what: None,
) -> Bench:
    """Measure models in turns; the first is what the others are compared with.

    Rows are random ids: a dense model's work depends on their number alone.

    Args:
        sources: folders that isogloss or transformers wrote, or Hub ids.
        progress: told the share of the work done, in [0, 1], and what comes next.

    Raises:
        UserError: a setting out of its range, or no model in a source.
        ProcessError: a process that measures memory came to no end.
    """
    _check(settings)
    settings, loaded = _ready(sources, settings)
    subjects = tuple(_subjects(sources, loaded, settings.lengths))
    before, account = load(), _Account(subjects, settings, progress)
    found: list[Measurement] = []
    for precision in settings.precisions:
        models = loaded or [load_saved(source) for source in sources]
        forwards = [RUNTIMES[settings.runtime](m, precision=precision, head=settings.head) for m in models]
        for case in _cases(settings, precision):
            found += _measured(case, models, forwards, subjects, settings, account)
        loaded = []  # changed to this precision; the next one starts from the files
    return Bench(machine(), before, settings, subjects, tuple(found))


def _cases(settings: Settings, precision: Precision) -> Iterator[_Case]:
    for number, batch, length in itertools.product(settings.threads, settings.batches, settings.lengths):
        yield _Case(number, batch, length, precision)


def _measured(
    case: _Case,
    models: Sequence[Any],
    forwards: Sequence[Forward],
    subjects: Sequence[Subject],
    settings: Settings,
    account: _Account,
) -> Iterator[Measurement]:
    with threads(case.threads):
        calls = {}
        for subject, model, forward in zip(subjects, models, forwards, strict=True):
            rows = random_rows(model, batch=case.batch, length=case.length)
            calls[subject.name] = lambda forward=forward, rows=rows: forward(rows)
        timings = time_in_turns(calls, repeats=settings.repeats, tick=lambda: account.round(case))
    first = timings[subjects[0].name].seconds
    for number, subject in enumerate(subjects):
        timing = timings[subject.name]
        yield Measurement(
            number,
            **asdict(case),
            timing=timing,
            memory=_memory(case, subject, settings, account) if settings.memory else None,
            speed_up=speed_up(first, timing.seconds) if number else None,
        )


def _memory(case: _Case, subject: Subject, settings: Settings, account: _Account) -> Memory | None:
    request = Load(subject.source, settings.runtime, head=settings.head, **asdict(case))
    found = measure_memory(request)
    account.process(case, subject)
    return found


class _Account:
    """How much of the work is done, in operations."""

    def __init__(self, subjects: Sequence[Subject], settings: Settings, progress: Progress) -> None:
        self._subjects, self._settings, self._progress = subjects, settings, progress
        self._done, self._all = 0.0, 0.0
        for case in itertools.chain(*(_cases(settings, precision) for precision in settings.precisions)):
            self._all += self._of_round(case) * settings.repeats
            self._all += sum(self._of_process(case, one) for one in subjects) * settings.memory

    def round(self, case: _Case) -> None:
        self._add(self._of_round(case), case)

    def process(self, case: _Case, subject: Subject) -> None:
        self._add(self._of_process(case, subject), case)

    def _add(self, work: float, case: _Case) -> None:
        self._done += work
        what = f"{case.precision}, threads {case.threads}, batch {case.batch} × {case.length}"
        self._progress(min(1.0, self._done / self._all), what)

    def _of_round(self, case: _Case) -> float:
        warm = 1 + _WARM_UPS / self._settings.repeats
        return warm * sum(self._of_pass(case, subject) for subject in self._subjects)

    def _of_process(self, case: _Case, subject: Subject) -> float:
        return _FRESH_PROCESS + 3 * self._of_pass(case, subject)

    def _of_pass(self, case: _Case, subject: Subject) -> float:
        counted = subject.flops[case.length]
        operations = counted["total"] - (0 if self._settings.head else counted["head"])
        return (1e6 + operations * case.batch) / case.threads


def _check(settings: Settings) -> None:
    least_one = {
        "--batch": settings.batches,
        "--length": settings.lengths,
        "--threads": settings.threads,
        "--repeats": (settings.repeats,),
    }
    for option, numbers in least_one.items():
        for number in numbers:
            if number < 1:
                raise UserError(
                    f"{option} {number}", wanted="1 or more", fix=f"give {option} a number from 1"
                )
    most = cores()
    if max(settings.threads, default=1) > most:
        raise UserError(
            f"--threads {max(settings.threads)} on a machine with {most} cores for this process",
            wanted=f"1 to {most}",
            fix="more threads than cores only wait for each other: give fewer",
        )
    for precision in settings.precisions:
        if precision not in PRECISIONS:
            raise UserError(
                f"--precision {precision}",
                wanted=f"one of: {', '.join(PRECISIONS)}",
                fix=f"{did_you_mean(precision, PRECISIONS)} (Nothing is exported to int8 yet.)",
            )


def _ready(sources: Sequence[str | Path], settings: Settings) -> tuple[Settings, list[Any]]:
    """The settings with everything filled in, and the models."""
    if not sources:
        raise UserError("no model to measure", wanted="one or more", fix="name a folder or a Hub id")
    models = [load_saved(source) for source in sources]
    bounds = {str(source): longest_input(model.config) for source, model in zip(sources, models, strict=True)}
    known = {source: bound for source, bound in bounds.items() if bound is not None}
    for source, bound in known.items():
        if max(settings.lengths, default=0) > bound:
            raise ModelError(
                f"--length {max(settings.lengths)} for a model that reads {bound} tokens at most",
                wanted=f"1 to {bound}",
                fix=f"leave out the longer ones, or give --length {bound}",
                where=source,
            )
    most = min(known.values(), default=max(_USUAL_LENGTHS))
    usual = tuple(dict.fromkeys(min(length, most) for length in _USUAL_LENGTHS))
    filled = {
        "lengths": settings.lengths or usual,
        "threads": settings.threads or tuple(dict.fromkeys((1, cores()))),
    }
    return Settings(**{**asdict(settings), **filled}), models


def _subjects(
    sources: Sequence[str | Path], models: Sequence[Any], lengths: Sequence[int]
) -> Iterator[Subject]:
    names = _names([str(source) for source in sources])
    for source, name, model in zip(sources, names, models, strict=True):
        parts = anatomy(model)
        yield Subject(
            source=str(source),
            name=name,
            parameters=sizes(model),
            layers=len(parts.layers),
            hidden=int(parts.config.hidden_size),
            vocabulary=parts.embedding.num_embeddings,
            files=saved_bytes(source),
            weights={storage: stored_bytes(model, storage) for storage in STORAGES},
            flops={length: flops(model, length=length) for length in lengths},
        )


def _names(sources: Sequence[str]) -> list[str]:
    """The last part of each path, of a run's model/ the run's name; numbered where two are alike."""
    names = []
    for source in sources:
        parts = Path(source).parts
        names.append(parts[-2] if len(parts) > 1 and parts[-1] in ("model", "student") else parts[-1])
    if len(set(names)) == len(names):
        return names
    return [f"{name} ({number})" for number, name in enumerate(names, 1)]
