"""Cloned languages on real English text: what imbalance, anchors, a schedule and more clones do to each.

python benchmarks/imbalance.py prepare                 # one vocabulary for all runs
python benchmarks/imbalance.py clones all 0,1,2        # or settings by name, with commas
python benchmarks/imbalance.py monolingual 0,1,2       # the runs that tell what tokens are worth
python benchmarks/imbalance.py transfer all 0,1,2      # topics learnt in one clone, tested in the other
python benchmarks/imbalance.py french all 0            # English and French, and French alone
python benchmarks/imbalance_report.py                  # scores what is new, writes docs/results/imbalance.md
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

TEXT = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "text"
OUT = Path("runs/imbalance")

STEPS, ROWS, LENGTH, PIECES = 600, 32, 128, 512
SIZES = {"0.05": 0.05, "0.1": 0.1, "0.2": 0.2, "0.5": 0.5, "1": 1.0}
"""Monolingual runs that the law is fitted to, in shares of the tokens of a run with clones."""
BEYOND = {"2": 2.0, "4": 4.0}
"""Monolingual runs that the law is held against, and tokens are read off between where it fails."""


def pair(second: float, **clones: Any) -> dict[str, Any]:
    """Two clones, the second with a share of the sequences."""
    shares = {"eng": 1 - second, "eng-x-2": second}
    return {"clones": {"of": "eng", "count": 2} | clones, "mixture": {"kind": "fixed", "shares": shares}}


def ten(first: float) -> dict[str, Any]:
    """Ten clones, the first with a share of the sequences, the others with equal parts of the rest."""
    shares = {"eng": first} | {f"eng-x-{number}": (1 - first) / 9 for number in range(2, 11)}
    return {"clones": {"of": "eng", "count": 10}, "mixture": {"kind": "fixed", "shares": shares}}


def scheduled(**schedule: Any) -> dict[str, Any]:
    """Two clones whose shares change on the way."""
    return {"clones": {"of": "eng", "count": 2}, "schedule": schedule}


EVEN = {"eng": 0.5, "eng-x-2": 0.5}
SETTINGS: dict[str, dict[str, Any]] = {
    "50-50": pair(0.5),
    "90-10": pair(0.1),
    "ten-even": ten(0.1),
    "ten-half": ten(0.5),
    "anchors-5": pair(0.5, anchors=0.05),
    "anchors-25": pair(0.5, anchors=0.25),
    "75-25": pair(0.25),
    "0.1_0.9": scheduled(kind="stages", stages="0.1_0.9"),
    "glide": scheduled(kind="linear", start={"eng": 0.9, "eng-x-2": 0.1}, end={"eng": 0.1, "eng-x-2": 0.9}),
    "progress": scheduled(kind="adaptive", every=50, budget=EVEN),
    "late": scheduled(kind="annealed", alpha=[1.0, 1.0], enters={"eng-x-2": 0.5}),
}
AGAINST = {name: "50-50" for name in SETTINGS} | {
    "ten-even": "ten-even",
    "ten-half": "ten-even",
    "late": "75-25",
}
"""What each is held against; a schedule against the fixed shares that give both clones as many tokens."""
LONG = 4
"""Times as many steps have those called so."""
_LONG = ("50-50", "90-10", "ten-even", "ten-half", "anchors-5", "0.1_0.9")
SETTINGS |= {f"{name}-long": SETTINGS[name] for name in _LONG}
AGAINST |= {f"{name}-long": f"{AGAINST[name]}-long" for name in _LONG}


def prepare() -> Path:
    """Parts of the text, and the vocabulary of all runs: made once."""
    parts = {
        "train": ("en.train", slice(0, None, 4)),
        "dev": ("en.test", slice(0, 900)),
        "train-fr": ("fr.train", slice(0, None, 4)),
        "dev-fr": ("fr.test", slice(0, 900)),
    }
    for name, (split, lines) in parts.items():
        if not (target := OUT / f"data/{name}.txt").exists():
            write_text(target, "".join(_lines(split)[lines]))
    if not (target := OUT / "data/aligned.txt").exists():
        long = [line for line in _lines("en.valid") if 200 < len(line) < 800]
        write_text(target, "".join(long[:200]))
    folder = OUT / "data/tokenizer"
    if not folder.exists():
        text = {"en-Latn": Corpus("en-Latn", (str(OUT / "data/train.txt"),))}
        vocabulary = train_vocabulary(text, kind="bpe", size=PIECES, objective="causal")
        with whole_folder(folder, seal=False) as unfinished:
            vocabulary.save(unfinished, max_length=LENGTH)
    return folder


def _lines(split: str) -> list[str]:
    with gzip.open(TEXT / f"{split}.txt.gz", "rt", encoding="utf-8") as lines:
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
    share = LONG if setting.endswith("long") else 1.0
    document = recipe(setting, seed, share=share) | SETTINGS[setting]
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
    return run(recipe(f"mono-{size}", seed, share=(SIZES | BEYOND)[size]) | {"dev": dev})


def run(document: Mapping[str, Any]) -> Path:
    """Carry out a recipe; a run of its name that is finished is taken for it."""
    if (done := finished(OUT, document["name"])) is not None:
        return done
    text = yaml.safe_dump(dict(document), sort_keys=False)
    return run_recipe(resolve(parse_document(text, source=document["name"])), out=OUT)


SIB = TEXT.parent / "topic" / "sib200" / "eng_Latn"


def transferred(setting: str, seed: int) -> Path:
    """Topics learnt in the first clone of a model, tested in both."""
    files = {split: str(next(SIB.glob(f"{split}.tsv*"))) for split in ("train", "dev", "test")}
    return run(
        {
            "method": "finetune",
            "model": str(cloned(setting, seed) / "model"),
            "task": "topic",
            "train": {"eng": files["train"]},
            "dev": {"eng": files["dev"]},
            "test": {"eng": files["test"], "eng-x-2": files["test"]},
            "max_length": LENGTH,
            "training": {"epochs": 6, "batch_size": 32, "learning_rate": 1e-3, "evaluate_every": 22},
            "seed": seed,
            "name": f"topic-{setting}-{seed}",
        }
    )


FRENCH: dict[str, dict[str, Any]] = {
    f"{across}-{name}": {"vocabulary": {"kind": "bpe", "size": PIECES, "across": across}} | how
    for across in ("disjoint", "anchored")
    for name, how in {
        "0.1": {"mixture": {"kind": "fixed", "shares": {"eng": 0.9, "fra": 0.1}}},
        "0.5": {"mixture": {"kind": "fixed", "shares": {"eng": 0.5, "fra": 0.5}}},
        "0.9": {"mixture": {"kind": "fixed", "shares": {"eng": 0.1, "fra": 0.9}}},
        "0.1_0.9": {"schedule": {"kind": "stages", "stages": "0.1_0.9"}},
        "0.1_0.9_0.5_0.5": {"schedule": {"kind": "stages", "stages": "0.1_0.9_0.5_0.5"}},
    }.items()
}


FRENCH_AGAINST = {name: f"{name.split('-')[0]}-0.5" for name in FRENCH} | {"anchored-0.5": "disjoint-0.5"}


def french(setting: str, seed: int) -> Path:
    """English and French with vocabularies of their own, disjoint or anchored."""
    document = recipe(f"fr-{setting}", seed) | FRENCH[setting]
    document |= {"corpora": {tag: str(OUT / f"data/{name}.txt") for tag, name in _BOTH.items()}}
    document["alignment"] = {"text": _translations(), "sequences": 200, "gradients": 40}
    del document["tokenizer"]
    return run(document)


def french_alone(size: str, seed: int) -> Path:
    """A run of French alone, with a share of the tokens and a vocabulary learnt as in the others."""
    document = recipe(f"mono-fr-{size}", seed, share=SIZES[size])
    document |= {"corpora": {"fra": str(OUT / "data/train-fr.txt")}}
    document["vocabulary"] = {"kind": "bpe", "size": PIECES}
    del document["tokenizer"]
    return run(document)


_BOTH = {"eng": "train", "fra": "train-fr"}


def _translations() -> dict[str, str]:
    """News in both languages, line by line."""
    return {tag: str(TEXT.parent / f"parallel/ntrex/{short}.txt.gz") for tag, short in _SHORT.items()}


_SHORT = {"eng": "en", "fra": "fr"}


def _each(what: Any, names: Mapping[str, Any], settings: str, seeds: str) -> None:
    for seed in map(int, seeds.split(",")):
        for setting in names if settings == "all" else settings.split(","):
            print(what(setting, seed), flush=True)


def _two_clones() -> dict[str, Any]:
    return {name: how for name, how in SETTINGS.items() if how["clones"]["count"] == 2}


def _french_runs(settings: str, seeds: str) -> None:
    _each(french_alone, SIZES, "all", seeds)
    _each(french, FRENCH, settings, seeds)


COMMANDS: dict[str, Any] = {
    "prepare": prepare,
    "clones": lambda settings, seeds: _each(cloned, SETTINGS, settings, seeds),
    "monolingual": lambda seeds: _each(monolingual, SIZES | BEYOND, "all", seeds),
    "transfer": lambda settings, seeds: _each(transferred, _two_clones(), settings, seeds),
    "french": _french_runs,
}


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    else:
        sys.exit(__doc__)
