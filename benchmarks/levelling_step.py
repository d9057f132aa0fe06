"""A step of levelling over fifteen languages, against one that forwards every pair by itself.

Seven languages teach: 21 pairs of two teachers and 56 of a teacher and a student, as many as ALSACE's code
has on XNLI. Both sides have the same weights and the same items in all languages, no dropout, and go forward
and backward through the same loss: the mean of KL(teacher || learner) over all pairs and items, in which two
teachers teach each other.

Ours reads each item once in each language. The plain side is written as the authors' code is: pairs of an
item in two languages are the examples, in batches of 40 as theirs; each batch is forwarded twice, the first
languages and then the second, and its part of the loss goes backward at once. Every row has as many tokens,
so that nobody gains by padding.

The first row lets teachers be drawn to those they teach, as the authors' code does, so that losses and
gradients are equal. The second stops the gradient at teachers, which is our default; there the plain side
forwards a teacher beside a student without keeping anything for a backward pass.

    python benchmarks/levelling_step.py            # all cores; give the machine nothing else to do
    python benchmarks/levelling_step.py --small    # a model of four layers, 256 wide, in less than a minute
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from harness import Contest, compare

from isogloss.data.aligned import aligned_batches
from isogloss.data.features import Features
from isogloss.methods.self_distillation import LevelStep
from isogloss.models.levelling import Levelling
from isogloss.models.task_model import TaskModel
from isogloss.models.tasks import build_task_model

LANGUAGES, TEACHERS, CLASSES = 15, 7, 3
PAIR_BATCH = 40
WANTED, EQUAL = 5.0, 1e-5

Step = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Shape:
    """Of the model and of a step.

    Attributes:
        items: in a step, each in every language.
        length: tokens of each row.
    """

    layers: int
    hidden: int
    heads: int
    vocabulary: int
    items: int
    length: int
    rounds: int


XLMR_BASE = Shape(layers=12, hidden=768, heads=12, vocabulary=30_000, items=4, length=32, rounds=3)
"""With a trimmed vocabulary."""
SMALL = Shape(layers=4, hidden=256, heads=4, vocabulary=5_000, items=4, length=32, rounds=3)


def classifier(shape: Shape) -> TaskModel:
    """Random weights, the same each time; no dropout."""
    from transformers import AutoModel, XLMRobertaConfig

    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.hidden,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
    )
    labels = tuple(map(str, range(CLASSES)))
    model = build_task_model("label", AutoModel.from_config(config), labels=labels, pooling="mean")
    for name, parameter in model.named_parameters():
        if name.startswith("head") and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)  # or all languages would say nearly the same
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return model.train()


def texts(shape: Shape) -> torch.Tensor:
    """Token ids, (languages, items, length)."""
    size = (LANGUAGES, shape.items, shape.length)
    return torch.randint(5, shape.vocabulary, size, generator=torch.Generator().manual_seed(1))


def ours(model: TaskModel, ids: torch.Tensor, *, stop: bool) -> Step:
    """One step of `isogloss level` with aim: pairs."""
    tags = [str(number) for number in range(LANGUAGES)]
    features = {
        tag: [Features("label", item, (row,)) for item, row in enumerate(rows)]
        for tag, rows in zip(tags, ids.tolist(), strict=True)
    }
    batches = aligned_batches(features, pad_id=1, batch_size=ids.shape[1], seed=0)
    levelling = Levelling(
        model, languages=LANGUAGES, teachers=range(TEACHERS), aim="pairs", stop_gradient=stop
    )
    step = LevelStep(tags, anchor=0.0)

    def run() -> torch.Tensor:
        model.zero_grad()
        loss = step(levelling, batches[0])["loss"]
        loss.backward()
        return loss.detach()

    return run


def pairs() -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Two teachers, and a teacher with a student: numbers of languages."""
    students = range(TEACHERS, LANGUAGES)
    return [*combinations(range(TEACHERS), 2)], [(t, s) for t in range(TEACHERS) for s in students]


def examples(ids: torch.Tensor, chosen: list[tuple[int, int]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of rows in a pair's first language and in its second, of all pairs of all items."""
    first, second = (ids[list(side)].flatten(0, 1) for side in zip(*chosen, strict=True))
    yield from zip(first.split(PAIR_BATCH), second.split(PAIR_BATCH), strict=True)


def divergence(teacher: torch.Tensor, learner: torch.Tensor) -> torch.Tensor:
    """The sum of KL(teacher || learner) over rows."""
    theirs, own = teacher.log_softmax(-1), learner.log_softmax(-1)
    return (theirs.exp() * (theirs - own)).sum()


def plain(model: TaskModel, ids: torch.Tensor, *, stop: bool) -> Step:
    """Every pair of every item by itself, two forwards each."""
    mutual, taught = pairs()
    count = (2 * len(mutual) + len(taught)) * ids.shape[1]

    def logits(rows: torch.Tensor) -> torch.Tensor:
        return model({"input_ids": rows, "attention_mask": torch.ones_like(rows)}).logits["labels"]

    def held(scores: torch.Tensor) -> torch.Tensor:
        return scores.detach() if stop else scores

    def run() -> torch.Tensor:
        model.zero_grad()
        total = torch.zeros(())
        for first, second in examples(ids, mutual):
            one, other = logits(first), logits(second)
            loss = (divergence(held(one), other) + divergence(held(other), one)) / count
            loss.backward()
            total += loss.detach()
        for first, second in examples(ids, taught):
            with torch.set_grad_enabled(not stop):
                teacher = logits(first)
            loss = divergence(teacher, logits(second)) / count
            loss.backward()
            total += loss.detach()
        return total

    return run


def check_equal(model: TaskModel, one: Step, other: Step) -> dict[str, float]:
    """Losses and gradients of both sides in fp32; refuses to go on where the losses differ."""
    found = []
    for step in (one, other):
        loss = step().item()
        found.append((loss, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])))
    (mine, own), (theirs, plainly) = found
    assert abs(mine - theirs) <= EQUAL * max(1.0, abs(theirs)), (mine, theirs)
    off = ((own - plainly).norm() / plainly.norm()).item()
    return {"loss": mine, "loss_off": abs(mine - theirs), "gradient_off": off}


def main() -> None:
    """See that both compute the same, then time them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    shape = SMALL if parser.parse_args().small else XLMR_BASE
    model, ids = classifier(shape), texts(shape)
    rows: dict[str, tuple[Any, Any]] = {
        name: (ours(model, ids, stop=stop), plain(model, ids, stop=stop))
        for name, stop in (("gradient through teachers", False), ("teachers held", True))
    }
    equal = {name: check_equal(model, *sides) for name, sides in rows.items()}
    for name, found in equal.items():
        print(
            f"{name}: loss {found['loss']:.4f}, off by {found['loss_off']:.1e}; "
            f"gradient off by {found['gradient_off']:.1e}"
        )
    mutual, taught = pairs()
    facts = {
        "model": "XLM-R-base with a trimmed vocabulary" if shape is XLMR_BASE else "small",
        "shape": vars(shape),
        "languages": LANGUAGES,
        "teachers": TEACHERS,
        "pairs": len(mutual) + len(taught),
        "rows": {
            "ours": LANGUAGES * shape.items,
            "plain": 2 * (len(mutual) + len(taught)) * shape.items,
        },
        "pair_batch": PAIR_BATCH,
        "threads": torch.get_num_threads(),
        "equal": equal,
        "wanted": WANTED,
    }
    contests = [Contest(name, *sides) for name, sides in rows.items()]
    compare("levelling_step", contests, rounds=shape.rounds, facts=facts)


if __name__ == "__main__":
    main()
