"""What keeps levelling from doing harm: checkpoints chosen without target labels, and reasons to stop.

Languages that only have to agree can agree on nonsense. So they are compared with what the teachers voted for
before anything was learnt, on items that nothing is learnt from; the entropy of each language's answers is
watched; and a teacher that falls ends the training, at the weights that were best before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from torch import nn

from isogloss.analysis.calibration import variety
from isogloss.analysis.panel import Panel
from isogloss.analysis.vote import majority_vote
from isogloss.core.config import Record
from isogloss.core.processes import from_main, is_main
from isogloss.data.aligned import AlignedExamples
from isogloss.data.records import Example
from isogloss.evaluate.suite import evaluate
from isogloss.methods.teachers import believed
from isogloss.models.tasks import TaskModel
from isogloss.training.hooks import Hook, Moment, Refusal


class GuardRule(Record):
    """How levelling is watched.

    Attributes:
        held_out: share of the unlabelled items that nothing is learnt from; on them it is measured how often
            each language says what the teachers voted for before levelling.
        choose_by: "agreement", the mean of that over the languages, or "source", the score on `dev`.
        tolerance: how far a teacher may fall below where it began, on its `dev` set where there is one, else
            in that agreement, before training stops.
        collapse: training stops when the entropy of a language's answers over the held-out items falls below
            this share of what it was before, and it agrees less with the vote: when it hardly tells items
            apart any more. One that was near chance may pass through one class on its way up.
        patience: evaluations in a row with something to complain of before training stops. The weights of
            none of them are kept, but at a high learning rate languages may fall first and rise later.
    """

    held_out: float = Field(default=0.2, gt=0, lt=1)
    choose_by: Literal["agreement", "source"] = "agreement"
    tolerance: float = Field(default=0.05, ge=0, lt=1)
    collapse: float = Field(default=0.25, ge=0, le=1)
    patience: int = Field(default=1, ge=1)


@dataclass(frozen=True)
class Standing:
    """How a model stands on held-out items and on dev sets.

    Attributes:
        agreement: per language, the share of held-out items on which it says what the teachers voted for.
        entropy: per language, of its answers over those items, in nats.
        information: per language, what an answer says about the item, in nats (`analysis.calibration`). It is
            shown and not watched: a language that unlearns false certainty loses of it, and is the better.
        dev: per language with a dev set, its score.
    """

    agreement: dict[str, float]
    entropy: dict[str, float]
    information: dict[str, float]
    dev: dict[str, float]


class Judge:
    """Measures a model on what it does not learn from, and says when it has gone wrong.

    Attributes:
        verdict: what is wrong with the model measured last; None if nothing is.
    """

    def __init__(
        self,
        rule: GuardRule,
        tokenizer: Any,
        held_out: AlignedExamples,
        dev: Mapping[str, Sequence[Example]],
        *,
        votes: Mapping[str, float],
        metric: str,
        max_length: int | None,
    ) -> None:
        """Put the parts together; `begin` must see the model before it learns.

        Args:
            votes: the teachers, and how much the vote of each counts.
            metric: the task's first, measured on `dev`.
        """
        self._rule, self._tokenizer, self._held_out, self._dev = rule, tokenizer, held_out, dev
        self._votes, self._metric, self._max_length = dict(votes), metric, max_length
        self._reference: npt.NDArray[np.int64] = np.zeros(len(held_out), dtype=np.int64)
        self.verdict: str | None = None

    def begin(self, model: TaskModel) -> Standing:
        """What the teachers vote for before levelling, and where every language stands."""
        panel = self._believed(model)
        self._reference = self._vote(panel)
        self.start = self._stands(model, panel)
        return self.start

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """A number per language to choose a checkpoint by; fills `verdict`."""
        task = next(part for part in model.modules() if isinstance(part, TaskModel))
        self.last = self._stands(task, self._believed(task))
        self.verdict = _told(self._complaints(self.last))
        return self.chosen_by(self.last)

    def chosen_by(self, standing: Standing) -> dict[str, float]:
        """The numbers that decide between checkpoints."""
        return standing.dev if self._rule.choose_by == "source" else standing.agreement

    def _vote(self, panel: Panel) -> npt.NDArray[np.int64]:
        """The teachers' vote on each item, each with its weight."""
        if len(self._votes) == 1:
            return panel.choices[panel.languages.index(next(iter(self._votes)))]
        teachers = panel.restricted(languages=tuple(self._votes))
        return majority_vote(teachers, weights=self._votes).classes

    def _believed(self, model: TaskModel) -> Panel:
        return believed(model, self._tokenizer, self._held_out, max_length=self._max_length)

    def _stands(self, model: TaskModel, panel: Panel) -> Standing:
        dev = (
            evaluate(model, self._tokenizer, self._dev, headline=self._metric, max_length=self._max_length)
            if self._dev
            else None
        )
        agreement, varied = (panel.choices == self._reference).mean(axis=1), variety(panel)
        return Standing(
            dict(zip(panel.languages, agreement.tolist(), strict=True)),
            {tag: found.labels for tag, found in varied.items()},
            {tag: found.information for tag, found in varied.items()},
            {} if dev is None else {tag: scores[self._metric] for tag, scores in dev.scores.items()},
        )

    def _complaints(self, now: Standing) -> list[str]:
        fallen = [self._fall(tag, now) for tag in self._votes]
        share, start = self._rule.collapse, self.start.entropy
        collapsed = [
            f"{tag} hardly tells items apart any more: entropy of the answers {value:.2f} nats, "
            f"{start[tag]:.2f} at the start"
            for tag, value in now.entropy.items()
            if value < share * start[tag] and now.agreement[tag] < self.start.agreement[tag]
        ]
        return [*filter(None, fallen), *collapsed]

    def _fall(self, tag: str, now: Standing) -> str | None:
        """What a teacher has lost, if it is more than is tolerated."""
        on_dev = tag in now.dev
        before, after = ((each.dev if on_dev else each.agreement)[tag] for each in (self.start, now))
        if before - after <= self._rule.tolerance:
            return None
        measure = f"{self._metric} on dev" if on_dev else "agreement with the vote before levelling"
        return f"the teacher {tag} fell from {before:.3f} to {after:.3f} in {measure}"


def _told(complaints: Sequence[str]) -> str | None:
    """The first few, and how many more there are."""
    more = len(complaints) - _TOLD
    told = [*complaints[:_TOLD], *([f"and {more} more such complaints"] if more > 0 else [])]
    return "; ".join(told) or None


_TOLD = 3


class Guard(Hook):
    """Refuses weights that the judge complains of."""

    name = "guard"

    def __init__(self, judge: Judge, *, patience: int = 1) -> None:
        self._judge, self._patience, self._in_a_row = judge, patience, 0

    def after_evaluation(self, moment: Moment, scores: Mapping[str, float]) -> Refusal | None:
        """Log what the judge saw, and say what it complains of."""
        if is_main():
            for tag, entropy in self._judge.last.entropy.items():
                moment.log("entropy", entropy, split="dev", language=tag)
        verdict = from_main(self._judge.verdict if is_main() else None)
        self._in_a_row = self._in_a_row + 1 if verdict else 0
        return Refusal(verdict, ends=self._in_a_row >= self._patience) if verdict else None

    def state_dict(self) -> dict[str, Any]:
        """How many complaints there were in a row."""
        return {"in_a_row": self._in_a_row}

    def load_state_dict(self, state: Mapping[str, Any], *, main: bool) -> None:
        """Take it back."""
        self._in_a_row = state["in_a_row"]
