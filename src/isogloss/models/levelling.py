"""A model whose languages learn from one another: ALSACE's second stage, and what is compared with it.

Qiu et al. 2024 (arXiv 2404.08491), section 3.2. A batch holds the same items in every language
(`data.aligned`); each is read once, and every pair is formed from those scores.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from isogloss.data.beside import ANCHOR, TOLD, part_of
from isogloss.data.features import IGNORED
from isogloss.losses.combine import mean_over
from isogloss.losses.divergence import Form, Pooling, consensus, mean_over_pairs, pair_divergence
from isogloss.losses.logits import cross_entropy
from isogloss.models.classes import class_scores
from isogloss.models.task_model import TaskModel

Aim: TypeAlias = Literal["pairs", "consensus", "self"]


class Levelling(nn.Module):
    """A task model beside what its languages are drawn to.

    Attributes:
        student: the model that learns, in all languages.
        average: the running mean of its weights, which teaches in its place; None where none is asked for.
    """

    def __init__(
        self,
        student: TaskModel,
        *,
        languages: int,
        teachers: Sequence[int],
        aim: Aim,
        form: Form = "forward",
        pooling: Pooling = "linear",
        temperature: float = 1.0,
        stop_gradient: bool = True,
        decay: float | None = None,
        believed: Float[Tensor, "teachers all_items classes"] | None = None,
        weights: Float[Tensor, " teachers"] | None = None,
        labels: Int[Tensor, "languages all_items"] | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            languages: how many a batch has.
            teachers: their numbers in a batch; a language that is none teaches nobody.
            aim: "pairs", each language towards each teacher; "consensus", towards the teachers' pooled
                belief; "self", towards `labels`.
            stop_gradient: False lets teachers be drawn to those they teach, as ALSACE's code does.
            decay: of the running mean after each step, in (0, 1), by which it teaches; None for no such mean.
            believed: log-probabilities by which the teachers teach, whatever becomes of the model; None
                teaches by the running mean, or else by the weights of the moment.
            weights: of the teachers in the consensus; None for all alike.
            labels: "self": a class per language and item, -100 to leave it out.
        """
        super().__init__()
        self.student = student
        self.average = None if decay is None else copy.deepcopy(student).eval().requires_grad_(False)
        self._decay, self._languages, self._teachers = decay, languages, list(teachers)
        self._aim, self._form, self._pooling = aim, form, pooling
        self._temperature, self._stop_gradient = temperature, stop_gradient
        self._weights: Tensor
        self._labels: Tensor | None
        self._believed: Tensor | None
        self.register_buffer(
            "_weights", torch.ones(len(teachers)) if weights is None else weights, persistent=False
        )
        self.register_buffer("_labels", labels, persistent=False)
        self.register_buffer("_believed", believed, persistent=False)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "*languages"]]:
        """The losses of a batch.

        Returns:
            `level`, a mean per language; `targets`, over how many it is one: each item once for every
            teacher of that language; `anchor`, the cross-entropy on labelled items, where there are some.
        """
        found = _AIMS[self._aim](self, batch)
        if labelled := part_of(batch, ANCHOR):
            found["anchor"] = self.student(labelled).loss
        return found

    @torch.no_grad()
    def average_in(self) -> None:
        """Move the running mean towards the weights of the moment."""
        if self.average is None or self._decay is None:
            return
        for mean, now in zip(self.average.parameters(), self.student.parameters(), strict=True):
            mean.lerp_(now, 1.0 - self._decay)

    def _scores(self, batch: Mapping[str, Tensor]) -> Float[Tensor, "languages items classes"]:
        return scores_in_parts(self.student, batch).unflatten(0, (self._languages, -1))

    def _told(
        self, scores: Float[Tensor, "languages items classes"], batch: Mapping[str, Tensor]
    ) -> Float[Tensor, "teachers items classes"]:
        """What the teachers say."""
        if self._believed is not None:
            return self._believed[:, batch["items"], : scores.shape[-1]]  # no item of the batch has more
        if self.average is None:
            told = scores[self._teachers]
            return told.detach() if self._stop_gradient else told
        self.average.eval()  # `train()` of the whole reaches it
        with torch.no_grad():
            told = scores_in_parts(self.average, part_of(batch, TOLD))
        return told.unflatten(0, (len(self._teachers), -1))

    def _own_pairs(self) -> Bool[Tensor, "teachers languages"]:
        """The pairs of a language with itself that say nothing: all, unless the teacher is another model.

        A teacher's own belief of the start, or of the mean, holds it in place while it teaches.
        """
        if self._believed is not None or self.average is not None:
            return torch.zeros(
                len(self._teachers), self._languages, dtype=torch.bool, device=self._weights.device
            )
        teachers = torch.tensor(self._teachers, device=self._weights.device)
        return teachers[:, None] == torch.arange(self._languages, device=self._weights.device)

    def _pairs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        scores = self._scores(batch)
        found = pair_divergence(
            self._told(scores, batch), scores, form=self._form, temperature=self._temperature
        )
        own = self._own_pairs()
        return {"level": mean_over_pairs(found, own), "targets": (~own).sum(0).float() * scores.shape[1]}

    def _consensus(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        scores = self._scores(batch)
        told = self._told(scores, batch)
        pooled = consensus(told, self._weights, pooling=self._pooling, temperature=self._temperature)
        # The temperature is in the pooled distribution already; undone, since both sides are divided by it.
        target = pooled * self._temperature
        found = pair_divergence(target, scores, form=self._form, temperature=self._temperature)
        return {"level": found[0].mean(-1), "targets": found.new_full((len(scores),), scores.shape[1])}

    def _self(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        assert self._labels is not None
        targets = self._labels[:, batch["items"]]
        losses = cross_entropy(self._scores(batch), targets)
        kept = targets != IGNORED
        found = torch.stack([mean_over(loss, real) for loss, real in zip(losses, kept, strict=True)])
        return {"level": found, "targets": kept.sum(-1).float()}


def scores_in_parts(model: TaskModel, batch: Mapping[str, Tensor]) -> Float[Tensor, "items classes"]:
    """Class scores, rows of like length read together where each row is an item by itself.

    Some languages take twice the tokens of others for the same item; read as one, a batch would be padded to
    the longest. The scores are those of `class_scores`, in the same order.
    """
    if model.kind != "label" or "entries" in batch:
        return class_scores(model, batch)
    lengths = batch["attention_mask"].sum(1)
    order = lengths.argsort(stable=True)
    found = []
    for some in order.tensor_split(_PARTS):
        width = int(lengths[some].max()) if len(some) else 0
        if width:
            rows = {name: batch[name][some, :width] for name in _ROWS if name in batch}
            found.append(class_scores(model, rows))
    return torch.cat(found)[order.argsort()]


_PARTS = 4
_ROWS = ("input_ids", "attention_mask", "token_type_ids")

_AIMS: dict[Aim, Callable[[Levelling, Mapping[str, Tensor]], dict[str, Tensor]]] = {
    "pairs": Levelling._pairs,
    "consensus": Levelling._consensus,
    "self": Levelling._self,
}
