"""How each number is shown: its name, unit, digits, and which way is better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

NOTHING = "–"
"""Stands where there is no number."""

_MINUS = "−"


@dataclass(frozen=True)
class Metric:
    """What is known of a metric.

    Attributes:
        label: for readers.
        scale: the measured value times this is shown; 100 for fractions.
        digits: after the decimal point.
        better: which way is better; None when unknown, and then no change is called good or bad.
    """

    label: str
    scale: float = 1.0
    digits: int = 3
    better: Literal["higher", "lower"] | None = None


_METRICS = {
    "las": Metric("LAS", 100, 1, "higher"),
    "span_f1": Metric("span F1", 100, 1, "higher"),
    "f1": Metric("F1", 100, 1, "higher"),
    "accuracy": Metric("accuracy", 100, 1, "higher"),
    "macro_f1": Metric("macro F1", 100, 1, "higher"),
    "uas": Metric("UAS", 100, 1, "higher"),
    "em": Metric("exact match", 100, 1, "higher"),
    "mrr": Metric("mean reciprocal rank", 100, 1, "higher"),
    "bits_per_byte": Metric("bits per byte", 1, 3, "lower"),
    "perplexity": Metric("perplexity", 1, 2, "lower"),
    "masked_perplexity": Metric("perplexity of masked tokens", 1, 2, "lower"),
    "loss": Metric("loss", 1, 3, "lower"),
    "agreement": Metric("agreement with the vote", 100, 1, "higher"),
    "entropy": Metric("entropy of the answers, nats", 1, 2),
    "unknown_rate": Metric("unknown tokens, %", 100, 2, "lower"),
    "tokens_per_word": Metric("tokens per word", 1, 2, "lower"),
    "premium": Metric("premium", 1, 2, "lower"),
    "parity": Metric("information parity", 1, 2, "higher"),
    "retrieval": Metric("finds its translation, %", 100, 1, "higher"),
    "cosine": Metric("cosine with its translation", 1, 2, "higher"),
    "cka": Metric("CKA", 1, 2, "higher"),
    "gradient": Metric("gradient agreement", 1, 2, "higher"),
    "rows_used": Metric("rows used, %", 100, 1),
    "behind": Metric("behind the source", 100, 1, "lower"),
    "tokens": Metric("tokens", 1, 0),
    "beyond_floor": Metric("share of languages below the floor", 100, 0, "lower"),
}

_TASKS = {
    "lm": "language modelling",
    "ner": "NER",
    "nli": "NLI",
    "pos": "POS",
    "qa": "QA",
    "copa": "COPA",
}


def metric(name: str) -> Metric:
    """The facts of a metric; one we do not know is shown as measured, under its own name."""
    return _METRICS.get(name, Metric(name.replace("_", " ")))


def task_label(name: str | None) -> str:
    """A task's name for readers, acronyms in capitals; "" for None."""
    return _TASKS.get(name or "", (name or "").replace("_", " "))


def rank(name: str) -> int:
    """Where a metric stands when a task has several: the one to read first has the lowest rank."""
    return list(_METRICS).index(name) if name in _METRICS else len(_METRICS)


def shown(name: str, value: float | None) -> str:
    """A score of a metric as text; `NOTHING` for None and NaN."""
    if value is None or math.isnan(value):
        return NOTHING
    facts = metric(name)
    return "∞" if math.isinf(value) else f"{value * facts.scale:.{facts.digits}f}".replace("-", _MINUS)


def signed(name: str, change: float | None) -> str:
    """A change of a metric as text, with its sign; 0 has none."""
    text = shown(name, change)
    if change is None or text == NOTHING or not float(text.replace(_MINUS, "-").replace("∞", "inf")):
        return text.removeprefix(_MINUS)
    return f"+{text}" if change > 0 else text


def tone(name: str, change: float | None) -> Literal["good", "bad", ""]:
    """Whether a change is for the better, as far as its shown digits tell; "" when it is neither."""
    text, better = signed(name, change), metric(name).better
    if better is None or text[0] not in f"+{_MINUS}":
        return ""
    return "good" if (text[0] == "+") == (better == "higher") else "bad"


_LARGE = ((1e9, " G"), (1e6, " M"), (1e3, " k"))


def count(value: float | None) -> str:
    """A large number in three digits: 950, 12.4 k, 278 M."""
    if value is None:
        return NOTHING
    for limit, letter in _LARGE:
        if abs(value) >= limit:
            return _three_digits(value / limit) + letter
    return f"{value:.0f}"


def about(value: float) -> str:
    """A large number in two digits: 950, 12 k, 280 M."""
    limit, letter = next(((limit, letter) for limit, letter in _LARGE if abs(value) >= limit), (1.0, ""))
    return f"{float(f'{value / limit:.2g}'):g}{letter}"


def whole(value: int | None) -> str:
    """A whole number with its thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def megabytes(n_bytes: float | None) -> str:
    """A size in MB (a million bytes), in three digits."""
    return NOTHING if n_bytes is None else f"{_three_digits(n_bytes / 1e6)} MB"


def percent(fraction: float | None, *, digits: int = 1) -> str:
    """A fraction as a percentage."""
    return NOTHING if fraction is None else f"{fraction * 100:.{digits}f}%"


def duration(seconds: float | None) -> str:
    """Seconds as the two largest units: 42 s, 3 min 5 s, 2 h 10 min."""
    if seconds is None:
        return NOTHING
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _three_digits(value: float) -> str:
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f}"
