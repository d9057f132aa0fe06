"""Perplexity at the end of pretraining by the published protocol, language by language."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from isogloss.core.by_language import tokenizer_of
from isogloss.core.config import Record
from isogloss.core.run import Run
from isogloss.data.tokens import TokenFile
from isogloss.evaluate.intervals import bootstrap
from isogloss.evaluate.windows import Scored, Windows, check_stream, scored_windows
from isogloss.methods.scores import forget_scores
from isogloss.models.tasks import TaskModel

TASK = "lm"
_AT_ONCE = 100_000  # tokens turned back into text together


class PerplexityRule(Record):
    """The `perplexity:` part of a pretraining recipe: sliding windows over the whole of each test text.

    Attributes:
        window: tokens that a window reads; the model must take as many.
        scored: predictions at its end that count, and tokens from one window to the next.
        first: whether the first window's other predictions count too; as published they do not.
        most: count about this many tokens of each text, from its beginning; None for all.
    """

    window: int = Field(default=512, ge=2)
    scored: int = Field(default=128, ge=1)
    first: bool = False
    most: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _within(self) -> PerplexityRule:
        if self.scored > self.window:
            told = "" if "scored" in self.model_fields_set else " if not told otherwise"
            raise ValueError(
                f"scored: {self.scored} predictions{told} are more than `window`, {self.window} tokens"
            )
        return self

    @property
    def windows(self) -> Windows:
        """The same for `evaluate.windows`."""
        return Windows(self.window, self.scored, self.first)

    def check(self, files: Mapping[str, TokenFile]) -> None:
        """Refuse texts of which no token would count.

        Raises:
            DataError: there is one.
        """
        for tag, file in files.items():
            check_stream(file.ids, self.windows, tag)


@dataclass(frozen=True)
class _Line:
    metric: str
    value: float
    bounds: Mapping[str, float]


def log_perplexity(
    rule: PerplexityRule,
    run: Run,
    subject: TaskModel,
    tokenizer: Any,
    files: Mapping[str, TokenFile],
    *,
    model: str,
    step: int,
) -> None:
    """Score a causal model on whole texts and write perplexity and bits per byte to the run.

    Intervals are a bootstrap over windows.

    Args:
        tokenizer: what the files were made with, by language where there are several.
        files: test text by language.
        model: what the run calls it.
    """
    forget_scores(run)
    found = scored_windows(
        subject, {tag: file.ids for tag, file in files.items()}, rule.windows, most=rule.most
    )
    for tag, scored in found.items():
        n_bytes = scored_bytes(files[tag], tokenizer_of(tokenizer, tag), rule.windows, scored)
        for line in _lines(scored, n_bytes):
            run.log(
                line.metric,
                line.value,
                phase="evaluate",
                step=step,
                split="test",
                language=tag,
                task=TASK,
                model=model,
                **line.bounds,
                tokens=int(scored.tokens.sum()),
                window=rule.window,
                scored=rule.scored,
                first=rule.first,
            )


def log_masked_perplexity(
    run: Run, losses: Mapping[str, float], files: Mapping[str, TokenFile], *, model: str, step: int
) -> None:
    """Write exp of a masked model's loss on masked test text to the run, under a name of its own.

    It is the perplexity of guessing what was masked, with both sides in view: no perplexity of the text.

    Args:
        losses: mean of the masked tokens in nats, by language.
        files: the text by language.
        model: what the run calls it.
    """
    forget_scores(run)
    for tag, loss in losses.items():
        more = {"split": "test", "language": tag, "task": TASK, "model": model}
        pieces = files[tag].bytes / max(1, files[tag].count)
        run.log("masked_perplexity", _exp(loss), phase="evaluate", step=step, **more, bytes_per_token=pieces)


def _lines(scored: Scored, n_bytes: float) -> list[_Line]:
    """Without intervals where there is but one window, which cannot be drawn otherwise."""
    ends: dict[str, float] = {}
    if len(scored.tokens) > 1:
        found = bootstrap((scored.nats / scored.tokens).tolist(), weights=scored.tokens.tolist(), seed=0)
        ends = dict(zip(("low", "high"), found, strict=True))
    lines = [_Line("perplexity", scored.perplexity, {name: _exp(end) for name, end in ends.items()})]
    if n_bytes:
        bits = float(scored.tokens.sum() / n_bytes / math.log(2))
        bounds = {name: end * bits for name, end in ends.items()}
        lines.append(_Line("bits_per_byte", scored.bits_per_byte(n_bytes), bounds))
    return lines


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf


def scored_bytes(file: TokenFile, tokenizer: Any, windows: Windows, scored: Scored) -> float:
    """UTF-8 bytes of the text that the counted tokens stand for.

    Of a whole file they are known. Of a part, they are its share of the text that the ids turn back into,
    times the file's own bytes: what a tokenizer normalises away is in both.
    """
    start = windows.begins
    stop = start + int(scored.tokens.sum())
    if (start, stop) == (1, len(file.ids)):
        return file.bytes
    parts = (file.ids[1:start], file.ids[start:stop], file.ids[stop:])
    before, part, after = (_text_bytes(ids, tokenizer) for ids in parts)
    whole = before + part + after
    return file.bytes * part / whole if whole else 0.0


def _text_bytes(ids: Any, tokenizer: Any) -> int:
    pieces = (ids[start : start + _AT_ONCE].tolist() for start in range(0, len(ids), _AT_ONCE))
    return sum(len(tokenizer.decode(each, skip_special_tokens=True).encode()) for each in pieces)
