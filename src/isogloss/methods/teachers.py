"""Which languages of a model teach: what it believes of the same items in each, and who is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from isogloss.analysis.panel import Panel
from isogloss.analysis.reliability import dawid_skene
from isogloss.analysis.selection import Normalisation, Selection, Stability, choose, stability
from isogloss.core.config import Record
from isogloss.core.fields import LanguageTag
from isogloss.data.aligned import AlignedExamples
from isogloss.evaluate.distributions import distributions
from isogloss.models.tasks import TaskModel

SelectorName: TypeAlias = Literal[
    "confidence", "confidence-others", "agreement", "agreement-own", "reliability", "source", "random", "all"
]


@dataclass(frozen=True)
class Teachers:
    """The languages that teach, and what they were chosen by.

    Attributes:
        panel: what the model believed of the items to learn from, in every language.
        selection: who teaches, and by which numbers.
        stability: how far that hangs on the items.
    """

    panel: Panel
    selection: Selection
    stability: Stability

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that teach, the best first."""
        return self.selection.teachers

    def beliefs(self) -> Tensor:
        """What the teachers believed of each item, as log-probabilities, (teachers, items, classes)."""
        places = [self.panel.languages.index(tag) for tag in self.languages]
        believed = torch.tensor(self.panel.probabilities[places], dtype=torch.float32)
        lowest = torch.finfo(torch.float32).min
        return torch.where(torch.from_numpy(self.panel.possible), believed.clamp(min=1e-30).log(), lowest)

    @cached_property
    def weights(self) -> Tensor:
        """How much each teacher counts in a consensus, (teachers,): log odds of its accuracy, above 0.

        For voters that err independently, and evenly over the other classes, log(r (K - 1) / (1 - r)) weighs
        best (Nitzan and Paroush 1982). r is the accuracy expected by Dawid and Skene, or the agreement with
        the source where that has selected; kept off 0 and 1.
        """
        panel, selection = self.panel, self.selection
        found = selection.scores if selection.selector == "source" else dawid_skene(panel).reliabilities
        others = max(1, int(panel.possible.any(axis=0).sum()) - 1)
        right = torch.tensor([found[tag] for tag in self.languages], dtype=torch.float64).clamp(0.01, 0.99)
        return (right * others / (1 - right)).log().clamp(min=_LEAST).float()


_LEAST = 1e-2


class TeacherRule(Record):
    """How teacher languages are found, without labels (ALSACE, section 3.1; other judges beside it).

    Attributes:
        selector: what a language is judged by (`analysis.selection.SELECTORS`). None is "source", how often
            it says what the source language says, or without a source "confidence", as published.
        teachers: languages that teach, named; nothing is then selected.
        normalisation: how scores are made to sum to 1.
        threshold: on normalised scores; None for their mean.
        count: how many teach, instead of a threshold.
        draws: resampled sets of items, on which the choice is made again to see whether it is stable.
    """

    selector: SelectorName | None = None
    teachers: tuple[LanguageTag, ...] = ()
    normalisation: Normalisation = "sum"
    threshold: float | None = Field(default=None, gt=0, lt=1)
    count: int | None = Field(default=None, ge=1)
    draws: int = Field(default=200, ge=10)

    @model_validator(mode="after")
    def _one_way(self) -> TeacherRule:
        if self.threshold is not None and self.count is not None:
            raise ValueError("threshold, count: give one of the two, or neither for the mean")
        if self.teachers and (self.threshold is not None or self.count is not None):
            raise ValueError("teachers: named, so neither threshold nor count has anything to choose")
        return self

    def choose(self, panel: Panel, *, seed: int, source: str | None = None) -> Teachers:
        """The languages that teach, and how far that hangs on the items.

        Raises:
            RecipeError: nobody would teach, or nobody learn; with everybody's scores.
        """
        rule: dict[str, Any] = {
            "normalisation": self.normalisation,
            "threshold": self.threshold,
            "count": self.count,
            "seed": seed,
            "source": source,
        }
        by = self.teachers or self.selector or ("confidence" if source is None else "source")
        return Teachers(panel, choose(panel, by, **rule), stability(panel, by, **rule, draws=self.draws))


def believed(
    model: TaskModel, tokenizer: Any, items: AlignedExamples, *, max_length: int | None = None
) -> Panel:
    """What a model believes of items in each of their languages."""
    found = {
        tag: distributions(model, tokenizer, items.examples[tag], max_length=max_length)
        for tag in items.languages
    }
    return Panel(items.languages, items.ids, np.stack([found[tag] for tag in items.languages]))
