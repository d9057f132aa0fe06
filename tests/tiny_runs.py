"""Recipes of a few steps on the embedded world, and their runs: what the tests of methods share."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

from isogloss.core.config import Document
from isogloss.core.run import RunRecord, read_run
from isogloss.methods.table import resolve, run_recipe

TINY: dict[str, Any] = {"hidden": 32, "layers": 2, "heads": 2, "feedforward": 64, "max_length": 64}

PRETRAIN: dict[str, Any] = {
    "method": "pretrain",
    "architecture": {"family": "modernbert", **TINY},
    "vocabulary": {"kind": "unigram", "size": 500},
    "corpora": {"eng": "miniature/train:150", "fra": "miniature/train:50"},
    "mixture": {"kind": "fixed", "shares": {"eng": 0.8, "fra": 0.2}},
    "length": 32,
    "training": {
        "steps": 6,
        "batch_size": 4,
        "learning_rate": 2e-3,
        "evaluate_every": 3,
        "checkpoint_every": 2,
        "log_every": 1,
    },
    "dev": {"eng": "miniature/dev:10", "fra": "miniature/dev:10"},
    "test": {"eng": "miniature/test:5", "fra": "miniature/test:5"},
}

FINETUNE: dict[str, Any] = {
    "method": "finetune",
    "train": {"eng": "miniature/train:24"},
    "dev": {"eng": "miniature/dev:6"},
    "test": {"eng": "miniature/test:8", "fra": "miniature/test:8"},
    "training": {"steps": 3, "batch_size": 4, "learning_rate": 1e-3, "log_every": 1},
}

DISTIL: dict[str, Any] = {
    "method": "distil",
    "languages": {"source": "eng", "target": "fra"},
    "corpora": {"eng": "miniature/train:100", "fra": "miniature/train:100"},
    "phase1": {
        "length": 32,
        "training": {
            "steps": 6,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "evaluate_every": 3,
            "checkpoint_every": 2,
            "log_every": 1,
        },
    },
    "dev": {"eng": "miniature/dev:10", "fra": "miniature/dev:10"},
}

TOPICS: dict[str, Any] = FINETUNE | {"task": "topic", "train": {"eng": "miniature/train:150"}}
"""A task model to level: enough sentences for every topic."""

LEVEL: dict[str, Any] = {
    "method": "level",
    "task": "topic",
    "source": "eng",
    "unlabelled": {tag: "miniature/train:30" for tag in ("eng", "fra", "swa")},
    "test": {tag: "miniature/test:12" for tag in ("eng", "fra", "swa")},
    "selection": {"selector": "confidence", "draws": 20},
    "guards": {"tolerance": 0.9, "collapse": 0.0},
    "training": {
        "steps": 4,
        "batch_size": 6,
        "learning_rate": 1e-3,
        "evaluate_every": 2,
        "checkpoint_every": 1,
        "log_every": 1,
    },
}


def tiny(base: dict[str, Any], *, without: tuple[str, ...] = (), **changes: Any) -> Any:
    """A recipe from one of the above, without some of its keys; `__` in a name stands for a dot."""
    values = {key: copy.deepcopy(value) for key, value in base.items() if key not in without}
    for name, value in changes.items():
        *path, last = name.split("__")
        place = values
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value
    return resolve(Document(values))


def ran(recipe: Any, out: Path) -> RunRecord:
    """Run a recipe and read what it left."""
    return read_run(run_recipe(recipe, out=out))


def logged(run: RunRecord, metric: str, **where: Any) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl for a metric, narrowed by other columns."""
    wanted = {"metric": metric, **where}
    return [line for line in run.metrics if all(line.get(key) == value for key, value in wanted.items())]


def shortened(value: Any, key: str = "") -> Any:
    """A recipe's values with a few steps, a few sentences and a small vocabulary; its shape stays."""
    if isinstance(value, dict):
        return {name: shortened(inner, name) for name, inner in value.items()}
    if isinstance(value, str) and (place := re.fullmatch(r"(miniature/(\w+)):(\d+)", value)):
        return f"{place[1]}:{min(int(place[3]), _SENTENCES[place[2]])}"
    smallest = {"steps": 3, "epochs": 0.1, "evaluate_every": 2, "checkpoint_every": 2, "size": 600}
    return min(value, smallest[key]) if key in smallest else value


_SENTENCES = {"train": 300, "dev": 8, "test": 8}
