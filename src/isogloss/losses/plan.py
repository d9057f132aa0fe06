"""Which losses a student learns by, and how much each weighs: the part of a recipe that distillation reads.

Knows no torch, so that reading a recipe stays quick. A loss is written as its weight alone, `hidden: 1.0`, or
with its settings, `attention: {weight: 0.5, form: kl}`; weight 0 leaves it out.

Example:
    >>> written = {"hidden": 1.0, "attention": {"weight": 0.5, "form": "kl"}}
    >>> losses = DistillationLosses.model_validate(written)
    >>> dict(losses.weights), losses.needs_teacher
    ({'hidden': 1.0, 'attention': 0.5}, True)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from isogloss.core.config import Record
from isogloss.core.errors import RecipeError


def _by_weight(value: Any) -> Any:
    return {"weight": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class Weighted(Record):
    """A loss that has nothing to set but its weight.

    Attributes:
        weight: what it is multiplied by; 0 leaves it out.
    """

    weight: float = Field(default=0.0, ge=0)


class HiddenLoss(Weighted):
    """The embedding output, and what leaves each layer.

    Attributes:
        form: mean squared error, or one minus the cosine.
    """

    form: Literal["mse", "cosine"] = "mse"


class AttentionLoss(Weighted):
    """The attention probabilities of each layer and head.

    Attributes:
        form: mean squared error, or KL(teacher || student) of each token's attention.
    """

    form: Literal["mse", "kl"] = "mse"


class RelationLoss(Weighted):
    """MiniLMv2's relations between the queries, the keys and the values of one layer.

    The number of heads and the width of student and teacher may differ.

    Attributes:
        pairs: which relations: queries with queries, keys with keys, values with values, queries with keys.
        heads: relation heads that both widths are divided into; None takes the teacher's attention heads.
        teacher_layer: from 0; None for its last.
        student_layer: from 0; None for its last.
    """

    pairs: tuple[Literal["qq", "kk", "vv", "qk"], ...] = ("qq", "kk", "vv")
    heads: int | None = Field(default=None, ge=1)
    teacher_layer: int | None = Field(default=None, ge=0)
    student_layer: int | None = Field(default=None, ge=0)


class LogitsLoss(Weighted):
    """KL(teacher || student) of what each of them says: of a masked piece, a label, a tag, a head, an answer.

    Attributes:
        temperature: both are divided by it.
        scaled: times the temperature squared, which keeps the size of the gradient; the paper leaves it out.
    """

    temperature: float = Field(default=2.0, gt=0)
    scaled: bool = True


Hidden: TypeAlias = Annotated[HiddenLoss, BeforeValidator(_by_weight)]
Attention: TypeAlias = Annotated[AttentionLoss, BeforeValidator(_by_weight)]
Relations: TypeAlias = Annotated[RelationLoss, BeforeValidator(_by_weight)]
Logits: TypeAlias = Annotated[LogitsLoss, BeforeValidator(_by_weight)]
Gold: TypeAlias = Annotated[Weighted, BeforeValidator(_by_weight)]


class DistillationLosses(Record):
    """The losses of a distillation, added up by weight.

    Attributes:
        hidden: hidden states of mapped layers.
        attention: attention maps of mapped layers; needs as many heads in the student.
        relations: MiniLMv2's, which take any two shapes.
        logits: what teacher and student say.
        gold: cross-entropy with the labels, or with the pieces that were masked; needs no teacher.
    """

    hidden: Hidden = HiddenLoss()
    attention: Attention = AttentionLoss()
    relations: Relations = RelationLoss()
    logits: Logits = LogitsLoss()
    gold: Gold = Weighted()

    @model_validator(mode="after")
    def _some(self) -> DistillationLosses:
        if not self.weights:
            names = ", ".join(type(self).model_fields)
            raise ValueError(f"{names}: at least one must weigh more than 0")
        return self

    @property
    def weights(self) -> Mapping[str, float]:
        """By name, of the losses that count."""
        parts: dict[str, Weighted] = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: part.weight for name, part in parts.items() if part.weight > 0}

    @property
    def needs_teacher(self) -> bool:
        """False when gold alone teaches."""
        return set(self.weights) != {"gold"}

    def refuse_incomparable(
        self, student: Any, teacher: Any, *, turned_to: int | None = None, where: str = "losses"
    ) -> None:
        """Refuse losses that models of these shapes cannot be compared by.

        Args:
            student, teacher: their transformers configurations.
            turned_to: the width that the teacher's hidden states are turned into before they are compared;
                None leaves them as they are.
            where: the key of these losses in a recipe.

        Raises:
            RecipeError: attention maps of other numbers of heads, or hidden states of other widths.
        """
        heads = student.num_attention_heads, teacher.num_attention_heads
        if "attention" in self.weights and heads[0] != heads[1]:
            raise RecipeError(
                f"{where}.attention: maps of {heads[0]} heads beside the teacher's {heads[1]}",
                wanted="as many heads, or relations, which any two numbers of heads can be compared by",
                fix=f"--set {where}.attention=0 --set {where}.relations=1",
            )
        widths = student.hidden_size, teacher.hidden_size if turned_to is None else turned_to
        if "hidden" in self.weights and widths[0] != widths[1]:
            raise RecipeError(
                f"{where}.hidden: states of width {widths[0]} beside the teacher's {widths[1]}",
                wanted="one width, or a student whose start is copied, which gives directions to compare by; "
                "or relations, which any two widths can be compared by",
                fix=f"--set {where}.hidden=0 --set {where}.relations=1",
            )


GENERAL = DistillationLosses(hidden=HiddenLoss(weight=1.0), attention=AttentionLoss(weight=1.0))
"""BiStil's phase 1: MSE of hidden states and of attention maps."""

TASK = DistillationLosses(
    hidden=HiddenLoss(weight=1.0), attention=AttentionLoss(weight=1.0), logits=LogitsLoss(weight=1.0)
)
"""BiStil's phase 2: the same, and what the two models say of the task, at temperature 2."""
