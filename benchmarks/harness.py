"""What the speed benchmarks share: fair timing, a table, a record of the machine, a ratio."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from isogloss.core.files import write_text
from isogloss.core.run import read_status

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "torch", "transformers", "tokenizers", "accelerate")


@dataclass(frozen=True)
class Contest:
    """Two ways to do the same work.

    Attributes:
        name: of the row.
        ours: does the work once. Where getting ready shall not count, it returns the seconds that do.
        plain: does the same work the plain way, and returns likewise.
    """

    name: str
    ours: Callable[[], object]
    plain: Callable[[], object]


def compare(name: str, contests: list[Contest], *, rounds: int = 7, facts: Mapping[str, Any]) -> float:
    """Time each contest, print a table, and keep the result under `benchmarks/results/`.

    The two sides take turns and swap places every round, so a machine that slows down slows both. One round
    before the first is not counted.

    Args:
        name: of the result file.
        contests: one row each; the first gives the ratio.
        rounds: counted runs of each side, 1 or more.
        facts: what was measured on: sizes, settings.

    Returns:
        The first contest's plain median over our median: above 1, ours is faster.
    """
    rows = [_time(contest, rounds) for contest in contests]
    width = max(len(row["name"]) for row in rows)
    print(f"{'':{width}}  {'ours':>12}  {'plain':>12}  {'ratio':>7}")
    for row in rows:
        ours, plain = (f"{row[side] * 1e3:9.3f} ms" for side in ("ours_seconds", "plain_seconds"))
        print(f"{row['name']:{width}}  {ours}  {plain}  {row['ratio']:7.2f}")
    keep(name, {"facts": dict(facts), "rounds": rounds, "rows": rows})
    print(f"ratio: {rows[0]['ratio']:.2f}")
    return float(rows[0]["ratio"])


def keep(name: str, result: Mapping[str, Any]) -> None:
    """Write a result beside the description of the machine it was measured on."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"benchmark": name, "machine": machine(), **result}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def finished(out: Path, name: str) -> Path | None:
    """The finished run folder of this name under `out`, or None: a long study is carried on by name."""
    for folder in sorted(out.glob(f"*-{name}")):
        if read_status(folder).get("state") == "finished":
            return folder
    return None


def recorded(study: str) -> dict[str, dict[str, Any]]:
    """What the runs of a study measured, by name, wherever and whenever they were made."""
    file = RESULTS / f"{study}.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {record.pop("name"): record for record in map(json.loads, lines)}


def record(study: str, found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Keep what new runs measured beside the rest, a line a run, so that a study goes on elsewhere.

    Returns:
        All of `recorded`, the new ones in the place of older ones of their names.
    """
    together = recorded(study) | {name: _rounded(dict(each)) for name, each in found.items()}
    lines = [json.dumps({"name": name} | together[name], ensure_ascii=False) for name in sorted(together)]
    write_text(RESULTS / f"{study}.jsonl", "".join(f"{line}\n" for line in lines))
    return recorded(study)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


def machine() -> dict[str, Any]:
    """Processor, memory and versions; nothing that names the machine."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
    }


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _time(contest: Contest, rounds: int) -> dict[str, Any]:
    sides = {"ours": contest.ours, "plain": contest.plain}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds + 1):
        order = list(sides.items())
        for side, run in order if turn % 2 else reversed(order):
            began = time.perf_counter()
            told = run()
            took = time.perf_counter() - began
            if turn:
                seconds[side].append(told if isinstance(told, float) else took)
    ours, plain = (statistics.median(seconds[side]) for side in sides)
    return {"name": contest.name, "ours_seconds": ours, "plain_seconds": plain, "ratio": plain / ours}
