"""Tokens per second of causal pretraining at GPT-mini's shape, against a plain loop.

Ours is what `isogloss run` does: the training loop on a token file, with its log, its feed and its checks.
The plain loop is what one writes with transformers: the same model, batches held in memory, `model(input_ids,
attention_mask, labels).loss` (all scores, cross-entropy in float32) under bfloat16 autocast, torch's AdamW as
it comes. The careful plain loop has the fused AdamW, large pages and memory that is kept too: what is left
between it and ours is the output layer's loss and attention.

Each side runs in a process of its own each time, since what a process has allocated before changes what the
next allocation costs. Wall-clock time on all cores wants a machine that does nothing else; processor time of
one thread does not mind other work, and knows nothing of how well the cores are used together.

    python benchmarks/pretrain_tokens.py
    python benchmarks/pretrain_tokens.py --compiled     # ours with torch.compile beside it

With a GPU, model FLOPs utilisation of GPT small in bfloat16 is told first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Contest, compare, keep

from isogloss.core.config import Record
from isogloss.core.machine import keeping_memory
from isogloss.core.run import open_run
from isogloss.models.architecture import Architecture, architecture_config
from isogloss.models.backbone import empty_model, seeded
from isogloss.models.flops import flops
from isogloss.models.tasks import TaskModel
from isogloss.training.feed import Micro
from isogloss.training.hooks import Hook, Moment
from isogloss.training.loop import train
from isogloss.training.plan import TrainingPlan

VOCABULARY, LENGTH, WARM = 16_384, 512, 2
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}
"""Operations a second in bfloat16 of dense products, as the makers state them."""
WANTED = 1.5
PAGES = "THP_MEM_ALLOC_ENABLE"
"""What the command line sets (`core.machine.use_large_pages`), before torch can look."""


class Recipe(Record):
    method: str = "benchmark"


class Text:
    """Batches of ids drawn as Zipf says, a document's end now and then; nothing is padded."""

    def __init__(self, rows: int) -> None:
        ranks = np.arange(1, VOCABULARY + 1)
        chances = (1 / ranks) / (1 / ranks).sum()
        draw = np.random.default_rng(0)
        self._ids = torch.from_numpy(draw.choice(VOCABULARY, size=(8, rows, LENGTH), p=chances))

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = self._ids[index % len(self)]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


class Clock(Hook):
    """Wall-clock and processor seconds at the end of each step."""

    name = "clock"

    def __init__(self) -> None:
        self.ticks: list[tuple[float, float]] = []

    def tick(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ticks.append((time.perf_counter(), time.process_time()))

    def after_step(self, moment: Moment, micros: Sequence[Micro]) -> None:
        self.tick()

    def per_step(self) -> dict[str, float]:
        """Seconds of a step, after the first few."""
        (wall, cpu), (wall_end, cpu_end) = self.ticks[WARM - 1], self.ticks[-1]
        steps = len(self.ticks) - WARM
        return {"wall": (wall_end - wall) / steps, "cpu": (cpu_end - cpu) / steps}


def model_of(name: str) -> Any:
    config = architecture_config(Architecture.model_validate(name), vocabulary=VOCABULARY)
    with seeded(0):
        return empty_model(config, "causal")


def plan_for(steps: int, rows: int, *, compiled: bool) -> TrainingPlan:
    return TrainingPlan(
        steps=steps,
        batch_size=rows,
        learning_rate=6e-4,
        schedule="cosine",
        warmup=0,
        betas=(0.9, 0.95),
        weight_decay=0.0,
        clip=None,
        checkpoint_every=None,
        compile=compiled,
    )


def ours(name: str, *, rows: int, steps: int, compiled: bool = False) -> dict[str, float]:
    """Seconds of a step of the training loop, as `methods/pretrain` calls it."""
    from isogloss.methods.pretrain import language_model_step

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, open_run(Path(folder), Recipe()) as run, keeping_memory():
        train(
            TaskModel(model_of(name), None, kind="text"),
            Text(rows),
            language_model_step("causal"),
            plan=plan_for(steps, rows, compiled=compiled),
            run=run,
            phase="benchmark",
            seed=0,
            hooks=[clock],
            show_progress=False,
        )
    return clock.per_step()


def plain(name: str, *, rows: int, steps: int, fused: bool | None = None) -> dict[str, float]:
    """Seconds of a step of a loop without isogloss but for the model's shape."""
    clock, text = Clock(), Text(rows)
    model = model_of(name).train()
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.0, fused=fused
    )
    for number in range(steps):
        batch = text[number]
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        optimiser.step()
        loss.item()
        clock.tick()
    return clock.per_step()


def careful(name: str, *, rows: int, steps: int) -> dict[str, float]:
    """The plain loop with the fused AdamW, in memory that is kept."""
    with keeping_memory():
        return plain(name, rows=rows, steps=steps, fused=True)


SIDES: dict[str, Callable[..., dict[str, float]]] = {
    "ours": ours,
    "compiled": lambda name, **how: ours(name, **how, compiled=True),
    "plain": plain,
    "careful": careful,
}
LARGE_PAGES = ("ours", "compiled", "careful")


def elsewhere(side: str, clock: str, settings: argparse.Namespace) -> Callable[[], float]:
    """Seconds of a step of one side in a process of its own."""
    threads = 1 if clock == "cpu" else settings.threads
    command = [sys.executable, __file__, "--side", side, "--rows", settings.rows, "--steps", settings.steps]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    environment.pop(PAGES, None)
    environment |= {PAGES: "1"} if side in LARGE_PAGES else {}

    def run() -> float:
        told = subprocess.run(
            [str(part) for part in command], check=True, capture_output=True, text=True, env=environment
        )
        return float(json.loads(told.stdout.splitlines()[-1])[clock])

    return run


def utilisation() -> None:
    """Of a GPU: the share of its stated speed that GPT small's own arithmetic takes, forward and backward."""
    device = torch.cuda.get_device_name()
    peak = next((speed for name, speed in PEAKS.items() if name in device), None)
    rows, found = 64, {}
    for compiled in (False, True):
        seconds = ours("gpt-small", rows=rows, steps=20, compiled=compiled)["wall"]
        work = 3 * flops(model_of("gpt-small"), length=LENGTH, batch=rows)["total"] / seconds
        found["compiled" if compiled else "eager"] = {
            "tokens_per_second": rows * LENGTH / seconds,
            "utilisation": work / peak if peak else None,
        }
        how = "compiled" if compiled else "eager"
        print(f"{device}, GPT small, {how}: {rows * LENGTH / seconds:,.0f} tokens/s")
        print(f"  {work / 1e12:.0f} TFLOP/s" + (f", {work / peak:.1%} of {peak / 1e12:.0f}" if peak else ""))
    keep("pretrain_tokens_gpu", {"device": device, "rows": rows, "length": LENGTH, "found": found})


def contests(settings: argparse.Namespace) -> list[Contest]:
    names = {
        "wall": f"a step, wall clock, {settings.threads} threads",
        "cpu": "a step, processor time, 1 thread",
    }
    pairs = [("ours", "plain", ""), ("ours", "careful", ", careful")]
    pairs += [("compiled", "plain", ", compiled")] if settings.compiled else []
    return [
        Contest(f"{told}{more}", elsewhere(one, clock, settings), elsewhere(other, clock, settings))
        for one, other, more in pairs
        for clock, told in names.items()
        if not (more == ", compiled" and clock == "cpu")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.side:
        print(json.dumps(SIDES[settings.side]("gpt-mini", rows=settings.rows, steps=settings.steps)))
        return
    if torch.cuda.is_available():
        utilisation()
    ratio = compare(
        "pretrain_tokens",
        contests(settings),
        rounds=settings.rounds,
        facts={
            "plain": "transformers, eager, all scores, float32 cross-entropy under bfloat16 autocast, AdamW",
            "careful": "the same with fused AdamW, large pages and memory that is kept",
            "shape": {"model": "gpt-mini", "vocabulary": VOCABULARY, "length": LENGTH, "rows": settings.rows},
            "threads": settings.threads,
            "steps": settings.steps - WARM,
        },
    )
    print(f"wanted: {WANTED}")
    sys.exit(ratio < WANTED)


if __name__ == "__main__":
    main()
