"""Run folders as the methods leave them, written through `open_run`, for the report's tests."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from isogloss.core.config import Record
from isogloss.core.files import write_json
from isogloss.core.run import Run, open_run
from isogloss.core.seeds import generator

LANGUAGES = ("en-Latn", "fr-Latn", "de-Latn", "ru-Cyrl", "tr-Latn", "sw-Latn")
SENTENCES = {
    "en-Latn": "The teacher did not give the old book to Amina.",
    "fr-Latn": "L'enseignante n'a pas donné le vieux livre à Amina.",
    "de-Latn": "Die Lehrerin gab Amina das alte Buch nicht.",
    "ru-Cyrl": "Учительница не дала Амине старую книгу.",
    "tr-Latn": "Öğretmen eski kitabı Amina'ya vermedi.",
    "sw-Latn": "Mwalimu hakumpa Amina kitabu cha zamani.",
    "ar-Arab": "لم تعطِ المعلمة الكتاب القديم لأمينة.",
}


class Recipe(Record):
    method: str
    model: str | None = None
    teacher: str | None = None
    languages: Any = None
    corpora: dict[str, str] | None = None
    task: str | None = None
    train: dict[str, str] | None = None
    test: dict[str, str] | None = None
    unlabelled: Any = None
    stages: Any = None
    steps: int = 400
    seed: int = 0


FINETUNE = Recipe(
    method="finetune",
    model="tiny/encoder",
    task="nli",
    train={"en-Latn": "miniature/train:2000"},
    test={t: "miniature/test" for t in LANGUAGES},
)
DISTIL = Recipe(
    method="distil",
    teacher="runs/2026-11-20-finetune/model",
    languages={"source": "en-Latn", "target": "sw-Latn"},
    corpora={"en-Latn": "miniature/train", "sw-Latn": "miniature/train"},
)
PRETRAIN = Recipe(method="pretrain", corpora={tag: "miniature/train" for tag in LANGUAGES})
LEVEL = Recipe(
    method="level",
    model="runs/topics/model",
    task="topic",
    unlabelled={tag: "miniature/train" for tag in LANGUAGES},
)
PIPELINE = Recipe(method="pipeline", stages={"pretrain": {}, "finetune": {}, "distil": {}})

BASE = (0.412, 0.391, 0.383, 0.352, 0.344, 0.337)
TUNED = (0.846, 0.742, 0.718, 0.655, 0.604, 0.438)


def finetune(folder: Path, recipe: Recipe = FINETUNE) -> Path:
    with open_run(folder, recipe) as run:
        _training(run, "finetune", {"loss": 1.1}, steps=recipe.steps)
        for step in range(50, recipe.steps + 1, 50):
            for tag, before, after in zip(LANGUAGES, BASE, TUNED, strict=True):
                value = after - (after - before) * math.exp(-step / 90)
                run.log("accuracy", value, phase="finetune", step=step, split="dev", language=tag, task="nli")
        for model, values in {"base": BASE, "finetuned": TUNED}.items():
            _scores(run, "nli", "accuracy", model, dict(zip(LANGUAGES, values, strict=True)))
            _scores(
                run, "nli", "macro_f1", model, dict(zip(LANGUAGES, [v - 0.02 for v in values], strict=True))
            )
        run.size("finetuned", parameters=4_213_571, bytes=16_854_284, layers=4, hidden=128, vocabulary=8000)
        run.samples(_nli_samples())
        run.samples(_tag_samples())
        run.note(data={"miniature": "sha256:51f0c2", "tokenizer": "sha256:9ab1d0"})
    return folder


def distil(folder: Path) -> Path:
    languages = ("en-Latn", "sw-Latn")
    with open_run(folder, DISTIL) as run:
        _training(run, "phase1", {"loss": 3.2, "hidden": 2.1, "hidden/0": 1.0, "attention": 1.1}, steps=600)
        _training(run, "phase2", {"loss": 2.6, "logits": 0.9, "hidden": 1.2, "attention": 0.5}, steps=300)
        for phase in ("phase1", "phase2"):
            _shares(run, phase, dict.fromkeys(languages, 0.5))
        _scores(run, "nli", "accuracy", "teacher", {tag: TUNED[LANGUAGES.index(tag)] for tag in languages})
        _scores(run, "nli", "accuracy", "student", {"en-Latn": 0.827, "sw-Latn": 0.471})
        _scores(run, "parsing", "las", "teacher", {"en-Latn": 0.781, "sw-Latn": 0.412}, interval=0.012)
        _scores(run, "parsing", "las", "student", {"en-Latn": 0.752, "sw-Latn": 0.437}, interval=0.012)
        _scores(run, "parsing", "uas", "teacher", {"en-Latn": 0.823, "sw-Latn": 0.512}, interval=0.012)
        _scores(run, "parsing", "uas", "student", {"en-Latn": 0.801, "sw-Latn": 0.533}, interval=0.012)
        run.size("teacher", parameters=4_213_571, bytes=16_854_284, layers=4, hidden=128, vocabulary=8000)
        run.size("student", parameters=1_390_211, bytes=5_560_844, layers=2, hidden=128, vocabulary=2911)
        lines = [line for line in _nli_samples() if line["language"] in languages]
        run.samples([{**line, "model": "teacher"} for line in lines])
        run.samples(
            [{**line, "model": "student", "predicted": line["gold"], "correct": True} for line in lines]
        )
    return folder


def pretrain(folder: Path) -> Path:
    shares = dict(zip(LANGUAGES, (0.4, 0.2, 0.16, 0.12, 0.08, 0.04), strict=True))
    with open_run(folder, PRETRAIN) as run:
        _training(run, "pretrain", {"loss": 8.9}, steps=1000)
        _shares(run, "pretrain", shares)
        for step in range(100, 1001, 100):
            for number, tag in enumerate(LANGUAGES):
                value = 2.2 + 0.18 * number + 3.5 * math.exp(-step / 260)
                run.log(
                    "bits_per_byte", value, phase="pretrain", step=step, split="dev", language=tag, task="lm"
                )
        run.size("base", parameters=4_211_000, bytes=16_844_000, layers=4, hidden=128, vocabulary=8000)
    return folder


def level(folder: Path, *, tested: bool = True, evaluations: int = 4, **guards: Any) -> Path:
    """English taught the others; Swahili gained and French was harmed, or nothing was kept."""
    with open_run(folder, LEVEL) as run:
        _training(run, "level", {"loss": 0.9}, steps=80)
        for step in range(20, 20 * evaluations + 1, 20):
            for number, tag in enumerate(LANGUAGES):
                facts = {"phase": "level", "step": step, "split": "dev", "language": tag}
                run.log("agreement", 0.9 - 0.1 * number + 0.001 * step, **facts)
                run.log("entropy", 1.9 - 0.01 * number, **facts)
        if tested:
            _scores(run, "topic", "accuracy", "before", dict(zip(LANGUAGES, TUNED, strict=True)))
            after = dict(zip(LANGUAGES, _LEVELLED, strict=True))
            _scores(run, "topic", "accuracy", "levelled", after)
        write_json(folder / "levelling.json", level_facts(tested=tested, **guards))
    return folder


_LEVELLED = (0.846, 0.692, 0.728, 0.665, 0.614, 0.538)
_CHANGES = (0.0, -0.05, 0.01, 0.01, 0.01, 0.1)


def level_facts(*, tested: bool = True, **guards: Any) -> dict[str, Any]:
    """levelling.json as `methods.levelled` writes it."""
    falling = {tag: 0.9 - 0.1 * number for number, tag in enumerate(LANGUAGES)}
    whole = sum(falling.values())
    matrix = [
        [1.0 if a == b else 0.5 + 0.01 * (i + j) for j, b in enumerate(LANGUAGES)]
        for i, a in enumerate(LANGUAGES)
    ]
    facts: dict[str, Any] = {
        "task": "topic",
        "source": "en-Latn",
        "aim": "consensus",
        "items": {"learnt": 400, "held_out": 100},
        "dropped": {},
        "languages": list(reversed(LANGUAGES)),
        "teachers": list(LANGUAGES[:3]),
        "students": list(LANGUAGES[3:]),
        "selection": {
            "scores": falling,
            "normalised": {tag: score / whole for tag, score in falling.items()},
            "threshold": 1 / 6,
            "selector": "confidence",
            "normalisation": "sum",
        },
        "stability": {
            "shares": {tag: float(score > 0.6) for tag, score in falling.items()},
            "scores": {tag: [score, score - 0.02, score + 0.02] for tag, score in falling.items()},
            "unchanged": 0.97,
            "draws": 200,
        },
        "judges": {judge: falling for judge in ("confidence", "agreement", "reliability")},
        "vote": {"margin": 0.55, "unanimous": 0.31},
        "calibration": {tag: {"error": 0.1, "confidence": 0.8, "accuracy": 0.7} for tag in LANGUAGES},
        "guards": {
            "steps": 80,
            "kept_step": 60,
            "refused": None,
            "put_back": None,
            "start": {"agreement": falling, "entropy": {tag: 1.9 for tag in LANGUAGES}},
        }
        | guards,
        "agreement": {"before": matrix, "after": matrix},
    }
    return facts | (_tested_facts() if tested else {})


def _tested_facts() -> dict[str, Any]:
    rows = zip(LANGUAGES, TUNED, _LEVELLED, _CHANGES, strict=True)
    spread = {"mean": 0.66, "gap": 0.41, "deviation": 0.13, "worst_mean": 0.56, "transfer_gap": 0.2}
    line = {"id": "s1", "input": SENTENCES["sw-Latn"], "gold": "school", "language": "sw-Latn"}
    mended = {"predicted": "school", "before": "market", "correct": True, "was_correct": False}
    broken = {"predicted": "market", "before": "school", "correct": False, "was_correct": True}
    return {
        "metric": "accuracy",
        "changes": {
            tag: {"before": old, "after": new, "mean": mean, "low": mean - 0.03, "high": mean + 0.03}
            for tag, old, new, mean in rows
        },
        "harmed": ["fr-Latn"],
        "disparity": {
            "before": {key: _estimate(value, 0.04, -0.01) for key, value in spread.items()},
            "after": {key: _estimate(value, -0.02, -0.07) for key, value in spread.items()},
            "change": {key: _estimate(-0.1, 0.05, -0.05) for key in spread},
        },
        "moves": {tag: {"mended": 12, "broken": 7, "otherwise": 3} for tag in LANGUAGES},
        "changed": [line | mended, line | {"id": "s2"} | broken],
    }


def _estimate(value: float, high: float, low: float) -> dict[str, float]:
    return {"value": value, "low": value + low, "high": value + high}


def pipeline(folder: Path) -> Path:
    with open_run(folder, PIPELINE):
        pretrain(folder / "stages" / "pretrain")
        finetune(folder / "stages" / "finetune")
        distil(folder / "stages" / "distil")
    return folder


def failed(folder: Path, why: str) -> Path:
    try:
        with open_run(folder, FINETUNE) as run:
            _training(run, "finetune", {"loss": 1.1}, steps=60)
            raise ValueError(why)
    except ValueError:
        return folder


def bare(folder: Path) -> Path:
    """A folder as it is a moment after the start."""
    try:
        with open_run(folder, Recipe(method="finetune")):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        return folder


def _training(run: Run, phase: str, parts: dict[str, float], *, steps: int) -> None:
    noise = generator(7, phase).normal(0, 1, (steps // 5 + 1, len(parts)))
    for index, step in enumerate(range(1, steps + 1, 5)):
        for place, (name, start) in enumerate(parts.items()):
            floor = start * 0.28
            value = (
                floor + (start - floor) * math.exp(-step / (steps / 4)) + 0.02 * start * noise[index, place]
            )
            run.log(name, float(value), phase=phase, step=step)
        run.log("learning_rate", 5e-4 * (1 - step / steps), phase=phase, step=step)
        run.log("tokens_per_second", 21_000.0 + index, phase=phase, step=step)


def _scores(
    run: Run, task: str, metric: str, model: str, values: dict[str, float], *, interval: float = 0.021
) -> None:
    for tag, value in values.items():
        run.log(
            metric,
            value,
            phase="evaluate",
            step=0,
            split="test",
            language=tag,
            task=task,
            model=model,
            low=value - interval,
            high=value + interval,
        )


def _shares(run: Run, phase: str, shares: dict[str, float]) -> None:
    for number, (tag, share) in enumerate(shares.items()):
        got = share + (0.004 if number % 2 else -0.004)
        run.log("requested_share", share, phase=phase, step=0, language=tag)
        run.log("share", got, phase=phase, step=0, language=tag)
        run.log("tokens", got * 2_400_000, phase=phase, step=0, language=tag)


def _nli_samples() -> list[dict[str, Any]]:
    labels = ("entailment", "neutral", "contradiction")
    return [
        {
            "model": "finetuned",
            "task": "nli",
            "language": tag,
            "id": f"{tag}-{number}",
            "input": {"text": SENTENCES[tag], "pair": SENTENCES[tag]},
            "gold": labels[number % 3],
            "predicted": labels[(number * (1 + (number > 1))) % 3],
            "correct": number < 2 or number == 3,
        }
        for tag in (*LANGUAGES, "ar-Arab")
        for number in range(4)
    ]


def _tag_samples() -> list[dict[str, Any]]:
    words = SENTENCES["en-Latn"].rstrip(".").split()
    gold = ["DET", "NOUN", "AUX", "PART", "VERB", "DET", "ADJ", "NOUN", "ADP", "PROPN"]
    wrong = [*gold[:-1], "NOUN"]
    facts = {"model": "finetuned", "task": "pos", "language": "en-Latn", "input": words, "gold": gold}
    return [
        {**facts, "id": "t1", "predicted": gold, "correct": True},
        {**facts, "id": "t2", "predicted": wrong, "correct": False},
    ]
