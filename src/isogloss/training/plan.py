"""How long, how fast and how carefully to train: the part of a recipe that the loop reads.

Knows no torch, so that reading a recipe stays quick.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from isogloss.core.config import Record, Refused
from isogloss.core.errors import LanguageError, RecipeError
from isogloss.core.languages import language
from isogloss.training.selection import SUMMARIES, is_summary

Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
ScheduleName: TypeAlias = Literal["constant", "linear", "cosine", "wsd"]

_Count: TypeAlias = Annotated[int, Field(ge=1)]
_Fraction: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]
_Below1: TypeAlias = Annotated[float, Field(ge=0.0, lt=1.0)]


class TrainingPlan(Record):
    """One phase of training.

    Attributes:
        steps: optimiser steps; None to say `epochs` instead.
        epochs: passes over the data, fractions allowed; None to say `steps` instead.
        batch_size: sequences in a micro-batch, of one process.
        accumulate: micro-batches of one process that make an optimiser step.
        learning_rate: the highest rate, reached after the warm-up.
        schedule: its course after the warm-up (`training.schedules`).
        warmup: steps if a whole number, a fraction of all steps if written with a point (0.06).
        decay: for `wsd` alone, the fraction of all steps at the end in which the rate falls.
        final: the rate at the end, as a fraction of `learning_rate`; `constant` does not look at it.
        weight_decay: of AdamW; biases, normalisation and embeddings are left out.
        decay_embeddings: apply weight decay to embeddings too.
        betas: of AdamW.
        eps: of AdamW: added to the root of the second moment.
        clip: largest norm of the whole gradient; None to leave gradients as they are.
        precision: bf16 is autocast over float32 weights; auto is bf16 where the hardware computes in it.
        evaluate_every: steps between evaluations; None for a single one at the end.
        checkpoint_every: steps between checkpoints; None for one at the end and one at each best evaluation.
        keep_checkpoints: how many of the newest stay; the best stays besides.
        log_every: steps between lines of losses in metrics.jsonl, each the mean since the one before.
        patience: evaluations without a new best before training stops; None to go to the end.
        select: which weights to end with: best mean over languages (macro), best worst language (worst), best
            mean of the K worst (worst-3), best mean of the worse one over all pairs of languages (fair: the
            mean less half of Gini's mean difference, which never rewards a language's getting worse), best
            in one language (its name), or those of the last step (last).
        compile: `torch.compile` the model. Bit-equal resumption is then no longer promised.
    """

    steps: _Count | None = None
    epochs: Annotated[float, Field(gt=0.0)] | None = None
    batch_size: _Count = 32
    accumulate: _Count = 1
    learning_rate: Annotated[float, Field(gt=0.0)] = 5e-5
    schedule: ScheduleName = "linear"
    warmup: Annotated[int, Field(ge=0, strict=True)] | _Below1 = 0.06
    decay: _Fraction = 0.2
    final: _Fraction = 0.0
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    decay_embeddings: bool = False
    betas: tuple[_Below1, _Below1] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0.0)] = 1e-8
    clip: Annotated[float, Field(gt=0.0)] | None = 1.0
    precision: Precision = "auto"
    evaluate_every: _Count | None = None
    checkpoint_every: _Count | None = 500
    keep_checkpoints: _Count = 2
    log_every: _Count = 10
    patience: _Count | None = None
    select: str = "macro"
    compile: bool = False

    @field_validator("select")
    @classmethod
    def _known_selection(cls, value: str) -> str:
        if value == "last" or is_summary(value):
            return value
        if value in ("gap", "deviation"):
            raise Refused(
                RecipeError(
                    f"{value} alone is smallest where all languages are equally bad",
                    wanted=f"{SUMMARIES}, last or a language",
                    fix="select: fair takes off from the mean what languages lie apart",
                )
            )
        try:
            return language(value).tag
        except LanguageError as error:
            wanted = f"{SUMMARIES}, last or a language"
            raise Refused(RecipeError(error.got, wanted=wanted, fix=error.fix)) from None

    @model_validator(mode="after")
    def _keys_agree(self) -> TrainingPlan:
        if (self.steps is None) == (self.epochs is None):
            both = "not both" if self.steps is not None else "neither is given"
            raise ValueError(f"steps, epochs: give exactly one of the two; {both}")
        if isinstance(self.warmup, int) and self.steps is not None and self.warmup >= self.steps:
            raise ValueError(f"warmup: {self.warmup} steps must be fewer than steps ({self.steps})")
        if self.schedule == "wsd" and isinstance(self.warmup, float) and self.warmup + self.decay > 1.0:
            raise ValueError(f"warmup, decay: {self.warmup} + {self.decay} is more than the whole training")
        if self.patience is not None and self.evaluate_every is None:
            raise ValueError("patience: counts evaluations, so evaluate_every must be given too")
        if self.patience is not None and self.select == "last":
            raise ValueError("patience: needs to know what is best; select must not be last")
        return self

    def total_steps(self, micro_batches: int, *, processes: int = 1) -> int:
        """Optimiser steps in all.

        Args:
            micro_batches: how many make one pass over the data, over all processes.
            processes: how many take part.
        """
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        # Rounded before rounding up: 1.1 passes over 10 batches are 11, not 11.000000000000002.
        return max(1, math.ceil(round(self.epochs * micro_batches / (self.accumulate * processes), 6)))

    def warmup_steps(self, total: int) -> int:
        """Steps of the warm-up when there are `total` in all; fewer than `total`."""
        wanted = self.warmup if isinstance(self.warmup, int) else round(self.warmup * total)
        return min(wanted, total - 1)
