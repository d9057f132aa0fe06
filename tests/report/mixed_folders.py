"""Run folders of pretrainings on mixtures, as `isogloss run` leaves them, with the paper's numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from isogloss.core.config import Record
from isogloss.core.run import Run, open_run
from isogloss.core.seeds import generator

FIRST, SECOND = "en-Latn", "en-Latn-x-2"
WHOLE = 1_197_015_040
PARTS = ("embedding", "attention", "feed-forward", "norm")


class Pretrain(Record):
    method: str = "pretrain"
    architecture: Any = None
    corpora: Any = None
    clones: Any = None
    mixture: Any = None
    schedule: Any = None
    steps: int = 1
    seed: int = 0
    name: str | None = None


class Pipeline(Record):
    method: str = "pipeline"
    stages: Any = None


class Finetune(Record):
    method: str = "finetune"
    model: str
    task: str = "nli"
    train: Any = None


SMALL = {"family": "gpt2", "layers": 12, "hidden": 768}


def monolingual(
    folder: Path,
    tokens: float,
    perplexity: float,
    *,
    seed: int = 0,
    pieces: float = 4.0,
    shape: dict[str, Any] = SMALL,
) -> Path:
    """A run of English alone; `pieces`: bytes of a token of its test text."""
    recipe = Pretrain(architecture=shape, corpora={FIRST: "en.txt"}, steps=int(tokens // 65536), seed=seed)
    with open_run(folder, recipe) as run:
        _trained(run, {FIRST: tokens}, {FIRST: perplexity}, pieces=pieces)
    return folder


def mixed(
    folder: Path,
    perplexities: tuple[float, float],
    *,
    share: float,
    total: float = WHOLE,
    seed: int = 0,
    anchors: float = 0.0,
    aligned: bool = False,
    schedule: Any = None,
    pieces: float = 4.0,
    shape: dict[str, Any] = SMALL,
) -> Path:
    recipe = Pretrain(
        architecture=shape,
        corpora={FIRST: "en.txt"},
        clones={"of": FIRST, "count": 2, "anchors": anchors},
        mixture={"shares": {FIRST: 1 - share, SECOND: share}},
        schedule=schedule,
        steps=int(total // 65536),
        seed=seed,
    )
    tokens = {FIRST: (1 - share) * total, SECOND: share * total}
    with open_run(folder, recipe) as run:
        if schedule:
            for stage, (step, now) in enumerate(((50, 0.1), (100, 0.9)), 1):
                facts = {"phase": "pretrain", "step": step, "stage": stage}
                run.log("stage_tokens", (1 - now) * total / 2, language=FIRST, **facts)
                run.log("stage_tokens", now * total / 2, language=SECOND, **facts)
        _trained(run, tokens, dict(zip((FIRST, SECOND), perplexities, strict=True)), pieces=pieces)
        if aligned:
            _aligned(run, high=share < 0.3, seed=seed)
    return folder


def two_stages(folder: Path, *shares: float, perplexities: tuple[float, float]) -> Path:
    """A pipeline of one pretraining for each share, called "share-0.1" and so on."""
    with open_run(folder, Pipeline(stages={f"share-{share}": {} for share in shares})):
        for share in shares:
            mixed(folder / "stages" / f"share-{share}", perplexities, share=share)
    return folder


def piped(
    folder: Path,
    *,
    share: float,
    accuracies: tuple[float, float],
    seed: int = 0,
    learnt: str = FIRST,
) -> Path:
    with open_run(folder, Pipeline(stages={"base": {}, "task": {}, "share": share, "seed": seed})):
        mixed(folder / "stages" / "base", (22.0, 30.0), share=share, seed=seed)
        recipe = Finetune(model="stage:base", train={learnt: "nli.tsv"})
        with open_run(folder / "stages" / "task", recipe) as run:
            for tag, value in zip((FIRST, SECOND), accuracies, strict=True):
                facts = {"phase": "evaluate", "step": 9, "split": "test", "language": tag, "task": "nli"}
                run.log("accuracy", 0.33, model="base", **facts)
                run.log("accuracy", value, model="finetuned", **facts)
    return folder


def _trained(run: Run, tokens: dict[str, float], perplexities: dict[str, float], *, pieces: float) -> None:
    for tag, count in tokens.items():
        run.log("tokens", count, phase="pretrain", step=100, language=tag)
        run.log("share", count / sum(tokens.values()), phase="pretrain", step=100, language=tag)
    for tag, value in perplexities.items():
        facts = {"phase": "evaluate", "step": 100, "split": "test", "language": tag, "task": "lm"}
        run.log("perplexity", value, **facts)
        run.log("bits_per_byte", math.log2(value) / pieces, **facts)
    run.size("model", parameters=110_600_000, bytes=442_400_000, layers=12, hidden=768, vocabulary=16384)


def _aligned(run: Run, *, high: bool, seed: int) -> None:
    noise = generator(seed, "noise", int(high)).normal(0, 0.01, 40)
    facts = {"phase": "aligned", "step": 100, "split": "aligned", "language": FIRST, "other": SECOND}
    for layer in range(13):
        value = (0.9 if high else 0.6) - 0.03 * layer + noise[layer]
        run.log("hidden_cosine", value, layer=layer, low=value - 0.02, high=value + 0.02, **facts)
        run.log("hidden_cosine_centred", value - 0.1, layer=layer, **facts)
        run.log("hidden_cosine_floor", 0.4, layer=layer, **facts)
    for place, part in enumerate(PARTS):
        run.log("gradient_cosine", (0.53 if high else 0.07) + noise[20 + place], part=part, **facts)
    for layer in range(12):
        run.log("gradient_cosine", (0.5 if high else 0.05) + noise[24 + layer], layer=layer, **facts)
    for place, frequency in enumerate((10.0, 100.0, 1000.0)):
        run.log("embedding_cosine", 0.1 + 0.2 * place * high, part="input", frequency=frequency, **facts)
        run.log("embedding_cosine", 0.3, part="output", frequency=frequency, **facts)
    run.log("embedding_cosine", 0.2, part="input", **facts)
    run.log("retrieval_mrr", 0.2, layer=0, **facts)
    run.log("retrieval_mrr", 0.2, layer=0, **facts | {"language": SECOND, "other": FIRST})
