"""How much memory a model takes, measured in a process of its own.

Run as a program, this module is that process: it reads one `Load` as JSON from its input, and writes what it
found as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from isogloss.core.errors import IsoglossError, ProcessError

_PASSES = 3
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Load:
    """What a process is to hold and do.

    Attributes:
        source: a model's folder or Hub id.
        runtime, precision, head: as in `isogloss.evaluate.forward`.
        batch, length: of the rows it reads.
        threads: it computes with.
    """

    source: str
    runtime: str
    precision: Any
    head: bool
    batch: int
    length: int
    threads: int


@dataclass(frozen=True)
class Memory:
    """Resident memory in bytes, above what the process held when torch and transformers were imported.

    Resident is what lies in physical memory, pages of files that were mapped for reading included. Nothing
    about swap.

    Attributes:
        loaded: once the model was loaded and in its precision, before it read anything. Where the system
            tells peaks alone (macOS), the peak while loading.
        peak: the most at any time, loading and a few forward passes included.
        baseline: what was subtracted.
    """

    loaded: int
    peak: int
    baseline: int


def measure_memory(load: Load) -> Memory | None:
    """Start a fresh interpreter that loads the model and runs it; None where memory cannot be read (Windows).

    Raises:
        ProcessError: the process came to no end; what it said last is in the message.
    """
    if sys.platform == "win32":
        return None
    done = subprocess.run(
        [sys.executable, "-m", "isogloss.evaluate.memory"],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ProcessError(
            f"the process that measures memory ended with code {done.returncode}: {last[0]}",
            wanted=f"{load.batch} rows of {load.length} tokens in memory",
            fix="choose a smaller batch or length, or leave memory out",
            where=load.source,
        )
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def _measure(load: Load) -> Memory:
    from isogloss.evaluate.forward import RUNTIMES, random_rows, threads
    from isogloss.models.backbone import quiet
    from isogloss.models.saved import load_saved

    import_module("transformers.modeling_utils")  # imported late by transformers; belongs to the baseline
    baseline = _now()
    with threads(load.threads), quiet():
        model = load_saved(load.source)
        rows = random_rows(model, batch=load.batch, length=load.length)
        forward = RUNTIMES[load.runtime](model, precision=load.precision, head=load.head)
        del model
        loaded = _now()
        for _ in range(_PASSES):
            forward(rows)
    return Memory(loaded - baseline, _peak() - baseline, baseline)


def _now() -> int:
    return _status("VmRSS") or _peak()


def _peak() -> int:
    """`ru_maxrss` would do, but Linux carries it over from the process that started this one."""
    if peak := _status("VmHWM"):
        return peak
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(key: str) -> int | None:
    if not _STATUS.exists():
        return None
    found = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="utf-8").splitlines())
    return int(found[key].split()[0]) * 1024


if __name__ == "__main__":
    try:
        answer = _measure(Load(**json.load(sys.stdin)))
    except IsoglossError as error:
        sys.exit(error.got)
    print(json.dumps(asdict(answer)))  # noqa: T201
