"""Cloned languages on real English text: what imbalance, anchors, a schedule and more clones do to each.

python benchmarks/imbalance.py prepare                 # one vocabulary for all runs
python benchmarks/imbalance.py clones all 0,1,2        # or settings by name, with commas
python benchmarks/imbalance.py monolingual 0,1,2       # the runs that the law is fitted to
python benchmarks/imbalance.py report                  # writes docs/results/imbalance.md
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from harness import finished

from isogloss.core.config import parse_document
from isogloss.core.files import whole_folder, write_text
from isogloss.data.corpora import Corpus
from isogloss.methods.table import resolve, run_recipe
from isogloss.vocab.train import train_vocabulary

RESULT = Path(__file__).resolve().parent.parent / "docs" / "results" / "imbalance.md"
TEXT = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "text"
OUT = Path("runs/imbalance")

STEPS, ROWS, LENGTH, PIECES = 600, 32, 128, 512
SIZES = {"0.05": 0.05, "0.1": 0.1, "0.2": 0.2, "0.5": 0.5, "1": 1.0}
"""Monolingual runs, in shares of the tokens of a run with clones."""


def pair(second: float, **clones: Any) -> dict[str, Any]:
    """Two clones, the second with a share of the sequences."""
    shares = {"eng": 1 - second, "eng-x-2": second}
    return {"clones": {"of": "eng", "count": 2} | clones, "mixture": {"kind": "fixed", "shares": shares}}


def ten(first: float) -> dict[str, Any]:
    """Ten clones, the first with a share of the sequences, the others with equal parts of the rest."""
    shares = {"eng": first} | {f"eng-x-{number}": (1 - first) / 9 for number in range(2, 11)}
    return {"clones": {"of": "eng", "count": 10}, "mixture": {"kind": "fixed", "shares": shares}}


SETTINGS: dict[str, dict[str, Any]] = {
    "50-50": pair(0.5),
    "90-10": pair(0.1),
    "ten-even": ten(0.1),
    "ten-half": ten(0.5),
    "anchors-5": pair(0.5, anchors=0.05),
    "anchors-25": pair(0.5, anchors=0.25),
    "0.1_0.9": {
        "clones": {"of": "eng", "count": 2},
        "schedule": {"kind": "stages", "stages": "0.1_0.9"},
    },
    "adaptive": {
        "clones": {"of": "eng", "count": 2},
        "schedule": {
            "kind": "adaptive",
            "every": 50,
            "budget": {"eng": 0.5, "eng-x-2": 0.5},
        },
    },
}


def prepare() -> Path:
    """Parts of the text, and the vocabulary of all runs: made once."""
    parts = {"train": ("train", slice(0, None, 4)), "dev": ("test", slice(0, 900))}
    for name, (split, lines) in parts.items():
        if not (target := OUT / f"data/{name}.txt").exists():
            write_text(target, "".join(_lines(split)[lines]))
    if not (target := OUT / "data/aligned.txt").exists():
        long = [line for line in _lines("valid") if 200 < len(line) < 800]
        write_text(target, "".join(long[:200]))
    folder = OUT / "data/tokenizer"
    if not folder.exists():
        text = {"en-Latn": Corpus("en-Latn", (str(OUT / "data/train.txt"),))}
        vocabulary = train_vocabulary(text, kind="bpe", size=PIECES, objective="causal")
        with whole_folder(folder, seal=False) as unfinished:
            vocabulary.save(unfinished, max_length=LENGTH)
    return folder


def _lines(split: str) -> list[str]:
    with gzip.open(TEXT / f"en.{split}.txt.gz", "rt", encoding="utf-8") as lines:
        return list(lines)


def recipe(name: str, seed: int, *, share: float = 1.0) -> dict[str, Any]:
    """A run of the study without what sets it apart; `share` of its steps."""
    return {
        "method": "pretrain",
        "objective": "causal",
        "architecture": {
            "family": "gpt2",
            "hidden": 128,
            "layers": 3,
            "heads": 4,
            "max_length": LENGTH,
            "options": {"tie_word_embeddings": False},
        },
        "tokenizer": str(prepare()),
        "corpora": {"eng": str(OUT / "data/train.txt")},
        "length": LENGTH,
        "training": {
            "steps": round(STEPS * share),
            "batch_size": ROWS,
            "learning_rate": 2.0e-3,
            "schedule": "cosine",
            "warmup": 0.05,
            "final": 0.01,
            "weight_decay": 0.0,
            "betas": [0.9, 0.95],
            "select": "last",
            "log_every": 50,
            "checkpoint_every": None,
        },
        "seed": seed,
        "name": f"{name}-{seed}",
    }


def cloned(setting: str, seed: int) -> Path:
    """A run with clones; perplexity and alignment of the first clone, the second and the last."""
    document = recipe(setting, seed) | SETTINGS[setting]
    count = document["clones"]["count"]
    dev = {tag: str(OUT / "data/dev.txt") for tag in ("eng", "eng-x-2")}
    text = {"eng": str(OUT / "data/aligned.txt")}
    more = (
        {"dev": dev, "alignment": {"text": text, "sequences": 200, "gradients": 40}}
        if count == 2
        else {"dev": dev}
    )
    return run(document | more)


def monolingual(size: str, seed: int) -> Path:
    """A run of English alone, with a share of the tokens."""
    dev = {"eng": str(OUT / "data/dev.txt")}
    return run(recipe(f"mono-{size}", seed, share=SIZES[size]) | {"dev": dev})


def run(document: Mapping[str, Any]) -> Path:
    """Carry out a recipe; a run of its name that is finished is taken for it."""
    if (done := finished(OUT, document["name"])) is not None:
        return done
    text = yaml.safe_dump(dict(document), sort_keys=False)
    return run_recipe(resolve(parse_document(text, source=document["name"])), out=OUT)


def _each(settings: str, seeds: str) -> None:
    for seed in map(int, seeds.split(",")):
        for setting in SETTINGS if settings == "all" else settings.split(","):
            print(cloned(setting, seed), flush=True)


def _all_sizes(seeds: str) -> None:
    for seed in map(int, seeds.split(",")):
        for size in SIZES:
            print(monolingual(size, seed), flush=True)


COMMANDS: dict[str, Any] = {"prepare": prepare, "clones": _each, "monolingual": _all_sizes}


if __name__ == "__main__":
    what, *arguments = sys.argv[1:] or ["report"]
    COMMANDS[what](*arguments)
