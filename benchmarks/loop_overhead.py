"""What the training loop costs over a bare PyTorch loop that does the same updates.

    python benchmarks/loop_overhead.py

Both sides use the same model, batches held in memory, autocast, fused AdamW, clipping and schedule; ours adds
seeding per batch, checks for NaN, weighting, the log, the feed's thread and hooks. What counts is the time of
a step, the first few left out; making the model and the last checkpoint are not in it. The ratio is bare /
ours at the larger shape: 1 is a loop that costs nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from harness import Contest, compare
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

WARM = 3
"""Steps that do not count: the first ones fill caches."""
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
    Shape("10M", layers=6, width=256, vocabulary=20_000, rows=16, length=64, steps=12),
    Shape("tiny", layers=2, width=32, vocabulary=500, rows=8, length=32, steps=200),
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
    """When each step was done."""

    name = "clock"

    def __init__(self) -> None:
        self.ticks: list[float] = []

    def tick(self) -> None:
        self.ticks.append(time.perf_counter())

    def after_step(self, moment: Moment, micros: Sequence[Micro]) -> None:
        self.tick()

    def per_step(self) -> float:
        """Seconds of a step, on average after the first few."""
        return (self.ticks[-1] - self.ticks[WARM - 1]) / (len(self.ticks) - WARM)


def step(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    logits = model(batch["input_ids"])
    return {"loss": functional.cross_entropy(logits.flatten(0, 1).float(), batch["labels"].flatten())}


def plan_for(shape: Shape) -> TrainingPlan:
    return TrainingPlan(steps=shape.steps, learning_rate=1e-4, checkpoint_every=None)


def ours(shape: Shape) -> float:
    """Seconds of a step in the loop."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, open_run(Path(folder), Recipe()) as run:
        train(
            Encoder(shape),
            Batches(shape),
            step,
            plan=plan_for(shape),
            run=run,
            phase="benchmark",
            seed=0,
            hooks=[clock],
            show_progress=False,
        )
    return clock.per_step()


def bare(shape: Shape) -> float:
    """Seconds of a step without the loop."""
    clock, plan = Clock(), plan_for(shape)
    model, batches = Encoder(shape), Batches(shape)
    optimiser, rate = adamw(model, plan), schedule(plan, shape.steps)
    precision = resolve("auto", CPU)
    for number in range(shape.steps):
        optimiser.zero_grad()
        with autocast(precision, CPU):
            loss = step(model, batches[number])["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        set_rate(optimiser, plan.learning_rate * rate(number))
        optimiser.step()
        clock.tick()
    return clock.per_step()


def contest(shape: Shape) -> Contest:
    return Contest(f"a step, {shape.name}", lambda: ours(shape), lambda: bare(shape))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    compare(
        "loop_overhead",
        [contest(shape) for shape in SHAPES],
        rounds=parser.parse_args().rounds,
        facts={
            "plain": "a bare PyTorch loop: the same model, batches, optimiser, schedule and clipping",
            "threads": torch.get_num_threads(),
            "precision": resolve("auto", CPU),
            "shapes": [asdict(shape) for shape in SHAPES],
        },
    )
