"""Which entries of 110M parameters moved most: our selection against sorting a Python list of the movements.

The plain side does what the authors' code of LT-SFT does: every movement becomes a Python float, the list is
sorted, the k-th from the end is the threshold. It takes minutes at full size, so by default it is measured on
a tenth of the parameters and its time multiplied by ten, which is less than the whole would take. Ours is
always measured on all. Memory is the most that each process held beyond the parameters and their start, each
in a process of its own.

    python benchmarks/mask_selection.py            # the plain side on a tenth
    python benchmarks/mask_selection.py --whole    # on all
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from harness import keep

from isogloss.sparse.select import count, select

LAYERS, HIDDEN, VOCABULARY, DENSITY = 12, 768, 32_000, 0.08
ROUNDS = 3


def parameters(fraction: float) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A model in the shape of BERT-base, and what it began as."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"embedding": (int(VOCABULARY * fraction), HIDDEN)}
    for layer in range(LAYERS):
        shapes |= {f"{layer}.{place}": (int(HIDDEN * fraction), HIDDEN) for place in ("q", "k", "v", "o")}
        shapes |= {f"{layer}.{place}": (int(4 * HIDDEN * fraction), HIDDEN) for place in ("up", "down")}
    start = {name: torch.randn(shape, generator=generator).mul_(0.02) for name, shape in shapes.items()}
    now = {name: torch.randn(w.shape, generator=generator).mul_(1e-3).add_(w) for name, w in start.items()}
    return now, start


def plain(now: dict[str, torch.Tensor], start: dict[str, torch.Tensor], entries: int) -> dict:
    """Sort a list, and take what is at least as large as its k-th from the end."""
    movements: list[float] = []
    for name in now:
        movements.extend((now[name] - start[name]).abs().view(-1).tolist())
    movements.sort()
    threshold = movements[-entries]
    return {
        name: ((now[name] - start[name]).abs().view(-1) >= threshold).nonzero().squeeze(-1) for name in now
    }


def measure(side: str, fraction: float) -> None:
    """Print seconds, megabytes held beyond the parameters, and megabytes of one copy of these."""
    torch.set_num_threads(1)
    now, start = parameters(fraction)
    size = sum(tensor.numel() for tensor in now.values())
    entries = count(DENSITY, size)
    if side == "ours":
        select({"warm": torch.ones(9)}, {"warm": torch.zeros(9)}, 3)
    Path("/proc/self/clear_refs").write_text("5")  # forget the most memory held so far
    before, began = _memory("VmRSS"), time.perf_counter()
    found = (select if side == "ours" else plain)(now, start, entries)
    seconds = time.perf_counter() - began
    chosen = sum(len(positions) for positions in found.values())
    # Sorting takes every movement that equals the k-th, so it may take too many.
    assert chosen == entries or (side == "plain" and chosen > entries), (chosen, entries)
    print(size, entries, seconds, (_memory("VmHWM") - before) / 1e6, 4 * size / 1e6)


def _memory(line: str) -> int:
    """Bytes, from the process's status."""
    match = re.search(rf"{line}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) * 1024


def _in_a_process(side: str, fraction: float) -> list[float]:
    command = [sys.executable, __file__, "--measure", side, "--fraction", str(fraction)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(number) for number in done.stdout.split()]


def main() -> None:
    """Measure both sides in turn, print the ratio, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whole", action="store_true", help="sort the whole list")
    parser.add_argument("--measure", choices=("ours", "plain"), help="of the processes this one starts")
    parser.add_argument("--fraction", type=float, default=1.0)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.fraction)
        return
    fraction = 1.0 if options.whole else 0.1
    runs: dict[str, list[list[float]]] = {"ours": [], "plain": []}
    for _ in range(1 if options.whole else ROUNDS):
        runs["ours"].append(_in_a_process("ours", 1.0))
        runs["plain"].append(_in_a_process("plain", fraction))
    size, entries, _, memory, copy = runs["ours"][0]
    ours = statistics.median(run[2] for run in runs["ours"])
    measured = statistics.median(run[2] for run in runs["plain"])
    on = runs["plain"][0][0]
    whole = measured * size / on
    print(f"parameters {size:,.0f}, entries {entries:,.0f}")
    print(
        f"ours       {ours:8.2f} s, {memory:8.0f} MB beyond the parameters; one copy of them: {copy:.0f} MB"
    )
    print(
        f"plain      {measured:8.2f} s on {on:,.0f}, so {whole:.1f} s; {runs['plain'][0][3]:.0f} MB on these"
    )
    print(f"ratio: {whole / ours:.1f}")
    keep(
        "mask_selection",
        {
            "facts": {
                "parameters": size,
                "entries": entries,
                "plain_measured_on": on,
                "one_copy_megabytes": copy,
                "threads": 1,
            },
            "rounds": len(runs["ours"]),
            "ours_seconds": ours,
            "ours_megabytes_beyond": memory,
            "plain_seconds_measured": measured,
            "plain_seconds": whole,
            "plain_megabytes_beyond_measured": runs["plain"][0][3],
            "ratio": whole / ours,
        },
    )


if __name__ == "__main__":
    main()
