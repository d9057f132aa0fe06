"""What the training loop costs over a bare PyTorch loop that does the same updates.

    python benchmarks/loop_overhead.py            # both shapes
    python benchmarks/loop_overhead.py --compile  # torch.compile on the larger shape as well

Both sides use the same model, batches held in memory, autocast, fused AdamW, clipping and schedule; ours adds
seeding per batch, checks for NaN, weighting, the log, the feed's thread and hooks. The two are interleaved,
step times are those after the first few, and medians over rounds are compared, in wall time and in processor
time (which other processes disturb less). The last line is ours / bare in wall time at the larger shape.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from isogloss.core.config import Record
from isogloss.core.run import open_run
from isogloss.training.feed import Micro
from isogloss.training.hooks import Hook, Moment
from isogloss.training.loop import train
from isogloss.training.optimiser import adamw, set_rate
from isogloss.training.plan import TrainingPlan
from isogloss.training.precision import autocast, resolve
from isogloss.training.schedules import schedule

RESULTS = Path(__file__).parent / "results" / "loop_overhead.txt"
WARM = 3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Shape:
    name: str
    layers: int
    width: int
    vocabulary: int
    rows: int
    length: int
    steps: int


SHAPES = (
    Shape("tiny", layers=2, width=32, vocabulary=500, rows=8, length=32, steps=200),
    Shape("10M", layers=6, width=256, vocabulary=20_000, rows=16, length=64, steps=12),
)


class Recipe(Record):
    method: str = "benchmark"


class Encoder(nn.Module):
    """A transformer encoder with tied output embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        layer = nn.TransformerEncoderLayer(shape.width, 4, 4 * shape.width, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, shape.layers, enable_nested_tensor=False)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))

    def forward(self, ids: Tensor) -> Tensor:
        return functional.linear(self.layers(self.embedding(ids)), self.embedding.weight, self.bias)


class Batches:
    """A few batches, made beforehand."""

    def __init__(self, shape: Shape) -> None:
        generator = torch.Generator().manual_seed(0)
        size = (8, shape.rows, shape.length)
        ids = torch.randint(shape.vocabulary, size, generator=generator)
        mask = torch.ones(shape.rows, shape.length, dtype=torch.int64)
        self._batches = [
            {"input_ids": each, "attention_mask": mask, "labels": each.roll(1, -1)} for each in ids
        ]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self._batches[index % len(self._batches)]


class Clock(Hook):
    name = "clock"

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []

    def tick(self) -> None:
        self.wall.append(time.perf_counter())
        self.processor.append(time.process_time())

    def after_step(self, moment: Moment, micros: Sequence[Micro]) -> None:
        self.tick()

    def per_step(self) -> tuple[float, float]:
        """Seconds of wall and processor time, after the first few steps."""
        steps = len(self.wall) - 1 - WARM
        return (
            (self.wall[-1] - self.wall[WARM]) / steps,
            (self.processor[-1] - self.processor[WARM]) / steps,
        )


def step(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    logits = model(batch["input_ids"])
    return {"loss": functional.cross_entropy(logits.flatten(0, 1).float(), batch["labels"].flatten())}


def plan_for(shape: Shape, *, compiled: bool = False) -> TrainingPlan:
    return TrainingPlan(steps=shape.steps, learning_rate=1e-4, checkpoint_every=None, compile=compiled)


def ours(shape: Shape, *, compiled: bool = False) -> Clock:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, open_run(Path(folder), Recipe()) as run:
        plan = plan_for(shape, compiled=compiled)
        clock.tick()
        train(
            Encoder(shape),
            Batches(shape),
            step,
            plan=plan,
            run=run,
            phase="benchmark",
            seed=0,
            hooks=[clock],
            show_progress=False,
        )
    return clock


def bare(shape: Shape) -> Clock:
    clock, plan = Clock(), plan_for(shape)
    model, batches = Encoder(shape), Batches(shape)
    optimiser, rate = adamw(model, plan), schedule(plan, shape.steps)
    precision = resolve("auto", CPU)
    clock.tick()
    for number in range(shape.steps):
        optimiser.zero_grad()
        with autocast(precision, CPU):
            loss = step(model, batches[number])["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        set_rate(optimiser, plan.learning_rate * rate(number))
        optimiser.step()
        clock.tick()
    return clock


def compare(shape: Shape, rounds: int) -> tuple[list[str], float]:
    """The table's row for a shape and the ratio of wall times."""
    times: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": []}
    for _ in range(rounds):
        for name, run in (("bare", bare), ("ours", ours)):
            times[name].append(run(shape).per_step())
    medians = {
        name: [statistics.median(column) for column in zip(*each, strict=True)]
        for name, each in times.items()
    }
    wall, processor = (medians["ours"][place] / medians["bare"][place] for place in (0, 1))
    parameters = sum(p.numel() for p in Encoder(shape).parameters())
    row = f"{shape.name:<6}{parameters / 1e6:>10.2f}M"
    row += "".join(f"{1e3 * medians[name][0]:>12.2f}" for name in ("bare", "ours"))
    return [row + f"{wall:>12.3f}{processor:>12.3f}"], wall


def compare_compiled(shape: Shape) -> list[str]:
    """What torch.compile does at this shape: its price at the first step and its pay at the others."""
    plain, compiled = ours(shape), ours(shape, compiled=True)
    first = [clock.wall[1] - clock.wall[0] for clock in (plain, compiled)]
    each = [clock.per_step()[0] for clock in (plain, compiled)]
    saved = each[0] - each[1]
    pays = f"pays after {(first[1] - first[0]) / saved:.0f} steps" if saved > 0 else "never pays"
    return [
        f"torch.compile at {shape.name}: first step {first[1]:.1f} s (plain {first[0]:.1f} s), then "
        f"{1e3 * each[1]:.1f} ms a step (plain {1e3 * each[0]:.1f} ms): {pays}"
    ]


def machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    facts = (
        model,
        f"{os.cpu_count()} cores",
        f"{torch.get_num_threads()} thread(s)",
        f"torch {torch.__version__}",
    )
    return ", ".join([*facts, resolve("auto", CPU)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too (minutes)")
    options = parser.parse_args()
    lines = [
        machine(),
        f"{'shape':<6}{'size':>11}{'bare ms':>12}{'ours ms':>12}{'wall':>12}{'processor':>12}",
    ]
    ratio = 1.0
    for shape in SHAPES:
        rows, ratio = compare(shape, options.rounds)
        lines += rows
    if options.compile:
        lines += compare_compiled(SHAPES[-1])
    lines.append(f"ratio: {ratio:.2f}")
    print("\n".join(lines))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
