"""BiStil on real data: students of a small multilingual encoder beside their teacher and three baselines.

python benchmarks/bistil.py teachers pos,parsing,ner,qa 0,1,2
python benchmarks/bistil.py students bistil deu,swa half
python benchmarks/bistil.py tuned bistil deu,swa half pos 0,1,2   # beside the teacher of the same seed
python benchmarks/bistil.py worn swa yor                     # LT-SFT: the model in each language's delta
python benchmarks/bistil.py report
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from harness import finished, machine

from isogloss.core.config import parse_document
from isogloss.core.files import write_json
from isogloss.core.languages import language as find_language
from isogloss.core.run import read_run
from isogloss.methods.deltas import carry_delta, export_model
from isogloss.methods.scoring import evaluate_files
from isogloss.methods.table import resolve, run_recipe

RESULT = Path(__file__).resolve().parent.parent / "docs" / "results" / "bistil.md"
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
DATA = SHARED / "data"
MODEL = SHARED / "models" / "mini"
OUT = Path("runs/bistil")
SEEDS = (0, 1, 2)

_UD, _PANX, _MASAKHANER, _QA = (DATA / part for part in ("ud", "ner/panx", "ner/masakhaner", "qa"))
PREFACE = """# BiStil on real data

The teacher is a small multilingual ModernBERT (6 layers, 256 wide, 10.2M parameters, 24,000 Unigram
pieces), fine-tuned on English alone. Its students have half or a third of its layers. BiStil students
and those from scratch are for English and one language, with a vocabulary trimmed to the two; the
others are one student of all languages each, with all pieces (8.1M parameters) or the 7,500 most
probable (`as small`: about as many parameters, 4.0M, as those for two languages). General students had
1,500 steps of 16 x 128 tokens (phase 1, seed 0), the distilled one 600, which take about as long; all
but those from scratch then learnt the task beside the teacher (phase 2), meeting it on text of their
languages without labels too (`unlabelled`). A cell is the score in the target language, the mean over
the seeds of phase 2 with half their range and their number in brackets, and its share of the scores of
the teachers of the same seeds: a student of a seed learns beside the teacher of that seed; in English
it is the mean over the students there are. Empty cells were not run. The runs were made at several
commits, with about 6,000 lines of text a language that are not quite those which the command now picks.

    python benchmarks/bistil.py teachers pos,parsing,ner,qa
    python benchmarks/bistil.py students bistil deu,tur,swa,yor,wol half
    python benchmarks/bistil.py tuned bistil deu,tur,swa,yor,wol half pos,parsing,ner,qa
    python benchmarks/bistil.py report
"""

CARRIED = """
The teacher tuned sparsely on English POS (density 0.08, one epoch of all entries and one of those
chosen, seed 0); the delta carried onto the general student of half the layers, head and all. The student
was never trained on the task. Each cell: accuracy of the teacher and of the student, and what the
student keeps.

    python benchmarks/bistil.py carried deu
"""

LONGER = """
Phase 2 for more epochs, seed 0: the score in the target language, and its share of the teacher's.

    python benchmarks/bistil.py tuned bistil tur half ner 0 3
"""

WORN = """
The whole model tuned sparsely on English POS as in the section before, once by itself, and once as LT-SFT has
it: on the model that wears the delta of English, tested in each language's own. The deltas (density
0.043, 300 steps of all entries and 300 of those chosen, 16 x 128 tokens) were learnt on text that the
model had seen before. Accuracy; seed 0.

    python benchmarks/bistil.py worn swa yor
"""

TASKS: dict[str, dict[str, Any]] = {
    "pos": {
        "train": {"eng": _UD / "English-EWT/train.conllu.gz"},
        "test": {
            "eng": _UD / "English-PUD/test.conllu.gz",
            "deu": _UD / "German-PUD/test.conllu.gz",
            "tur": _UD / "Turkish-PUD/test.conllu.gz",
            "swa": DATA / "pos/masakhapos/swa/test.txt.gz",
            "yor": _UD / "Yoruba-YTB/test.conllu.gz",
            "wol": _UD / "Wolof-WTB/test.conllu.gz",
        },
        "max_length": 128,
        "training": {"epochs": 3, "batch_size": 32, "learning_rate": 3.0e-4},
    },
    "parsing": {
        "train": {"eng": _UD / "English-EWT/train.conllu.gz"},
        "test": {
            "eng": _UD / "English-PUD/test.conllu.gz",
            "deu": _UD / "German-PUD/test.conllu.gz",
            "tur": _UD / "Turkish-PUD/test.conllu.gz",
            "yor": _UD / "Yoruba-YTB/test.conllu.gz",
            "wol": _UD / "Wolof-WTB/test.conllu.gz",
        },
        "max_length": 128,
        "training": {"epochs": 3, "batch_size": 32, "learning_rate": 3.0e-4},
    },
    "ner": {
        "train": {"eng": _PANX / "en/train.tsv.gz"},
        "test": {
            "eng": _PANX / "en/dev.tsv.gz",
            "deu": _PANX / "de/dev.tsv.gz",
            "tur": _PANX / "tr/dev.tsv.gz",
            "swa": OUT / "data/masakhaner-swa.txt",
            "yor": OUT / "data/masakhaner-yor.txt",
            "wol": OUT / "data/masakhaner-wol.txt",
        },
        "max_length": 128,
        "training": {"epochs": 2, "batch_size": 32, "learning_rate": 3.0e-4},
    },
    "qa": {
        "train": {"eng": _QA / "tydiqa-goldp/en.train.json.gz"},
        "test": {
            "eng": _QA / "xquad/xquad.en.json.gz",
            "deu": _QA / "xquad/xquad.de.json.gz",
            "tur": _QA / "xquad/xquad.tr.json.gz",
            "swa": _QA / "tydiqa-goldp/sw.train.json.gz",  # its dev file has no answers
        },
        "limit": {"test": 500},
        "max_length": 256,
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 3.0e-4},
    },
}


TEXT = DATA / "text"
CORPORA: dict[str, list[Path]] = {
    "eng": [TEXT / "en.train.txt.gz"],
    "deu": [TEXT / "de.train.txt.gz"],
    "tur": [TEXT / "tr.train.txt.gz"],
    "swa": [TEXT / "sw.train.txt.gz"],
    "yor": [TEXT / "yo.train.txt.gz"],
    "wol": [DATA / "parallel/bible-nt/wo.txt.gz", DATA / "parallel/lafand/fr-wol/train.wol.txt.gz"],
}
"""Wolof is the low end: the New Testament and some news, which the teacher saw only beside translations."""
OTHERS = ("fra", "spa", "rus", "hin", "zho", "vie", "fin")
LAYERS = {"half": "every-2nd", "third": "every-3rd"}
STEPS = 1500
FEWER = {"distilled": 600}
"""Steps of a way whose steps cost more: with logits over 24,000 pieces each takes about two and a half times
as long, so that all ways have about the same time."""
PHASE1 = {
    "length": 128,
    "masking": {"probability": 0.3},
    "training": {
        "steps": STEPS,
        "batch_size": 16,
        "learning_rate": 1.0e-3,
        "schedule": "cosine",
        "select": "last",
        "log_every": 100,
        "checkpoint_every": 500,
        "keep_checkpoints": 1,
    },
}
LOSSES: dict[str, dict[str, Any]] = {
    "bistil": {"hidden": 1.0, "attention": 1.0},
    "distilled": {
        "logits": {"weight": 5.0, "temperature": 2.0},
        "gold": 2.0,
        "hidden": {"weight": 1.0, "form": "cosine"},
    },
    "minilm": {"relations": 1.0},
    "scratch": {"gold": 1.0},
}
ROWS = {"small": 7500}
"""Pieces of a student of all languages, `minilm-small`, that is to be as small as those of two languages."""


def student(method: str, target: str, depth: str, seed: int) -> Path:
    """A student after phase 1: for English and one language, or for all languages at once."""
    everything = target == "all"
    targets = [tag for tag in (*CORPORA, *OTHERS) if tag != "eng"] if everything else [target]
    short = {"fra": "fr", "spa": "es", "rus": "ru", "hin": "hi", "zho": "zh", "vie": "vi", "fin": "fi"}
    corpora = {tag: CORPORA.get(tag) or [TEXT / f"{short[tag]}.train.txt.gz"] for tag in ("eng", *targets)}
    rule: dict[str, Any] = {"layers": {"keep": LAYERS[depth]}}
    way, _, size = method.partition("-")
    if way == "scratch":
        rule["start"] = "random"
    if size:
        rule["vocabulary"] = {"size": ROWS[size]}
    return run(
        {
            "method": "distil",
            "teacher": MODEL,
            "languages": {"source": "eng", "target": targets},
            "corpora": corpora,
            "student": rule,
            "phase1": {
                **PHASE1,
                "losses": LOSSES[way],
                "training": {**PHASE1["training"], "steps": FEWER.get(way, STEPS)},
            },
            "seed": seed,
            "name": f"{method}-{target}-{depth}-{seed}",
        }
    )


TUNING = {
    "pos": {"epochs": 2, "batch_size": 32, "learning_rate": 5.0e-4},
    "parsing": {"epochs": 2, "batch_size": 32, "learning_rate": 5.0e-4},
    "ner": {"epochs": 1, "batch_size": 32, "learning_rate": 5.0e-4},
    "qa": {"epochs": 1, "batch_size": 16, "learning_rate": 5.0e-4},
}


SPARSELY = {"epochs": 1, "batch_size": 32, "learning_rate": 3.0e-4}
"""Of either half of a sparse tuning of the whole model."""


def tuned(method: str, target: str, depth: str, task: str, seed: int, epochs: int | None = None) -> Path:
    """A student after phase 2, scored on English and its languages beside the teacher.

    With `epochs`, for so long instead; such runs have names of their own, and are not in the tables.
    """
    data = TASKS[task]
    plan = TUNING[task] if epochs is None else {**TUNING[task], "epochs": epochs}
    longer = "" if epochs is None else f"-epochs-{epochs}"
    languages = list(CORPORA) if target == "all" else ["eng", target]
    recipe = {
        "method": "finetune",
        "model": student(method, target, depth, 0) / "model",
        "task": task,
        **data,
        "test": {tag: file for tag, file in data["test"].items() if tag in languages},
        "training": plan,
        "as_name": "student",
        "seed": seed,
        "name": f"{method}-{target}-{depth}-{task}-{seed}{longer}",
    }
    if method != "scratch":
        text = {"corpora": {tag: OUT / f"data/text-{tag}.txt" for tag in languages}}
        recipe |= {"teacher": teacher(task, seed) / "model", "head": "teacher", "unlabelled": text}
    return run(recipe)


def run(recipe: dict[str, Any]) -> Path:
    """Carry out a recipe; a run of its name that is finished is taken for it."""
    if (done := finished(OUT, recipe["name"])) is not None:
        return done
    plain = yaml.safe_load(yaml.safe_dump(_plain(recipe), sort_keys=False))
    document = parse_document(yaml.safe_dump(plain, sort_keys=False), source=recipe["name"])
    return run_recipe(resolve(document), out=OUT)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def prepare() -> None:
    """Files made of the shared ones: MasakhaNER without dates, which PAN-X does not know; some text."""
    for language in ("swa", "yor", "wol"):
        target = OUT / f"data/masakhaner-{language}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(_MASAKHANER / language / "test.txt.gz", "rt", encoding="utf-8") as lines:
            text = "".join(line.replace(" B-DATE", " O").replace(" I-DATE", " O") for line in lines)
        if not target.exists():
            target.write_text(text, encoding="utf-8")
    for language, files in CORPORA.items():
        target = OUT / f"data/text-{language}.txt"
        if not target.exists():
            lines = [line for file in files for line in _lines(file)]
            some = lines[:: max(1, len(lines) // 6000)]
            target.write_text("".join(some), encoding="utf-8")


def _lines(file: Path) -> list[str]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return list(lines)


def teacher(task: str, seed: int) -> Path:
    """The teacher fine-tuned on English."""
    return run(
        {
            "method": "finetune",
            "model": MODEL,
            "task": task,
            **TASKS[task],
            "as_name": "teacher",
            "seed": seed,
        }
        | {"name": f"teacher-{task}-{seed}"}
    )


def run_teachers(tasks: str, seeds: str = "0,1,2") -> None:
    """The teachers of tasks, fine-tuned seed by seed."""
    for seed in map(int, seeds.split(",")):
        for task in tasks.split(","):
            print(teacher(task, seed))


def run_students(method: str, targets: str, depth: str, seeds: str = "0") -> None:
    """General students; `targets` is a list with commas, or `all` for one student of all languages."""
    for seed in seeds.split(","):
        for target in targets.split(","):
            print(student(method, target, depth, int(seed)))


def run_tuned(
    method: str, targets: str, depth: str, tasks: str, seeds: str = "0,1,2", epochs: str | None = None
) -> None:
    """Students after phase 2, of general students of seed 0, beside the teacher of their seed."""
    for seed in map(int, seeds.split(",")):
        for target in targets.split(","):
            for task in tasks.split(","):
                print(tuned(method, target, depth, task, seed, epochs and int(epochs)))


def worn(*targets: str) -> None:
    """POS as LT-SFT has it: deltas of languages, the task beside the source's, each tested in its own."""
    names = {tag: f"deltas/{find_language(tag).tag}.safetensors" for tag in ("eng", *targets)}
    deltas = {tag: language_delta(tag) / name for tag, name in names.items()}
    files = TASKS["pos"]["test"]
    for name, wearing in (("bare", {}), ("worn", deltas)):
        print(
            run(
                {"method": "finetune", "model": MODEL, "task": "pos", **TASKS["pos"]}
                | {"training": SPARSELY, "sparse": {"density": 0.08, "training": SPARSELY}}
                | {"test": {tag: files[tag] for tag in ("eng", *targets)}, "deltas": wearing}
                | {"as_name": name, "name": f"lt-sft-{name}-{len(targets)}-pos-0"}
            )
        )


def language_delta(tag: str) -> Path:
    """The delta of a language, learnt on its text."""
    plan = {"steps": 300, "batch_size": 16, "learning_rate": 5.0e-4, "select": "last"}
    return run(
        {
            "method": "pretrain",
            "model": MODEL,
            "corpora": {tag: CORPORA[tag]},
            "masking": {"probability": 0.3},
            "length": 128,
            "training": plan,
            "sparse": {"density": 0.043},
            "used_rows_only": True,
            "name": f"delta-{tag}-0",
        }
    )


def carried(target: str, depth: str = "half") -> None:
    """A delta learnt on the whole teacher, put on a general student of fewer layers and pieces."""
    source = run(
        {"method": "finetune", "model": MODEL, "task": "pos", **TASKS["pos"], "as_name": "teacher"}
        | {"training": SPARSELY, "sparse": {"density": 0.08, "training": SPARSELY}, "name": "sparse-pos-0"}
    )
    general = student("bistil", target, depth, 0)
    delta, worn = OUT / f"data/carried-{target}-{depth}.safetensors", OUT / f"data/carried-{target}-{depth}"
    lost = carry_delta(
        source / "deltas/pos.safetensors", large=str(MODEL), small=general / "model", out=delta
    )
    export_model(general / "model", [delta], worn)
    files = [f"{tag}={TASKS['pos']['test'][tag]}" for tag in ("eng", target)]
    entries = sum(fate.entries for fate in lost.fates), sum(fate.carried for fate in lost.fates)
    found = {"entries": entries}
    for name, model in (("teacher", source / "model"), ("student", worn)):
        scores = evaluate_files(model, task="pos", data=files).scores
        found[name] = {tag: metrics["accuracy"] for tag, metrics in scores.items()}
    write_json(delta.with_suffix(".json"), found)


def _carried_rows() -> Iterator[str]:
    for target in CORPORA:
        for file in OUT.glob(f"data/carried-{target}-half.json"):
            found = json.loads(file.read_text(encoding="utf-8"))
            pairs = [(found["teacher"][tag], found["student"][tag]) for tag in found["teacher"]]
            cells = [f"{100 * whole:.1f} → {100 * small:.1f} ({small / whole:.1%})" for whole, small in pairs]
            yield (
                " | ".join(["| " + target, *cells, f"{found['entries'][1] / found['entries'][0]:.0%}"]) + " |"
            )


def _worn_rows() -> Iterator[str]:
    for folder in OUT.glob("*-lt-sft-worn-*-pos-0"):
        count = folder.name.split("-")[-3]
        for tag in CORPORA:
            pair = [_scores(f"lt-sft-{name}-{count}-pos", tag, name).get(0) for name in ("bare", "worn")]
            if None not in pair:
                yield f"| {tag} | " + " | ".join(f"{100 * value:.1f}" for value in pair) + " |"


def _longer_rows() -> Iterator[str]:
    for folder in sorted(OUT.glob("*-epochs-*")):
        _, target, depth, task, _, _, epochs = folder.name.split("-")[3:]
        line = {"split": "test", "metric": METRIC[task], "language": find_language(target).tag}
        found = [
            each["value"]
            for each in read_run(folder).metrics
            if all(each.get(key) == value for key, value in (line | {"model": "student"}).items())
        ]
        taught = _scores(f"teacher-{task}", target, "teacher")
        usual = _scores(f"bistil-{target}-{depth}-{task}", target, "student")
        if found and 0 in taught and 0 in usual:
            shares = [f"{100 * value / taught[0]:.1f} %" for value in (found[0], usual[0])]
            yield f"| {target} | {task} | {epochs} | {100 * found[0]:.1f} | {shares[0]} | {shares[1]} |"


METHODS = {
    "bistil": "BiStil",
    "distilled": "distilled",
    "distilled-small": "distilled, as small",
    "minilm": "MiniLMv2",
    "minilm-small": "MiniLMv2, as small",
    "scratch": "scratch",
}
DEPTHS = {"half": "half the layers", "third": "a third of the layers"}
METRIC = {"pos": "accuracy", "parsing": "las", "ner": "span_f1", "qa": "f1"}


def report() -> None:
    """Write docs/results/bistil.md from the runs that are there."""
    parts = [PREFACE.strip()]
    for depth in LAYERS:
        for task in TASKS:
            if lines := list(_rows(task, depth)):
                parts.append(f"## {task}, {METRIC[task]}, students of {DEPTHS[depth]}")
                head = ["target", "teacher", *METHODS.values()]
                table = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1), *lines]
                parts.append("\n".join(table))
    if lines := list(_carried_rows()):
        parts += ["## A delta of the whole teacher on the general student", CARRIED.strip()]
        parts.append(
            "\n".join(["| target | English | target | entries carried |", "|---|---:|---:|---:|", *lines])
        )
    if lines := list(_worn_rows()):
        parts += ["## The whole model in each language's delta (LT-SFT)", WORN.strip()]
        parts.append("\n".join(["| language | bare | in its delta |", "|---|---:|---:|", *lines]))
    if lines := list(_longer_rows()):
        parts += ["## Phase 2 for longer", LONGER.strip()]
        head = "| target | task | epochs | score | of the teacher's | in as many epochs as above |"
        parts.append("\n".join([head, "|---|---|---:|---:|---:|---:|", *lines]))
    facts = machine()
    parts.append(f"Measured on {facts['cores']} cores of {facts['processor']}, torch {facts['torch']}.")
    RESULT.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _rows(task: str, depth: str) -> Iterator[str]:
    """A line per target language: mean and half the range over seeds, and what is kept of the teachers'."""
    for target in CORPORA:
        if target not in TASKS[task]["test"]:
            continue
        taught = _scores(f"teacher-{task}", target, "teacher")
        found = [_students(method, target, depth, task) for method in METHODS]
        if any(found):
            cells = [_cell(taught), *(_cell(scores, taught) for scores in found)]
            yield " | ".join(["| " + target, *cells]) + " |"


def _students(method: str, target: str, depth: str, task: str) -> dict[int, float]:
    """By seed; in English, of a way that has a student for each language, the mean of all there are."""
    if method not in ("bistil", "scratch"):
        return _scores(f"{method}-all-{depth}-{task}", target, "student")
    targets = [tag for tag in CORPORA if tag != "eng"] if target == "eng" else [target]
    found = [_scores(f"{method}-{tag}-{depth}-{task}", target, "student") for tag in targets]
    seeds = sorted({seed for scores in found for seed in scores})
    return {seed: fmean(scores[seed] for scores in found if seed in scores) for seed in seeds}


def _scores(name: str, language: str, model: str) -> dict[int, float]:
    """By seed, of the runs that are finished."""
    metric = METRIC[name.rpartition("-")[2]]
    wanted = {"split": "test", "metric": metric, "language": find_language(language).tag, "model": model}
    folders = {seed: finished(OUT, f"{name}-{seed}") for seed in SEEDS}
    return {
        seed: line["value"]
        for seed, folder in folders.items()
        if folder is not None
        for line in read_run(folder).metrics
        if all(line.get(key) == value for key, value in wanted.items())
    }


def _cell(scores: Mapping[int, float], taught: Mapping[int, float] | None = None) -> str:
    """Mean, half the range and number of seeds, and the share of the scores of these seeds' teachers."""
    if not scores:
        return ""
    values = list(scores.values())
    spread = f" ± {50 * (max(values) - min(values)):.1f}" if len(values) > 1 else ""
    told = f"{100 * fmean(values):.1f}{spread} [{len(values)}]"
    pairs = [(scores[seed], taught[seed]) for seed in scores if seed in taught] if taught else []
    return told + (
        f", {100 * fmean(one for one, _ in pairs) / fmean(other for _, other in pairs):.1f} %"
        if pairs
        else ""
    )


def main() -> None:
    """Run what is asked for."""
    prepare()
    what, *arguments = sys.argv[1:] or ["report"]
    COMMANDS[what](*arguments)


COMMANDS: dict[str, Any] = {
    "teachers": run_teachers,
    "students": run_students,
    "tuned": run_tuned,
    "carried": carried,
    "worn": worn,
    "report": report,
}


if __name__ == "__main__":
    main()
