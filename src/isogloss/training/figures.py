"""Losses on their way to the log: checked for being finite, averaged between two lines.

On a GPU, reading a number waits for the device, so the numbers of several steps are read together; on a CPU
each step's are read before the weights change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from isogloss.core.errors import UserError
from isogloss.training.feed import Micro

_MUST_BE_FINITE = ("loss", "gradient_norm")


@dataclass(frozen=True)
class StepFigures:
    """What one optimiser step measured.

    Attributes:
        step: optimiser steps done, this one included.
        values: a scalar per name, over all processes.
        tokens: without padding, over all processes.
        micros: this process's micro-batches.
    """

    step: int
    values: Mapping[str, Float[Tensor, ""]]
    tokens: int | Tensor
    micros: Sequence[Micro]


@dataclass
class Figures:
    """The figures since the last line in the log.

    Attributes:
        phase: for error messages.
        languages: names of the numbers in a batch's "language"; empty to name the numbers themselves.
        last_checkpoint: for error messages; None while there is none.
        sums, counts: per name, of the steps since the last `means`.
        tokens: all since the phase began.
        loss: the newest one read; NaN before the first.
    """

    phase: str
    languages: Sequence[str] = ()
    last_checkpoint: str | None = None
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    loss: float = math.nan
    _pending: list[StepFigures] = field(default_factory=list)

    def add(self, figures: StepFigures) -> None:
        """Take note of a step, without waiting for the device."""
        self._pending.append(figures)

    def settle(self) -> None:
        """Read all that was added.

        Raises:
            UserError: a loss or gradient norm is NaN or infinite; names the first such step.
        """
        pending, self._pending = self._pending, []
        for figures in pending:
            numbers = torch.stack([value.detach().float() for value in figures.values.values()]).tolist()
            for name, number in zip(figures.values, numbers, strict=True):
                if name in _MUST_BE_FINITE and not math.isfinite(number):
                    raise self._diverged(name, number, figures)
                self.sums[name] = self.sums.get(name, 0.0) + number
                self.counts[name] = self.counts.get(name, 0) + 1
                self.loss = number if name == "loss" else self.loss
            self.tokens += int(figures.tokens)

    def means(self) -> dict[str, float]:
        """The mean of each figure since this was last asked."""
        self.settle()
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means

    def _diverged(self, name: str, number: float, figures: StepFigures) -> UserError:
        kept = self.last_checkpoint or "none yet: training had just begun"
        return UserError(
            f"the {name.replace('_', ' ')} became {number} at step {figures.step} of {self.phase}; "
            f"languages in the batch: {', '.join(self._languages_in(figures.micros)) or 'not known'}",
            wanted="a finite number",
            fix="lower learning_rate, lengthen warmup, lower clip, or set precision: fp32; "
            f"last checkpoint: {kept}",
        )

    def _languages_in(self, micros: Sequence[Micro]) -> list[str]:
        numbers = {
            number
            for micro in micros
            if "language" in micro.batch
            for number in micro.batch["language"].unique().tolist()
        }
        known = len(self.languages)
        return [self.languages[n] if 0 <= n < known else str(n) for n in sorted(numbers)]
