"""Run by test_training_killed.py: train in processes that are killed, until one of them finishes.

    python killed_training.py FOLDER SEED

For fp32 and bf16, trains once undisturbed (FOLDER/fp32-whole) and once killed (FOLDER/fp32-killed), and
prints how many processes that took. Each process is a fork of this one, so that torch is imported once. Some
of them are killed at a moment drawn by the clock; the others at their n-th file operation, which falls into
the writing, sealing, renaming and removing of checkpoints.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny_training import (
    LANGUAGES,
    TinyBatches,
    TinyModel,
    tiny_evaluate,
    tiny_plan,
    tiny_run,
    tiny_step,
    weights_of,
)

from isogloss.training.hooks import Ledger
from isogloss.training.loop import train

FILE_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir")
MOST_PROCESSES = 100


def training(folder: Path, precision: str, *, steps: int = 30) -> None:
    plan = tiny_plan(
        steps=steps,
        accumulate=2,
        precision=precision,
        checkpoint_every=3,
        evaluate_every=4,
        patience=6,
        log_every=5,
    )
    model = TinyModel()
    with tiny_run(folder) as run:
        outcome = train(
            model,
            TinyBatches(),
            tiny_step,
            plan=plan,
            run=run,
            phase="tiny",
            seed=3,
            evaluate=tiny_evaluate,
            hooks=[Ledger(LANGUAGES, every=7)],
        )
        facts = torch.tensor([outcome.step, outcome.best_step or -1, outcome.tokens])
        save_file({**weights_of(model), "outcome": facts}, folder / "final.safetensors")


def fork(work: Callable[[], None]) -> int:
    """Do the work in a child process; returns its number."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def finish(child: int, *, seconds: float) -> bool:
    """Wait so long for a child, then kill it; whether it reached its end."""
    deadline = time.monotonic() + seconds
    ended, status = 0, 0
    while not ended and time.monotonic() < deadline:
        time.sleep(0.002)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        sys.exit(f"a process failed with {code}")
    return code == 0


def die_at_file_event(count: int) -> None:
    """Have this very process killed at its count-th file operation."""
    seen = 0

    def hook(event: str, _: object) -> None:
        nonlocal seen
        if event in FILE_EVENTS:
            seen += 1
            if seen == count:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def one_life(folder: Path, precision: str, die: random.Random, lives: int) -> bool:
    # The first two die early at a file operation, whatever the machine's speed. Later lives get longer, so
    # that a busy machine comes to an end too.
    early = lives <= 2
    by_clock, seconds = not early and die.random() < 0.4, die.uniform(0.02, 0.2 + 0.03 * lives)
    events = die.randint(20, 60) if early else die.randint(20, 250 + 15 * lives)

    def work() -> None:
        if not by_clock:
            die_at_file_event(events)
        training(folder, precision)

    return finish(fork(work), seconds=seconds if by_clock else 60.0)


def main(folder: Path, seed: int) -> None:
    torch.set_num_threads(1)
    die = random.Random(seed)
    for precision in ("fp32", "bf16"):
        training(
            folder / f"{precision}-warm", precision, steps=1
        )  # what is slow at first is done before forking
        whole, killed = folder / f"{precision}-whole", folder / f"{precision}-killed"
        assert finish(fork(lambda: training(whole, precision)), seconds=60.0)  # noqa: B023
        lives = 1
        while not one_life(killed, precision, die, lives):
            lives += 1
            assert lives < MOST_PROCESSES, "no end in sight"
        print(f"{precision} {lives}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
