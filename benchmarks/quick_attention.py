"""A training step of an encoder on a CPU: attention that keeps its maps against torch's fused one.

python benchmarks/quick_attention.py
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
import transformers
from harness import Contest, compare

from isogloss.models.backbone import empty_model, quiet
from isogloss.models.quick_attention import quick_attention

LENGTHS = {32: 48, 64: 24, 128: 12, 256: 6}
"""Tokens of a row, and rows: about as many tokens in each."""
_SMALL = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 512}
SHAPES = {
    "small": _SMALL | {"attention_probs_dropout_prob": 0.0},
    "small, maps dropped": _SMALL,
    "base": {"attention_probs_dropout_prob": 0.0},
    "base, maps dropped": {},
}
"""A small encoder and XLM-R base, which drops a tenth of its maps; newer encoders drop none."""
LAYERS = 3


def step(model: transformers.PreTrainedModel, length: int, *, quick: bool) -> Callable[[], None]:
    """Forward and backward pass in bfloat16, a fifth of the rows padded by a quarter."""
    rows = LENGTHS[length]
    batch = {"input_ids": torch.randint(5, 1000, (rows, length)), "attention_mask": torch.ones(rows, length)}
    batch["attention_mask"][: rows // 5, -(length // 4) :] = 0

    def run() -> None:
        model.zero_grad()
        way = quick_attention(model) if quick else nullcontext()
        with way, torch.autocast("cpu", torch.bfloat16):
            states = model(**batch).last_hidden_state
        states.float().square().mean().backward()

    return run


def main() -> None:
    """Time a step of three layers of each shape at each length."""
    torch.manual_seed(0)
    contests = []
    for name, shape in SHAPES.items():
        sizes = shape | {"vocab_size": 1000, "num_hidden_layers": LAYERS, "max_position_embeddings": 258}
        with quiet():
            model = empty_model(transformers.AutoConfig.for_model("xlm-roberta", **sizes), "base").train()
        for length in LENGTHS:
            ways = (step(model, length, quick=quick) for quick in (True, False))
            contests.append(Contest(f"{name}, {length} tokens", *ways))
    facts = {"shapes": SHAPES, "layers": LAYERS, "rows": LENGTHS}
    compare("quick_attention", contests, rounds=3, facts=facts | {"threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
