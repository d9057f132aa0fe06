"""The run folder: everything one experiment left behind, and the only bridge to the report.

    recipe.yaml        resolved: every default written out
    environment.json   versions, hardware, fingerprints of data and tokenizer
    metrics.jsonl      a line per measurement
    status.json        running | finished | failed, and why
    sizes.json         parameters, bytes and shape of each model of the run
    samples.jsonl      example predictions
    checkpoints/       whole or absent
    model/             the result

A folder belongs to one recipe, by hash. Opened again it goes on; finished, it costs nothing. Where several
processes carry out a recipe together, all open its folder and the main one alone writes.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from isogloss.core.config import Record, recipe_hash, to_yaml
from isogloss.core.environment import environment
from isogloss.core.errors import CheckpointError, IsoglossError
from isogloss.core.files import disk_errors, remove_leftovers, write_bytes, write_json, write_text
from isogloss.core.processes import from_main, is_main, wait_for_all
from isogloss.core.stopping import terminated_as_interrupted, undisturbed

State = Literal["running", "finished", "failed"]
STOPPED = "stopped by Ctrl-C or SIGTERM"
"""Why a run failed that did not: it only has to be gone on with."""


@dataclass(frozen=True)
class Run:
    """One open run folder.

    Make one with `open_run`; read a folder's contents with `read_run`.

    Attributes:
        folder: where it lies.
        recipe_hash: of the recipe it belongs to.
        writes: False on all processes but the main one; the methods that write then do nothing.
    """

    folder: Path
    recipe_hash: str
    writes: bool = field(default=True, compare=False)

    @property
    def checkpoints(self) -> Path:
        """Where the training loop keeps its checkpoints."""
        return self.folder / "checkpoints"

    @property
    def model(self) -> Path:
        """Where the resulting model lies once the run is finished."""
        return self.folder / "model"

    def log(
        self,
        metric: str,
        value: float,
        *,
        phase: str,
        step: int,
        split: str = "train",
        language: str | None = None,
        task: str | None = None,
        model: str | None = None,
        **more: Any,
    ) -> None:
        """Append one measurement to metrics.jsonl.

        Args:
            metric: such as "loss", "accuracy", "tokens_per_second".
            phase: the part of the method it belongs to, such as "pretrain", "phase1", "evaluate".
            step: optimiser steps done in this phase.
            split: train, dev or test; "aligned" for what compares two languages inside a model.
            language: internal tag, or None for a number over all languages.
            model: whose number it is when the run compares several ("teacher", "student").
            more: anything else worth keeping on the line, such as `other`, the second language of two that
                are compared, the `layer` or the `part` of the model.
        """
        line = {"time": round(time.time(), 3), "phase": phase, "step": step, "split": split, "metric": metric}
        named = {"language": language, "task": task, "model": model, **more}
        line |= {key: item for key, item in named.items() if item is not None} | {"value": value}
        self._append("metrics.jsonl", [line])

    def rewind(self, phase: str, step: int) -> None:
        """Forget the measurements of a phase after a step: the resumed loop makes them again."""
        path = self.folder / "metrics.jsonl"
        if self.writes and path.exists():
            kept = [m for m in _json_lines(path) if m["phase"] != phase or m["step"] <= step]
            write_text(path, "".join(json.dumps(m, ensure_ascii=False) + "\n" for m in kept))

    def forget_samples(self) -> None:
        """Forget all example predictions: a resumed run makes them again."""
        if self.writes:
            (self.folder / "samples.jsonl").unlink(missing_ok=True)

    def samples(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append example predictions: model, task, language, id, input, gold, predicted."""
        self._append("samples.jsonl", lines)

    def size(self, name: str, **facts: Any) -> None:
        """Note a model's size in sizes.json: parameters, bytes, layers, vocabulary."""
        self._add("sizes.json", {name: facts})

    def note(self, **facts: Any) -> None:
        """Add facts to environment.json, such as fingerprints known only after loading."""
        self._add("environment.json", facts)

    @property
    def environment(self) -> dict[str, Any]:
        """What environment.json says so far."""
        return _json_or_empty(self.folder / "environment.json")

    @property
    def finished(self) -> bool:
        """Whether everything was done, now or in an earlier process."""
        return read_status(self.folder).get("state") == "finished"

    def _add(self, name: str, facts: Mapping[str, Any]) -> None:
        path = self.folder / name
        if self.writes:
            write_json(path, {**_json_or_empty(path), **facts})

    def _append(self, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
        if not self.writes:
            return
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        path = self.folder / name
        with disk_errors(path), path.open("a", encoding="utf-8") as stream:
            stream.write(text)


@contextlib.contextmanager
def open_run(folder: Path, recipe: Record) -> Iterator[Run]:
    """Open a run folder for this recipe, new or begun earlier; leave it finished or failed.

    A failure is written to status.json with its reason before it goes on to the caller; SIGTERM is one, as
    Ctrl-C is. One process at a time, or one launch of several: another is refused. Several begin together,
    when the main one has made the folder ready, and end together, so that what comes next finds it whole.

    Raises:
        CheckpointError: the folder belongs to another recipe, or another process is writing to it.
    """
    run = Run(folder, recipe_hash(recipe), writes=is_main())
    with _written(run, recipe) if run.writes else contextlib.nullcontext():
        wait_for_all()
        yield run
        wait_for_all()


@contextlib.contextmanager
def _written(run: Run, recipe: Record) -> Iterator[None]:
    """The folder locked and made ready, and how the block ended in its status."""
    folder = run.folder
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _check_same_recipe(run)
        remove_leftovers(folder)
        for name in ("metrics.jsonl", "samples.jsonl"):
            _mend_tail(folder / name)
        if run.finished:
            yield
            return
        try:
            with terminated_as_interrupted():
                _write_beginning(run, recipe)
                yield
        except BaseException as error:
            with undisturbed(), contextlib.suppress(IsoglossError, OSError):
                _write_status(folder, "failed", why=_why(error))
            raise
        _write_status(folder, "finished")


def find_run(out: Path, recipe: Record, *, name: str) -> Path:
    """The folder under `out` that this recipe began or finished, else a new dated name.

    Processes that run it together all get the folder that the main one found.
    """
    return from_main(_begun(out, recipe) or _fresh(out, name))


def _begun(out: Path, recipe: Record) -> Path | None:
    wanted = recipe_hash(recipe)
    for folder in sorted(out.glob("*/"), reverse=True):
        with contextlib.suppress(CheckpointError):  # a damaged one is for whoever asks for it
            if _hash_of(folder) == wanted:
                return folder
    return None


def _fresh(out: Path, name: str) -> Path:
    fresh = f"{date.today().isoformat()}-{name}"
    taken = {folder.name for folder in out.glob("*/")}
    names = [fresh, *(f"{fresh}-{number}" for number in range(2, len(taken) + 3))]
    return out / next(candidate for candidate in names if candidate not in taken)


@dataclass(frozen=True)
class RunRecord:
    """A run folder as the report reads it; parts that are absent are empty."""

    folder: Path
    recipe: dict[str, Any]
    environment: dict[str, Any]
    status: dict[str, Any]
    sizes: dict[str, dict[str, Any]]
    metrics: list[dict[str, Any]]
    samples: list[dict[str, Any]]


def read_run(folder: Path) -> RunRecord:
    """Read a run folder, finished or not; a last line cut short by a kill is left out.

    Raises:
        CheckpointError: not a run folder, or a file of it is damaged.
    """
    if not (folder / "recipe.yaml").exists():
        raise CheckpointError(
            f"{folder} is not a run folder: it has no recipe.yaml",
            wanted="a folder that `isogloss run` made",
            fix="look under runs/, or name another with the command's argument",
        )
    return RunRecord(
        folder=folder,
        recipe=_recipe(folder / "recipe.yaml"),
        environment=_json_or_empty(folder / "environment.json"),
        status=read_status(folder),
        sizes=_json_or_empty(folder / "sizes.json"),
        metrics=list(_json_lines(folder / "metrics.jsonl")),
        samples=list(_json_lines(folder / "samples.jsonl")),
    )


def read_status(folder: Path) -> dict[str, Any]:
    """status.json as a dictionary; {} when there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    return _json_or_empty(folder / "status.json")


def read_facts(path: Path) -> dict[str, Any]:
    """A JSON mapping that a method left in its run folder; {} where there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    return _json_or_empty(path)


def _write_beginning(run: Run, recipe: Record) -> None:
    write_text(run.folder / "recipe.yaml", to_yaml(recipe))
    if not (run.folder / "environment.json").exists():
        write_json(run.folder / "environment.json", environment() | {"recipe_hash": run.recipe_hash})
    _write_status(run.folder, "running")


def _write_status(folder: Path, state: State, *, why: str | None = None) -> None:
    before = read_status(folder)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    status = {"state": state, "started": before.get("started", now), "updated": now}
    write_json(folder / "status.json", status | ({"why": why} if why else {}))


def _why(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return STOPPED
    return str(error) if isinstance(error, IsoglossError) else f"{type(error).__name__}: {error}"


def _check_same_recipe(run: Run) -> None:
    found = _hash_of(run.folder)
    if found not in (None, run.recipe_hash):
        raise CheckpointError(
            f"{run.folder} holds a run of another recipe (hash {found}, this one is {run.recipe_hash})",
            wanted="a folder of this recipe's own",
            fix="choose another folder, or compare its recipe.yaml with yours",
        )


def _hash_of(folder: Path) -> str | None:
    value = _json_or_empty(folder / "environment.json").get("recipe_hash")
    return str(value) if value else None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the operating system lets go when the process dies."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CheckpointError(
                f"another process is writing to {folder}",
                fix="wait for it to end, or choose another folder with --out",
            ) from error
        yield


def _mend_tail(path: Path) -> None:
    """Drop a last line that a kill cut short, so that the next one does not grow onto it."""
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        write_bytes(path, content[: content.rfind(b"\n") + 1])


def _json_or_empty(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON or of UTF-8
        raise _damaged(path, str(error)) from error
    if not isinstance(content, dict):
        raise _damaged(path, f"a {type(content).__name__} where a mapping belongs")
    return content


def _recipe(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise _damaged(path, " ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise _damaged(path, f"a {type(content).__name__} where a mapping belongs")
    return content


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"damaged: {why}",
        wanted="the file as isogloss wrote it",
        fix="copy it again from where it was saved; without a copy, move the run folder away and run again",
        where=str(path),
    )


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    # Not splitlines(): text may hold U+2028 and other ends of line that JSON leaves as they are.
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)
