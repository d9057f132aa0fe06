"""Run by test_training_distributed.py, under torchrun or alone.

    distributed_training.py FOLDER ACCUMULATE STEPS BAD_STEP

BAD_STEP is a step whose loss is NaN on the last process, 0 for none.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from accelerate import PartialState
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

from isogloss.core.errors import UserError
from isogloss.core.processes import leave
from isogloss.training.hooks import Ledger
from isogloss.training.loop import train


def main(folder: Path, accumulate: int, steps: int, bad_step: int) -> None:
    state = PartialState(cpu=True)
    seen = 0

    def step(model, batch):
        nonlocal seen
        seen += 1
        losses = tiny_step(model, batch)
        bad = bad_step and state.is_last_process and seen > (bad_step - 1) * accumulate
        return {**losses, "loss": losses["loss"] * (float("nan") if bad else 1.0)}

    ledger = Ledger(LANGUAGES, every=2)
    model = TinyModel()
    # No clipping and a plain schedule, so that what differs is rounding alone.
    plan = tiny_plan(
        steps=6,
        accumulate=accumulate,
        evaluate_every=3,
        checkpoint_every=2,
        learning_rate=1e-3,
        precision="fp32",
        select="last",
    )
    with tiny_run(folder) as run:
        if steps < 6:
            plan = plan.model_copy(update={"steps": steps})
        outcome = train(
            model,
            TinyBatches(),
            step,
            plan=plan,
            run=run,
            phase="tiny",
            seed=0,
            evaluate=tiny_evaluate,
            hooks=[ledger],
        )
    counts = torch.tensor(list(ledger.tokens().values()))
    facts = {"tokens": torch.tensor(outcome.tokens), "ledger": counts}
    save_file({**weights_of(model), **facts}, f"{folder}-{state.process_index}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
    except UserError as error:
        sys.stderr.write(str(error))
        leave(1)
    leave(0)
