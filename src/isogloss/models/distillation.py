"""A student beside its teacher, run on the same batch and compared: the losses of both phases of BiStil.

Ansell et al. 2023, arXiv 2306.01709, section 3. Phase 1 compares hidden states and attention maps on running
text; phase 2 also what the two say of a task. Both are this one module, over a model of another kind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from isogloss.core.errors import ModelError
from isogloss.data.beside import TEXT, part_of
from isogloss.data.features import IGNORED
from isogloss.data.records import PIECES, Kind
from isogloss.losses.attention import attention_loss, real_pairs
from isogloss.losses.combine import mean_over
from isogloss.losses.hidden import hidden_loss
from isogloss.losses.kept import kept_kl
from isogloss.losses.logits import distillation_kl
from isogloss.losses.plan import DistillationLosses, LogitsLoss
from isogloss.losses.relations import relation_loss
from isogloss.losses.span import SpanScores, span_kl
from isogloss.losses.tree import TreeScores, tree_kl
from isogloss.models.anatomy import Anatomy, anatomy
from isogloss.models.outputs import Kept, recording
from isogloss.models.task_model import TaskOutput, may_answer
from isogloss.models.teacher import Teacher


class Distillation(nn.Module):
    """A student, and what it is compared by.

    Only the student is part of this module: its parameters are trained, checkpointed and counted.

    Attributes:
        student: a task model, or one that is sparsely tuned; what is trained.
        teacher: of the same kind; None where gold alone teaches.
        layers: the teacher layer that each student layer is compared with.
        losses: which to compute, and how.
        basis: what the teacher's hidden states are multiplied by, into the space of a narrower student.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher | None,
        *,
        layers: Sequence[int],
        losses: DistillationLosses,
        basis: Float[Tensor, "large small"] | None = None,
    ) -> None:
        """Look whether the two can be compared so.

        Raises:
            ModelError: another number of layers than the student has, or one that the teacher does not have.
            RecipeError: widths or numbers of heads that a loss cannot compare.
        """
        super().__init__()
        self.student = student
        self.teacher = teacher
        self.layers = tuple(layers)
        self.losses = losses
        self.basis: Tensor | None
        self.register_buffer("basis", basis, persistent=False)
        parts = anatomy(student)
        self._causal = parts.family.kind == "decoder"
        self._related = _related(losses, parts, teacher)
        if teacher is not None:
            theirs = anatomy(teacher.model)
            _check_layers(parts, theirs, self.layers)
            turned_to = None if basis is None else basis.shape[1]
            losses.refuse_incomparable(parts.config, theirs.config, turned_to=turned_to)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "*layers"]]:
        """Each loss by name, one number or one per layer or relation; padding is left out of all.

        `lost_mass`, the teacher's probability of pieces that the student does not have, is no loss. Of
        running text beside a task (`data.beside`) the inner states are compared: losses named `text/...`.
        """
        found = self._compare(batch, self.losses.weights)
        if text := part_of(batch, TEXT):
            inner = [name for name in self.losses.weights if name in _INNER]
            found |= {TEXT + name: loss for name, loss in self._compare(text, inner).items()}
        return found

    def _compare(
        self, batch: Mapping[str, Tensor], wanted: Collection[str]
    ) -> dict[str, Float[Tensor, "*layers"]]:
        with recording(self.student, **self._states(range(len(self.layers)), side=0)) as ours:
            said = self.student(batch, head="gold" in wanted or "logits" in wanted)
        found = {"gold": said.loss} if "gold" in wanted else {}
        if self.teacher is None or not self.losses.needs_teacher:
            return found
        told, theirs = self.teacher.ask(batch, head="logits" in wanted, **self._states(self.layers, side=1))
        real = batch["attention_mask"] != 0
        for name in wanted:
            if name in _INNER:
                found[name] = _INNER[name](self, ours, theirs, real)
        if "logits" in wanted:
            found |= self._logits(said, told, batch)
        return found

    def _states(self, layers: Sequence[int], *, side: int) -> dict[str, Any]:
        """What to record of the student (side 0) or the teacher (1), for `recording`."""
        wanted = self.losses.weights
        return {
            "hidden": [0, *(layer + 1 for layer in layers)] if "hidden" in wanted else (),
            "attention": list(layers) if "attention" in wanted else (),
            "projections": [self._related[side]] if "relations" in wanted else (),
        }

    def _hidden(
        self, ours: Kept, theirs: Kept, real: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, " states"]:
        return hidden_loss(
            [ours.hidden[i] for i in range(len(self.layers) + 1)],
            [theirs.hidden[j] for j in (0, *(layer + 1 for layer in self.layers))],
            real,
            form=self.losses.hidden.form,
            basis=self.basis,
        )

    def _attention(
        self, ours: Kept, theirs: Kept, real: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, " layers"]:
        return attention_loss(
            [ours.attention[i] for i in range(len(self.layers))],
            [theirs.attention[layer] for layer in self.layers],
            None if not self._causal and bool(real.all()) else real_pairs(real, causal=self._causal),
            form=self.losses.attention.form,
        )

    def _relations(
        self, ours: Kept, theirs: Kept, real: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, " relations"]:
        rule = self.losses.relations
        own, other = ours.projections[self._related[0]], theirs.projections[self._related[1]]
        heads = rule.heads or other.query.shape[1]
        found = relation_loss(own, other, real, relations=rule.pairs, heads=heads, causal=self._causal)
        return torch.stack(list(found.values()))

    def _logits(
        self, said: TaskOutput, told: TaskOutput, batch: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, ""]]:
        assert self.teacher is not None
        kind, rule = self.teacher.model.kind, self.losses.logits
        if kind in PIECES:
            return _pieces(said.logits["tokens"], told.logits["tokens"], self.teacher.kept, rule)
        return {"logits": _SAID[kind](said.logits, told.logits, batch, rule)}


_INNER = {
    "hidden": Distillation._hidden,
    "attention": Distillation._attention,
    "relations": Distillation._relations,
}


def _check_layers(student: Anatomy, teacher: Anatomy, layers: Sequence[int]) -> None:
    if len(layers) != len(student.layers) or not all(0 <= layer < len(teacher.layers) for layer in layers):
        raise ModelError(
            f"a student of {len(student.layers)} layers compared with the teacher's layers {list(layers)}",
            wanted=f"{len(student.layers)} numbers from 0 to {len(teacher.layers) - 1}",
            fix="give one teacher layer for each of the student's",
        )


def _related(losses: DistillationLosses, parts: Any, teacher: Teacher | None) -> tuple[int, int]:
    """The layer of the student and of the teacher between which relations are compared."""
    rule = losses.relations
    last = [len(parts.layers) - 1, 0 if teacher is None else len(anatomy(teacher.model).layers) - 1]
    given = (rule.student_layer, rule.teacher_layer)
    own, other = (end if layer is None else layer for layer, end in zip(given, last, strict=True))
    return own, other


Logits = Mapping[str, Tensor]


def _pieces(
    ours: Float[Tensor, "places kept"],
    theirs: Float[Tensor, "places all"],
    kept: Tensor | None,
    rule: LogitsLoss,
) -> dict[str, Float[Tensor, ""]]:
    """Over the vocabulary, where something is to be guessed; over the pieces that both have."""
    settings: dict[str, Any] = {"temperature": rule.temperature, "scaled": rule.scaled}
    if kept is None:
        return {"logits": _mean(distillation_kl(ours, theirs, **settings))}
    divergence, lost = kept_kl(ours, theirs, kept, **settings)
    return {"logits": _mean(divergence), "lost_mass": _mean(lost).detach()}


def _mean(values: Float[Tensor, " rows"]) -> Float[Tensor, ""]:
    return mean_over(values, torch.ones_like(values, dtype=torch.bool))


def _rows(name: str) -> Callable[..., Float[Tensor, ""]]:
    """For kinds with one distribution per row."""

    def compare(ours: Logits, theirs: Logits, batch: Mapping[str, Tensor], rule: LogitsLoss) -> Tensor:
        return _mean(
            distillation_kl(ours[name], theirs[name], temperature=rule.temperature, scaled=rule.scaled)
        )

    return compare


def _tags(ours: Logits, theirs: Logits, batch: Mapping[str, Tensor], rule: LogitsLoss) -> Float[Tensor, ""]:
    """At the pieces that speak for a word."""
    words = batch["labels"] != IGNORED
    divergence = distillation_kl(
        ours["tags"][words], theirs["tags"][words], temperature=rule.temperature, scaled=rule.scaled
    )
    return _mean(divergence)


def _tree(ours: Logits, theirs: Logits, batch: Mapping[str, Tensor], rule: LogitsLoss) -> Float[Tensor, ""]:
    """Of each word's head and relation together."""
    real = batch["words"] >= 0
    student, teacher = (TreeScores(each["arcs"], each["relations"]) for each in (ours, theirs))
    arcs, relations = tree_kl(student, teacher, real, temperature=rule.temperature, scaled=rule.scaled)
    return mean_over(arcs + relations, real)


def _span(ours: Logits, theirs: Logits, batch: Mapping[str, Tensor], rule: LogitsLoss) -> Float[Tensor, ""]:
    """Of the first and the last piece of the answer, where one may begin or end."""
    allowed = may_answer(batch["context"])
    student, teacher = (SpanScores(each["start"], each["end"]) for each in (ours, theirs))
    divergence = span_kl(student, teacher, allowed, temperature=rule.temperature, scaled=rule.scaled)
    return _mean(divergence)


_SAID: dict[Kind, Callable[..., Float[Tensor, ""]]] = {
    "label": _rows("labels"),
    "choice": _rows("choices"),
    "tags": _tags,
    "tree": _tree,
    "span": _span,
}
