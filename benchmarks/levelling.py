"""Levelling on real data: SIB-200 topics in twenty languages, a weak base and one that transfers better.

python benchmarks/levelling.py base                       # translations drawn together, for the better base
python benchmarks/levelling.py tuned weak,better 0,1,2    # the task, learnt in English
python benchmarks/levelling.py level weak main 0,1,2      # by base, variant and seed
python benchmarks/levelling.py selection weak,better 0,1,2
python benchmarks/levelling.py probe FOLDER ...           # models before any tuning
python benchmarks/levelling_report.py                     # writes docs/results/levelling.md
"""

from __future__ import annotations

import gzip
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from harness import finished
from torch.nn.functional import cross_entropy, normalize

from isogloss.analysis.ranking import rank_correlation
from isogloss.core.config import parse_document
from isogloss.core.files import whole_folder, write_json, write_text
from isogloss.data.aligned import align
from isogloss.data.tasks import read
from isogloss.methods.table import resolve, run_recipe
from isogloss.methods.teachers import believed
from isogloss.models.backbone import load_model, load_tokenizer
from isogloss.models.heads import mean_pool
from isogloss.models.quick_attention import quick_attention
from isogloss.models.tasks import load_task_model

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
SIB, PARALLEL = SHARED / "data" / "topic" / "sib200", SHARED / "data" / "parallel"
OUT = Path("runs/levelling")
FOLDERS = {
    "eng": "eng_Latn", "fra": "fra_Latn", "spa": "spa_Latn", "deu": "deu_Latn", "rus": "rus_Cyrl",
    "tur": "tur_Latn", "vie": "vie_Latn", "swh": "swh_Latn", "yor": "yor_Latn", "hin": "hin_Deva",
    "arb": "arb_Arab", "bam": "bam_Latn", "fao": "fao_Latn", "fin": "fin_Latn", "hau": "hau_Latn",
    "ibo": "ibo_Latn", "kin": "kin_Latn", "mlt": "mlt_Latn", "wol": "wol_Latn", "zho": "zho_Hans",
}  # fmt: skip
TEN = tuple(FOLDERS)[:10]
"""The languages of the ablations; those of the main runs are all twenty."""

MINI = SHARED / "models" / "mini"
BASES = {"weak": MINI, "half": MINI, "better": OUT / "data" / "better"}
"""`half` learns the task from the first half of the English items, and is levelled on the other half."""
HALF = 350

# The better base: mean-pooled states of translations drawn together (translation ranking, as in LaBSE).

STEPS, PAIRS, PEAK, HEAT = 500, 48, 5e-4, 0.05
_NTREX = "de en es fi fo fr hi mt ru sw tr vi wo yo zh".split()
_TATOEBA = "ara cmn deu fin fra hin rus spa swh tur vie".split()


def groups() -> list[tuple[float, dict[str, list[str]]]]:
    """How often each collection of translations is drawn from, and its lines by language."""
    found = [
        (0.5, {tag: f"ntrex/{tag}" for tag in _NTREX}),
        (0.05, {tag: f"bible-nt/{tag}" for tag in "en es sw wo yo zh".split()}),
        (0.05, {tag: f"quran/{tag}" for tag in "en es fr ru tr zh".split()}),
        (0.05, {tag: f"multi30k/train.{tag}" for tag in "de en fr".split()}),
    ]
    lafand = (("en-hau", 0.05), ("en-swa", 0.04), ("en-yor", 0.04), ("fr-bam", 0.05), ("fr-wol", 0.03))
    for pair, weight in lafand:
        first, second = pair.split("-")
        split = "train" if (PARALLEL / f"lafand/{pair}/train.{first}.txt.gz").exists() else "dev"
        found.append((weight, {tag: f"lafand/{pair}/{split}.{tag}" for tag in (first, second)}))
    for tag in _TATOEBA:
        found.append((0.013, {"en": f"tatoeba/{tag}-eng.eng", tag: f"tatoeba/{tag}-eng.{tag}"}))
    return [(weight, {tag: _lines(PARALLEL / f"{name}.txt.gz") for tag, name in files.items()})
            for weight, files in found]  # fmt: skip


def _lines(file: Path) -> list[str]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [line.rstrip("\n") for line in lines]


def pairs(random_: random.Random, lines: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Texts and their translations; every other pair has English on its first side."""
    tags, first, second = list(lines), [], []
    for row in random_.sample(range(len(lines[tags[0]])), min(PAIRS, len(lines[tags[0]]))):
        if "en" in tags and random_.random() < 0.5:
            one, other = "en", random_.choice([tag for tag in tags if tag != "en"])
        else:
            one, other = random_.sample(tags, 2)
        if lines[one][row].strip() and lines[other][row].strip():
            first.append(lines[one][row])
            second.append(lines[other][row])
    return first, second


def base() -> None:
    """Make the better base, unless it is there."""
    if BASES["better"].exists():
        return
    model, tokenizer = load_model(str(BASES["weak"]), "masked"), load_tokenizer(str(BASES["weak"]))
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=0.01)
    drawn, weights, collections = random.Random(0), *zip(*groups(), strict=True)
    torch.manual_seed(0)

    def embedded(texts: list[str]) -> torch.Tensor:
        rows = tokenizer(texts, truncation=True, max_length=64, padding=True, return_tensors="pt")
        states = model.base_model(rows["input_ids"], attention_mask=rows["attention_mask"])
        return normalize(mean_pool(states.last_hidden_state, rows["attention_mask"]).float(), dim=-1)

    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = PEAK * min(1, (step + 1) / 30) * (1 - step / STEPS)
        first, second = pairs(drawn, drawn.choices(collections, weights)[0])
        with quick_attention(model), torch.autocast("cpu", torch.bfloat16):
            likeness = embedded(first) @ embedded(second).T / HEAT
        places = torch.arange(len(first))
        loss = (cross_entropy(likeness, places) + cross_entropy(likeness.T, places)) / 2
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0:
            print(f"step {step}: {loss.item():.3f}", flush=True)
    with whole_folder(BASES["better"]) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def files(split: str, tags: Sequence[str] = tuple(FOLDERS)) -> dict[str, str]:
    """A split of SIB-200, by language."""
    return {tag: str(next((SIB / FOLDERS[tag]).glob(f"{split}.tsv*"))) for tag in tags}


def learnt(name: str) -> dict[str, str]:
    """The English items that a base learns the task from."""
    return _half(["eng"], range(HALF)) if name == "half" else files("train", ["eng"])


def unlabelled_items(name: str, tags: Sequence[str]) -> dict[str, str]:
    """What it is levelled on: the same items in other languages, or items that it has not seen."""
    return _half(tags, range(HALF, 701)) if name == "half" else files("train", tags)


def _half(tags: Sequence[str], rows: range) -> dict[str, str]:
    return {
        tag: part(f"sib-{tag}-{rows.start}.tsv", Path(file), rows, header=True)
        for tag, file in files("train", tags).items()
    }


def tuned(name: str, seed: int) -> Path:
    """The task learnt in English, with the mean of all states."""
    return run(
        {
            "method": "finetune",
            "model": str(BASES[name]),
            "task": "topic",
            "train": learnt(name),
            "dev": files("dev", ["eng"]),
            "test": files("test"),
            "max_length": 64,
            "training": {"epochs": 6, "batch_size": 32, "learning_rate": 3e-4, "evaluate_every": 22},
            "seed": seed,
            "name": f"topic-{name}-{seed}",
        }
    )


MAIN: dict[str, Any] = {
    "distillation": {"aim": "consensus", "anchor": 1.0},
    "selection": {"selector": "source"},
}
"""What is recommended; a variant differs from it in what it says."""
GUARDS = {"held_out": 0.15, "tolerance": 0.1, "collapse": 0.25}
LONG = {"steps": 240, "batch_size": 8, "learning_rate": 5e-4, "evaluate_every": 60, "checkpoint_every": None}


def bare(distillation: dict[str, Any], **selection: Any) -> dict[str, Any]:
    """As published, without labels beside."""
    return {"distillation": {"anchor": 0.0} | distillation, "selection": selection, "train": {}}


VARIANTS: dict[str, dict[str, Any]] = {
    "main": {},
    "whole": {"items": None, "training": LONG},
    "whole-light": {
        "items": None,
        "training": LONG,
        "distillation": {"anchor": 0.2},
        "guards": GUARDS | {"patience": 2},
    },
    # How it is learnt.
    "pairs": {"distillation": {"aim": "pairs"}},
    "reverse": {"distillation": {"divergence": "reverse"}},
    "js": {"distillation": {"divergence": "js"}},
    "log": {"distillation": {"pooling": "log"}},
    "warm": {"distillation": {"temperature": 2.0}},
    "average": {"distillation": {"teacher": "average"}},
    "now": {"distillation": {"teacher": "now"}},
    "no-stop": {"distillation": {"aim": "pairs", "teacher": "now", "stop_gradient": False}},
    "no-anchor": {"distillation": {"anchor": 0.0}, "train": {}},
    # Who teaches: all whose normalised score is at least a share of the mean, or others' choice.
    "lenient": {"selection": {"threshold": 0.5}},
    "strict": {"selection": {"threshold": 1.5}},
    "english": {"selection": {"teachers": ["eng"]}},
    "confidence": {"selection": {"selector": "confidence"}},
    "reliability": {"selection": {"selector": "reliability"}},
    # From how many items.
    "items-50": {"items": 50},
    "items-120": {"items": 120},
    "items-all": {"items": None},
    # What it is compared with.
    "published": bare({"aim": "pairs", "teacher": "now"}, selector="confidence"),
    "all": bare({"aim": "pairs"}, selector="all"),
    "random": bare({"aim": "pairs"}, selector="random", count=3),
    "self-english": bare({"aim": "self", "learners": "source"}),
    "self-all": bare({"aim": "self", "learners": "all"}),
}


def variant_of(name: str, base_: str, languages: int) -> dict[str, Any]:
    """Its recipe: `MAIN` with what the variant says. Thresholds there count in shares of the mean score."""
    changes = VARIANTS[name]
    found = {**MAIN, "train": learnt(base_), **changes}
    for part_ in ("distillation", "selection"):
        found[part_] = MAIN[part_] | changes.get(part_, {})
    selection = found["selection"]
    if "threshold" in selection:
        found["selection"] = selection | {"threshold": selection["threshold"] / languages}
    if "teachers" in selection:
        found["selection"] = {"teachers": selection["teachers"]}
    return found


TRAINING = {"steps": 60, "batch_size": 8, "learning_rate": 2e-4, "evaluate_every": 30}


def levelled(name: str, variant: str, seed: int, tags: Sequence[str]) -> Path:
    """A levelled model, measured before and after on the test sets of its languages."""
    return run(
        {
            "method": "level",
            "model": str(tuned(name, seed) / "model"),
            "task": "topic",
            "source": "eng",
            "unlabelled": unlabelled_items(name, tags),
            "dev": files("dev", ["eng"]),
            "test": files("test", tags),
            "items": 240,
            "max_length": 64,
            "guards": GUARDS,
            "training": {**TRAINING, "checkpoint_every": None},
            "seed": seed,
            "name": f"level-{name}-{variant}-{len(tags)}-{seed}",
        }
        | variant_of(variant, name, len(tags))
    )


def run(recipe: dict[str, Any]) -> Path:
    """Carry out a recipe; a run of its name that is finished is taken for it."""
    if (done := finished(OUT, recipe["name"])) is not None:
        return done
    document = parse_document(yaml.safe_dump(recipe, sort_keys=False), source=recipe["name"])
    return run_recipe(resolve(document), out=OUT)


SELECTORS = (
    "confidence",
    "confidence-others",
    "agreement",
    "agreement-own",
    "reliability",
    "source",
    "random",
)


def selection(name: str, seed: int) -> None:
    """How far each selector's order of languages is that of their accuracy on labelled dev items."""
    target = OUT / f"data/selection-{name}-{seed}.json"
    if target.exists():
        return
    model, tokenizer = load_task_model(tuned(name, seed) / "model")
    items, labelled = (
        align({tag: read("topic", file, language=tag) for tag, file in files(split).items()})
        for split in ("train", "dev")
    )
    panel, judged = (believed(model, tokenizer, each, max_length=64) for each in (items, labelled))
    gold = np.array([model.labels.index(e.label) for e in labelled.examples[labelled.languages[0]]])
    correct = judged.choices == gold
    found = {
        selector: rank_correlation(panel, selector, correct, source=panel.languages[0])
        for selector in SELECTORS
    }
    accuracy = dict(zip(panel.languages, correct.mean(axis=1).tolist(), strict=True))
    correlations = {
        selector: {"items": one.over_items._asdict(), "languages": one.over_languages._asdict()}
        for selector, one in found.items()
    }
    write_json(target, {"accuracy": accuracy, "correlations": correlations})


def probe(*folders: str) -> None:
    """What models' mean states are good for before any tuning: finding translations, and topics by English.

    Prints, by language: how often the nearest of 204 sentences is the translation of an English one, and the
    accuracy of a linear classifier learnt on English states.
    """
    for folder in folders:
        model, tokenizer = load_model(folder, "base"), load_tokenizer(folder)
        learnt, tested = read("topic", files("train")["eng"], language="eng"), {}
        names = sorted({str(example.label) for example in learnt})
        classifier = _classifier(_states(model, tokenizer, learnt), _numbers(learnt, names))
        for tag, file in files("test").items():
            examples = read("topic", file, language=tag)
            tested[tag] = _states(model, tokenizer, examples), _numbers(examples, names)
        english = tested["eng"][0] - tested["eng"][0].mean(0)
        for tag, (states, gold) in tested.items():
            nearest = (english @ (states - states.mean(0)).T).argmax(1)
            found = (nearest == torch.arange(len(nearest))).float().mean()
            right = (classifier(10 * states).argmax(1) == gold).float().mean()
            print(f"{folder} {tag} retrieval {100 * found:.1f} topics {100 * right:.1f}")


def _numbers(examples: Sequence[Any], names: Sequence[str]) -> torch.Tensor:
    return torch.tensor([names.index(example.label) for example in examples])


@torch.no_grad()
def _states(model: Any, tokenizer: Any, examples: Sequence[Any]) -> torch.Tensor:
    found = []
    for start in range(0, len(examples), 64):
        texts = [example.text for example in examples[start : start + 64]]
        rows = tokenizer(texts, truncation=True, max_length=96, padding=True, return_tensors="pt")
        states = model(rows["input_ids"], attention_mask=rows["attention_mask"]).last_hidden_state
        found.append(normalize(mean_pool(states, rows["attention_mask"]), dim=-1))
    return torch.cat(found)


def _classifier(states: torch.Tensor, gold: torch.Tensor) -> torch.nn.Linear:
    """Multinomial regression on states ten times as long, with a small penalty."""
    classifier = torch.nn.Linear(states.shape[1], int(gold.max()) + 1)
    optimiser = torch.optim.LBFGS(classifier.parameters(), max_iter=200)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        found = cross_entropy(classifier(10 * states), gold) + 1e-3 * classifier.weight.square().sum()
        found.backward()
        return found

    optimiser.step(loss)
    return classifier


# Other tasks, as far as a small model can learn them, and two without any label


def part(name: str, file: Path, rows: Sequence[int], *, header: bool = False) -> str:
    """Some lines of a file as a file of their own, made once."""
    target = OUT / "data" / name
    if not target.exists():
        first, *rest = _lines(file) if header else ["", *_lines(file)]
        chosen = [first] * header + [rest[row] for row in rows if row < len(rest)]
        write_text(target, "\n".join(chosen) + "\n")
    return str(target)


def parts(task: str, tags: Sequence[str], rows: range, *, apart_from: range = range(0)) -> dict[str, str]:
    """Lines of the labelled dev files of XNLI or PAWS-X, by language.

    Args:
        apart_from: lines, of which none may stand among these in any language: both files repeat some.
    """
    folder = SHARED / "data" / ("nli/xnli" if task == "xnli" else "paraphrase/pawsx")
    sources = {tag: folder / f"dev-{tag}.tsv.gz" for tag in tags}
    again = set()
    for source in sources.values() if apart_from else ():
        texts = [line.lower().rpartition("\t")[0].split() for line in _lines(source)]
        there = [texts[row] for row in apart_from if row < len(texts)]
        again |= {row for row in rows if texts[row] in there}
    kept = [row for row in rows if row not in again]
    name = f"{rows.start}-{rows.stop}" + ("-apart" if apart_from else "")
    return {tag: part(f"{task}-{tag}-{name}.tsv", source, kept) for tag, source in sources.items()}


XNLI, PAWSX = "en fr es de ru tr vi sw hi zh".split(), "en fr es de zh".split()


def nli(task: str, seed: int) -> Path:
    """XNLI or PAWS-X: learnt from 1,600 labelled items of English, levelled on them without labels."""
    tags = XNLI if task == "xnli" else PAWSX
    test: dict[str, Any] = {"test": parts(task, tags, range(1600, 1800)), "max_length": 96}
    english = {"dev": parts(task, ["en"], range(1800, 2000))}
    name = "nli" if task == "xnli" else "paraphrase"
    learnt = run(
        {
            "method": "finetune",
            "model": str(BASES["weak"]),
            "task": name,
            "train": parts(task, ["en"], range(1600)),
            "training": {"epochs": 4, "batch_size": 32, "learning_rate": 3e-4},
            "seed": seed,
            "name": f"{task}-weak-{seed}",
        }
        | test
        | english
    )
    return run(
        {
            "method": "level",
            "model": str(learnt / "model"),
            "task": name,
            "source": "en",
            "unlabelled": parts(task, tags, range(1600), apart_from=range(1600, 2000)),
            "items": 240,
            "selection": {"selector": "source"},
            "guards": {"held_out": 0.06, "tolerance": 0.1},
            "training": {**TRAINING, "checkpoint_every": None},
            "seed": seed,
            "name": f"level-{task}-{seed}",
        }
        | test
        | english
    )


def unlabelled(task: str, seed: int) -> Path:
    """XCOPA or GeoMLAMA: no label anywhere; the language model is asked, and levelled on what it says."""
    data = SHARED / "data"
    if task == "xcopa":
        tags, folder = ["tr", "vi", "sw", "zh", "et", "it"], data / "copa" / "xcopa"
        items = {tag: str(folder / tag / f"val.{tag}.jsonl.gz") for tag in tags}
        test = {tag: str(folder / tag / f"test.{tag}.jsonl.gz") for tag in tags}
        more: dict[str, Any] = {"task": "copa", "prompt": "copa"}
    else:
        tags, folder = ["en", "fa", "hi", "sw", "zh"], data / "cloze" / "geomlama"
        names = {tag: folder / f"gd_prompt_{tag}.tsv.gz" for tag in tags}
        items, test = (
            {
                tag: part(f"geomlama-{tag}-{rows.start}.tsv", name, rows, header=True)
                for tag, name in names.items()
            }
            for rows in (range(75), range(75, 150))
        )
        more = {"task": "cloze"}
    return run(
        {
            "method": "level",
            "model": str(BASES["weak"]),
            "unlabelled": items,
            "test": test,
            "selection": {"selector": "confidence"},
            "training": {"steps": 30, "batch_size": 8, "learning_rate": 5e-5, "evaluate_every": 15},
            "guards": {"tolerance": 0.2},
            "seed": seed,
            "name": f"level-{task}-{seed}",
        }
        | more
    )


def others(task: str, seed: int) -> Path:
    """One of the other tasks."""
    return (nli if task in ("xnli", "pawsx") else unlabelled)(task, seed)


STUDENTS = Path("runs/bistil")
"""General students of half the layers for English and one language: `bistil.py students bistil … half`."""


def distilled(language: str, teacher: str, seed: int) -> Path:
    """A student's phase 2 beside a teacher that was levelled ("levelled") or was not ("plain")."""
    plain = tuned("weak", seed)
    model = levelled("weak", "whole-light", seed, tuple(FOLDERS)) if teacher == "levelled" else plain
    (student,) = STUDENTS.glob(f"*-bistil-{language}-half-0")
    tested = {"eng": "eng", language: "swh" if language == "swa" else language}
    text = {tag: str(STUDENTS / f"data/text-{tag}.txt") for tag in tested}
    return run(
        {
            "method": "finetune",
            "model": str(student / "model"),
            "teacher": str(model / "model"),
            "head": "teacher",
            "unlabelled": {"corpora": text},
            "task": "topic",
            "train": files("train", ["eng"]),
            "dev": files("dev", ["eng"]),
            "test": {tag: files("test", [name])[name] for tag, name in tested.items()},
            "max_length": 64,
            "training": {"epochs": 6, "batch_size": 32, "learning_rate": 5e-4},
            "as_name": "student",
            "seed": seed,
            "name": f"student-{language}-{teacher}-{seed}",
        }
    )


def _each(what: Any, *lists: str) -> None:
    """Call with every combination, the first list varying slowest."""
    if not lists:
        print(what(), flush=True)
        return
    for one in lists[0].split(","):
        _each(lambda *rest, one=one: what(one, *rest), *lists[1:])


COMMANDS: dict[str, Any] = {
    "base": lambda: base(),
    "tuned": lambda names, seeds="0": _each(lambda name, seed: tuned(name, int(seed)), names, seeds),
    "level": lambda names, variants, seeds="0", count="20": _each(
        lambda name, variant, seed: levelled(name, variant, int(seed), tuple(FOLDERS)[: int(count)]),
        names,
        variants,
        seeds,
    ),
    "selection": lambda names, seeds="0": _each(lambda name, seed: selection(name, int(seed)), names, seeds),
    "distilled": lambda languages, teachers, seeds="0": _each(
        lambda language, teacher, seed: distilled(language, teacher, int(seed)), languages, teachers, seeds
    ),
    "others": lambda tasks, seeds="0": _each(lambda task, seed: others(task, int(seed)), tasks, seeds),
    "probe": probe,
}


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    else:
        sys.exit(__doc__)
