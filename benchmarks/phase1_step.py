"""A step of general distillation, ours against a plain one in float32 and in bfloat16.

All sides make the same student (six of the twelve layers of a model in the shape of XLM-R-base on a trimmed
vocabulary) more like the same teacher on the same batch, in hidden states and attention maps, and do a
forward and a backward pass. The plain side does it as the authors' code does, with transformers: two models
with their heads, eager attention, all hidden states and all maps, the mean of squares over selected entries
of the maps; and in its second form the same under autocast.

How much faster this processor multiplies matrices in bfloat16 than in float32 is measured too. It bounds the
first ratio: of the plain step's arithmetic four fifths are the two models' layers, which every side computes
whole. So is how far bfloat16 takes the loss and the gradient from float32, on either side.

    python benchmarks/phase1_step.py               # all cores; give the machine nothing else to do
    python benchmarks/phase1_step.py --accuracy    # not the times, which take minutes
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from harness import Contest, compare
from torch.nn.functional import mse_loss

from isogloss.compress.layers import keep_layers
from isogloss.losses.combine import combine
from isogloss.losses.plan import GENERAL
from isogloss.models.distillation import Distillation
from isogloss.models.task_model import TaskModel
from isogloss.models.teacher import Teacher
from isogloss.training.precision import autocast

VOCABULARY, BATCH, LENGTH, ROUNDS = 30_000, 8, 256, 5
KEEP = (1, 3, 5, 7, 9, 11)
WANTED = {"fp32": 5.0, "bf16": 1.3}
CPU = torch.device("cpu")


def teacher() -> Any:
    """XLM-R-base's shape on a trimmed vocabulary, with random weights."""
    from transformers import AutoModelForMaskedLM, XLMRobertaConfig

    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=VOCABULARY,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
    )
    return AutoModelForMaskedLM.from_config(config).eval()


def student(of: Any) -> Any:
    """Every second layer, dropout 0 as published, somewhat moved so that the losses are not tiny."""
    made = keep_layers(of, KEEP, dropout=0.0).train()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=generator)
    return made


def batch() -> dict[str, torch.Tensor]:
    """Whole sequences of running text: nothing is padded."""
    ids = torch.randint(5, VOCABULARY, (BATCH, LENGTH), generator=torch.Generator().manual_seed(2))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def ours(of: Any, made: Any) -> Callable[[Any], torch.Tensor]:
    """One step of `isogloss distil`."""
    asked = Teacher(TaskModel(of, None, kind="text"))
    both = Distillation(TaskModel(made, None, kind="text"), asked, layers=KEEP, losses=GENERAL)
    inputs = batch()

    def step(precision: Any) -> torch.Tensor:
        made.zero_grad()
        with autocast(precision, CPU):
            loss = combine(both(inputs), GENERAL.weights).total
        loss.backward()
        return loss.detach()

    return step


def selected(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """The authors' distance of two maps: they find padding as what the teacher does not look at."""
    seen = teacher != 0
    return mse_loss(student[seen], teacher[seen])


def plain(of: Any, made: Any) -> Callable[[Any], torch.Tensor]:
    """One step of a script written with transformers."""
    of.set_attn_implementation("eager")
    made.set_attn_implementation("eager")
    inputs = batch()

    def step(precision: Any) -> torch.Tensor:
        made.zero_grad()
        with autocast(precision, CPU):
            with torch.no_grad():
                theirs = of(**inputs, output_hidden_states=True, output_attentions=True)
            mine = made(**inputs, output_hidden_states=True, output_attentions=True)
            states = zip(mine.hidden_states, theirs.hidden_states[::2], strict=True)
            hidden = [mse_loss(a, b) for a, b in states]
            heads = zip(mine.attentions, theirs.attentions[1::2], strict=True)
            maps = [selected(a, b) for a, b in heads]
        loss = torch.stack(hidden).mean() + torch.stack(maps).mean()
        loss.backward()
        return loss.detach()

    return step


def multiplications() -> dict[str, float]:
    """Billions of operations a second in a product of the feed-forward block's shape, the best of some."""
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        rows, weight = (torch.randn(size, 768, dtype=dtype) for size in (BATCH * LENGTH, 3072))
        seconds = []
        for _ in range(30):
            began = time.perf_counter()
            torch.nn.functional.linear(rows, weight)
            seconds.append(time.perf_counter() - began)
        found[name] = 2 * rows.numel() * 3072 / min(seconds) / 1e9
    return found


def gradient(step: Callable[[Any], torch.Tensor], made: Any, precision: str) -> torch.Tensor:
    """All of it after one step, and the loss as its last entry."""
    loss = step(precision)
    parts = [p.grad.flatten() for p in made.parameters() if p.grad is not None]
    return torch.cat([*parts, loss.float()[None]]).double()


def distance(one: torch.Tensor, exact: torch.Tensor) -> dict[str, float]:
    """Of a gradient and a loss from others, relative to these."""
    return {
        "loss": ((one[-1] - exact[-1]).abs() / exact[-1]).item(),
        "gradient": ((one[:-1] - exact[:-1]).norm() / exact[:-1].norm()).item(),
    }


def main() -> None:
    """Measure errors, then times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--accuracy", action="store_true")
    sides = {}
    for side in (ours, plain):
        of = teacher()
        made = student(of)
        sides[side.__name__] = side(of, made), made
    exact = gradient(*sides["plain"], "fp32")
    errors = {
        f"{name} {precision}": distance(gradient(*sides[name], precision), exact)
        for name, precision in (("ours", "fp32"), ("ours", "bf16"), ("plain", "bf16"))
    }
    for name, error in errors.items():
        print(
            f"{name} against plain fp32: loss off by {error['loss']:.1e}, gradient by {error['gradient']:.1e}"
        )
    if parser.parse_args().accuracy:
        return
    rates = multiplications()
    print(", ".join(f"{name} products: {rate:.0f} GFLOP/s" for name, rate in rates.items()))
    contests = [
        Contest(
            f"bf16 step against plain {precision}",
            lambda: sides["ours"][0]("bf16"),
            lambda precision=precision: sides["plain"][0](precision),
        )
        for precision in WANTED
    ]
    facts = {
        "layers": [12, len(KEEP)],
        "vocabulary": VOCABULARY,
        "batch": [BATCH, LENGTH],
        "threads": torch.get_num_threads(),
        "products_gflops": rates,
        "off_plain_fp32": errors,
        "wanted": WANTED,
    }
    compare("phase1_step", contests, rounds=ROUNDS, facts=facts)


if __name__ == "__main__":
    main()
