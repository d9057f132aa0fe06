"""Cloned languages on real English text: what imbalance, anchors, a schedule and more clones do to each.

python benchmarks/imbalance.py prepare                 # one vocabulary for all runs
python benchmarks/imbalance.py clones all 0,1,2        # or settings by name, with commas
python benchmarks/imbalance.py monolingual 0,1,2       # the runs that the law is fitted to
python benchmarks/imbalance.py transfer all 0,1,2      # topics learnt in one clone, tested in the other
python benchmarks/imbalance.py french all 0            # English and French, and French alone
python benchmarks/imbalance.py report                  # scores what is new, writes docs/results/imbalance.md
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from harness import finished, machine

from isogloss.analysis.scaling import ScalingFit, fit
from isogloss.core.by_language import tokenizer_of
from isogloss.core.config import parse_document
from isogloss.core.errors import DataError
from isogloss.core.files import whole_folder, write_json, write_text
from isogloss.core.run import read_run
from isogloss.data.corpora import Corpus
from isogloss.evaluate.windows import Windows, scored_windows
from isogloss.methods.table import resolve, run_recipe
from isogloss.models.backbone import load_model, load_tokenizer
from isogloss.models.tasks import TaskModel
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

WINDOWS = Windows(length=LENGTH, scored=LENGTH // 4)
"""As published, in proportion to the model's length."""
MOST = 40_000
"""Tokens of the held-out text that count."""


def scored(folder: Path) -> dict[str, float]:
    """Perplexity of a run's languages on held-out text by sliding windows; worked out once."""
    target = OUT / f"data/windows-{folder.name.split('-', 3)[3]}.json"
    if not target.exists():
        tokenizer = load_tokenizer(folder / "model")
        model = TaskModel(load_model(folder / "model", "causal"), None, kind="text")
        ledger = {str(line["language"]) for line in read_run(folder).metrics if line["metric"] == "tokens"}
        tags = sorted(ledger & {"en-Latn", "en-Latn-x-2", "fr-Latn"})
        streams = {tag: _stream(tokenizer_of(tokenizer, tag), tag) for tag in tags}
        found = scored_windows(model, streams, WINDOWS, most=MOST)
        write_json(target, {tag: one.perplexity for tag, one in found.items()})
    values: dict[str, float] = json.loads(target.read_text(encoding="utf-8"))
    return values


def _stream(tokenizer: Any, tag: str) -> npt.NDArray[np.int64]:
    """The held-out text, each line followed by the end of text."""
    name = "dev-fr" if tag.startswith("fr") else "dev"
    text = (OUT / f"data/{name}.txt").read_text(encoding="utf-8").splitlines()
    rows = tokenizer([line for line in text if line.strip()], add_special_tokens=False)["input_ids"]
    return np.array(
        [tokenizer.eos_token_id, *(number for row in rows for number in (*row, tokenizer.eos_token_id))]
    )


def runs(setting: str) -> list[Path]:
    """The finished runs of a setting, by seed."""
    return [folder for seed in range(9) if (folder := finished(OUT, f"{setting}-{seed}")) is not None]


def tokens(folder: Path, language: str) -> float:
    """What a language had, by the run's ledger."""
    lines = [x for x in read_run(folder).metrics if x["metric"] == "tokens" and x.get("language") == language]
    return float(lines[-1]["value"])


def law(name: str = "mono", language: str = "en-Latn") -> ScalingFit:
    """Fitted to all monolingual runs that are finished."""
    folders = [folder for size in SIZES for folder in runs(f"{name}-{size}")]
    return fit(
        [tokens(folder, language) for folder in folders],
        [scored(folder)[language] for folder in folders],
        unit=TOKENS,
    )


TOKENS = STEPS * ROWS * LENGTH
MILLIONS = round(TOKENS / 1e6, 2)
PREFACE = f"""# Language imbalance on real English

Cloned languages: the same English text with pieces of its own for each clone. A GPT-2 of 3 layers, 128
wide, {PIECES} byte-level pieces, {LENGTH} tokens a row; {STEPS} steps of {ROWS} rows, {MILLIONS} million
tokens in all clones together (a run of the paper has 1,197 million). Perplexity by sliding
windows of {LENGTH} tokens
of which the last {LENGTH // 4} count, on {MOST:,} tokens of books that nothing was trained on.
TEff is the monolingual tokens of the same perplexity over the tokens that the clone had, by the law of
{{monolingual}} monolingual runs; its interval (95 %) is over these runs and over seeds. The second clone of
`90-10` had a tenth of the tokens.

    python benchmarks/imbalance.py monolingual 0,1,2
    python benchmarks/imbalance.py clones all 0,1,2
    python benchmarks/imbalance.py report
"""


def report() -> None:
    """Write docs/results/imbalance.md from the runs that are there."""
    fitted = law()
    monolingual = sum(len(runs(f"mono-{size}")) for size in SIZES)
    parts = [PREFACE.format(monolingual=monolingual).strip()]
    parts += ["## Perplexity and token efficiency", "\n".join(_efficiencies(fitted))]
    parts += ["## The law", "\n".join(_law(fitted))]
    clones = {setting: runs(setting) for setting in SETTINGS}
    parts += ["## Alignment of two clones", _ALIGNMENT.strip(), "\n".join(_alignments(clones))]
    if len(lines := list(_transfers())) > 2:
        parts += ["## Topics learnt in the first clone", _TRANSFER.strip(), "\n".join(lines)]
    both = {setting: runs(f"fr-{setting}") for setting in FRENCH}
    if any(both.values()):
        parts += ["## English and French", _FRENCH_TEXT.strip(), "\n".join(_french(fitted))]
        parts += ["### Alignment of English and French", "\n".join(_alignments(both))]
    facts = machine()
    parts.append(f"Measured on {facts['cores']} cores of {facts['processor']}, torch {facts['torch']}.")
    write_text(RESULT, "\n\n".join(parts) + "\n")


def _efficiencies(fitted: ScalingFit) -> Iterator[str]:
    yield "| setting | seeds | PPL clone 1 | PPL clone 2 | TEff clone 1 | TEff clone 2 |"
    yield "|---|---:|---:|---:|---:|---:|"
    for setting in SETTINGS:
        if folders := runs(setting):
            values = [scored(folder) for folder in folders]
            cells = [_spread([each[tag] for each in values]) for tag in ("en-Latn", "en-Latn-x-2")]
            for tag in ("en-Latn", "en-Latn-x-2"):
                had = fmean(tokens(folder, tag) for folder in folders)
                cells.append(_teff(fitted, [each[tag] for each in values], had))
            yield " | ".join([f"| {setting}", str(len(folders)), *cells]) + " |"


def _teff(fitted: ScalingFit, perplexities: list[float], had: float) -> str:
    try:
        found = fitted.efficiency(perplexities, had)
    except DataError:
        return "beyond the law"
    beyond = " (extrapolated)" if found.extrapolated else ""
    return f"{found.teff.value:.2f} [{found.teff.low:.2f}, {found.teff.high:.2f}]{beyond}"


def _spread(values: list[float]) -> str:
    return f"{fmean(values):.2f}" + (f" ± {pstdev(values):.2f}" if len(values) > 1 else "")


def _law(fitted: ScalingFit) -> Iterator[str]:
    found = fitted.law
    yield f"1/PPL = {found.c:.4f} - {found.a:.4f} x^-{found.b:.4f}, x in units of {TOKENS:,} tokens."
    yield ""
    yield "| share of a run | seeds | PPL | the law of the other sizes is off by |"
    yield "|---:|---:|---:|---:|"
    for (size, folders), off in zip(
        ((size, runs(f"mono-{size}")) for size in SIZES), fitted.left_out, strict=True
    ):
        values = [scored(folder)["en-Latn"] for folder in folders]
        yield f"| {size} | {len(folders)} | {_spread(values)} | {100 * off:+.1f} % |"


_ALIGNMENT = """
At the end of the run, on 200 texts of up to 128 tokens that nothing was trained on; gradients on 40. `hidden`
is the cosine of the states of the same token in both clones, `chance` with the text before, both with each
clone's mean state taken away; `found` how often a text's state (mean-centred) finds its own clone among 200.
Layers are 0 (what enters the first) to 3. Gradients: mean over the tensors of attention and feed-forward.
"""


def _alignments(settings: Mapping[str, list[Path]]) -> Iterator[str]:
    yield "| setting | seeds | hidden, layers 0 to 3 | chance | found | gradient |"
    yield "|---|---:|---|---|---|---:|"
    for setting, folders in settings.items():
        facts = [_aligned(folder) for folder in folders]
        if facts := [each for each in facts if each]:
            cells = [
                " ".join(f"{fmean(each[name, layer, ''] for each in facts):.2f}" for layer in range(4))
                for name in (
                    "hidden_cosine_centred",
                    "hidden_cosine_chance_centred",
                    "retrieval_accuracy_centred",
                )
            ]
            gradient = [
                fmean(each["gradient_cosine", None, part] for part in ("attention", "feedforward"))
                for each in facts
            ]
            yield " | ".join([f"| {setting}", str(len(facts)), *cells, _spread(gradient)]) + " |"


def _aligned(folder: Path) -> dict[tuple[str, int | None, str], float]:
    """By metric, layer and part, of the first clone with the second."""
    return {
        (x["metric"], x.get("layer"), x.get("part") or ""): x["value"]
        for x in read_run(folder).metrics
        if x.get("split") == "aligned" and x.get("language") == "en-Latn" and not x.get("frequency")
    }


_TRANSFER = """
SIB-200, English: fine-tuned on 701 items read by the first clone's tokenizer, tested on 204 items in both;
accuracy in per cent. Chance is 14, the largest class 25.
"""


def _transfers() -> Iterator[str]:
    yield "| setting | seeds | clone 1 | clone 2, zero-shot |"
    yield "|---|---:|---:|---:|"
    for setting in SETTINGS:
        if folders := runs(f"topic-{setting}"):
            cells = [
                _spread([100 * _accuracy(folder, tag) for folder in folders])
                for tag in ("en-Latn", "en-Latn-x-2")
            ]
            yield " | ".join([f"| {setting}", str(len(folders)), *cells]) + " |"


def _accuracy(folder: Path, tag: str) -> float:
    lines = read_run(folder).metrics
    wanted = {"split": "test", "metric": "accuracy", "language": tag}
    return next(x["value"] for x in lines if all(x.get(key) == value for key, value in wanted.items()))


_FRENCH_TEXT = """
The same model and steps; a vocabulary of 512 pieces for each language, side by side (`disjoint`) or with
equal pieces under one id (`anchored`); the number is the share of French, or its course. French has a law of
its own.
"""


def _french(english: ScalingFit) -> Iterator[str]:
    french_law = law("mono-fr", "fr-Latn")
    yield "| setting | seeds | PPL English | PPL French | TEff English | TEff French |"
    yield "|---|---:|---:|---:|---:|---:|"
    for setting in FRENCH:
        if folders := runs(f"fr-{setting}"):
            cells, laws = [], {"en-Latn": english, "fr-Latn": french_law}
            for tag in laws:
                cells.append(_spread([scored(folder)[tag] for folder in folders]))
            for tag, fitted in laws.items():
                had = fmean(tokens(folder, tag) for folder in folders)
                cells.append(_teff(fitted, [scored(folder)[tag] for folder in folders], had))
            yield " | ".join([f"| {setting}", str(len(folders)), *cells]) + " |"


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
    "monolingual": lambda seeds: _each(monolingual, SIZES, "all", seeds),
    "transfer": lambda settings, seeds: _each(transferred, _two_clones(), settings, seeds),
    "french": _french_runs,
    "report": report,
}


if __name__ == "__main__":
    what, *arguments = sys.argv[1:] or ["report"]
    COMMANDS[what](*arguments)
