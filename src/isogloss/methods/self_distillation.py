"""How a model's languages are drawn together: ALSACE's self-distillation, and what is compared with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from isogloss.analysis.panel import Panel
from isogloss.core.config import Record
from isogloss.core.run import Run
from isogloss.core.seeds import derive
from isogloss.data.aligned import AlignedExamples, aligned_batches
from isogloss.data.batches import Ids
from isogloss.data.beside import ANCHOR, Beside
from isogloss.data.encode import encode
from isogloss.data.features import IGNORED
from isogloss.data.pieces import padding_id
from isogloss.data.records import Example
from isogloss.data.tasks import TASKS
from isogloss.evaluate.predict import row_length
from isogloss.losses.divergence import Form, Pooling
from isogloss.methods.guards import Guard, Judge
from isogloss.methods.rows import rows_for_task
from isogloss.methods.task import task_batches
from isogloss.methods.teachers import Teachers
from isogloss.models.levelling import Aim, Levelling
from isogloss.models.tasks import TaskModel
from isogloss.training.feed import Batches
from isogloss.training.hooks import Hook, Moment
from isogloss.training.loop import Outcome, train
from isogloss.training.update import Losses

if TYPE_CHECKING:
    from isogloss.methods.level import LevelRecipe

PHASE = "level"


class SelfDistillation(Record):
    """What languages are drawn to (ALSACE, section 3.2, and what is compared with it).

    Attributes:
        aim: "pairs": each language to each teacher language, as published; "consensus": each to the teachers'
            beliefs pooled, weighted by their reliability; "self": to the model's own surest answers, which is
            self-training and needs no teacher.
        divergence: "forward", KL(teacher || learner); "reverse", which the authors' code has; or "js".
        pooling: consensus: the mean of probabilities ("linear") or of their logarithms ("log").
        temperature: both sides are divided by it.
        stop_gradient: teachers are not drawn to those they teach; the authors' code lets them be.
        teacher: the weights that teach: those of the "start"; the "average" of all since, with `decay`; or
            those of "now", as published, which can draw every language to one class.
        decay: "average": what stays of the running mean at each step.
        anchor: how much cross-entropy on `train`, the labelled source, weighs beside; 0 leaves it out, None
            is 1 where `train` is given.
        learners: "self": train on the source language's answers alone, or on each language's own.
        keep: "self": the share of the answers, the surest, to learn from.
    """

    aim: Aim = "consensus"
    divergence: Form = "forward"
    pooling: Pooling = "linear"
    temperature: float = Field(default=1.0, gt=0)
    stop_gradient: bool = True
    teacher: Literal["start", "average", "now"] = "start"
    decay: float = Field(default=0.99, gt=0, lt=1)
    anchor: float | None = Field(default=None, ge=0)
    learners: Literal["source", "all"] = "all"
    keep: float = Field(default=0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _one_teacher(self) -> SelfDistillation:
        if self.teacher != "now" and not self.stop_gradient:
            raise ValueError("stop_gradient, teacher: only weights of `now` have a gradient to let through")
        return self

    @property
    def second_model(self) -> bool:
        """Whether the teacher is a model by itself, beside the one that learns."""
        return self.teacher == "average" and self.aim != "self"


@dataclass(frozen=True)
class Material:
    """The items of a levelling, and what it is chosen and judged by: no item in two of them.

    Attributes:
        learnt: unlabelled items to learn from.
        held_out: unlabelled items for the guards.
        anchor: labelled items to learn from; empty without an anchor.
        dev: labelled items for the guards.
        test: labelled items to report.
    """

    learnt: AlignedExamples
    held_out: AlignedExamples
    anchor: Mapping[str, Sequence[Example]]
    dev: Mapping[str, Sequence[Example]]
    test: Mapping[str, Sequence[Example]]


def teach(
    model: TaskModel,
    tokenizer: Any,
    recipe: LevelRecipe,
    material: Material,
    teachers: Teachers,
    judge: Judge,
    *,
    run: Run,
) -> Outcome:
    """Draw the model's languages to their teachers, in place; watched by the judge, who begins here."""
    rule, learnt, plan = recipe.distillation, material.learnt, recipe.training
    languages = _learners(recipe, learnt)
    numbers = [languages.index(tag) for tag in teachers.languages] if rule.aim != "self" else []
    rows = _fewer_rows(model, tokenizer, recipe, material, run) if recipe.used_rows_only else None
    if run.writes:  # evaluation is the main process's; and a prompt's scores depend on the rows there are
        judge.begin(model)
    levelling = Levelling(
        model,
        languages=len(languages),
        teachers=numbers,
        aim=rule.aim,
        form=rule.divergence,
        pooling=rule.pooling,
        temperature=rule.temperature,
        stop_gradient=rule.stop_gradient,
        decay=rule.decay if rule.second_model else None,
        believed=teachers.beliefs() if rule.aim != "self" and rule.teacher == "start" else None,
        weights=teachers.weights if rule.aim == "consensus" else None,
        labels=torch.from_numpy(surest(teachers.panel, languages, rule.keep)) if rule.aim == "self" else None,
    )
    told = teachers.languages if rule.second_model else ()
    outcome = train(
        levelling,
        _batches(model, tokenizer, recipe, material, languages, told),
        LevelStep(languages, recipe.anchor),
        plan=plan,
        run=run,
        phase=PHASE,
        seed=recipe.seed,
        evaluate=judge,
        metric="agreement" if recipe.guards.choose_by == "agreement" else TASKS[recipe.task].metrics[0],
        hooks=[Guard(judge, patience=recipe.guards.patience), *([Average()] if rule.second_model else [])],
    )
    if rows is not None:
        rows.put_back()
    return outcome


def surest(panel: Panel, languages: Sequence[str], keep: float) -> Ids:
    """Each language's own answers where it is surest, (languages, items); -100 elsewhere.

    Args:
        keep: share of the items, in (0, 1]; at least one item stays.
    """
    places = [panel.languages.index(tag) for tag in languages]
    sure = panel.probabilities[places].max(-1)
    count = max(1, round(keep * sure.shape[1]))
    first = np.argsort(-sure, axis=1, kind="stable")[:, :count]
    labels = np.full(sure.shape, IGNORED, dtype=np.int64)
    np.put_along_axis(labels, first, np.take_along_axis(panel.choices[places], first, axis=1), axis=1)
    return labels


@dataclass(frozen=True)
class LevelStep:
    """The mean over all pairs, each language's own mean beside it, and what holds the source in place.

    Attributes:
        languages: their tags, in a batch's order.
        anchor: weight of the cross-entropy on labelled items.
    """

    languages: Sequence[str]
    anchor: float

    def __call__(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Losses:
        """Losses of a batch, as `training.update` wants them."""
        found = model(batch)
        drawn, targets = found["level"], found["targets"]
        weight = targets.sum()
        loss = (drawn * targets).sum() / weight.clamp(min=1)
        logged = {f"level/{tag}": drawn[place] for place, tag in enumerate(self.languages)}
        if self.anchor:
            loss, logged = loss + self.anchor * found["anchor"], logged | {"anchor": found["anchor"]}
        return {"loss": loss, "weight": weight, **logged}


class Average(Hook):
    """Moves the teacher, a running mean of the weights, after each step."""

    name = "average"

    def after_step(self, moment: Moment, micros: Any) -> None:
        """Move it."""
        assert isinstance(moment.model, Levelling)
        moment.model.average_in()


def _learners(recipe: LevelRecipe, learnt: AlignedExamples) -> tuple[str, ...]:
    alone = recipe.distillation.aim == "self" and recipe.distillation.learners == "source"
    return (str(recipe.source),) if alone else learnt.languages


def _batches(
    model: TaskModel,
    tokenizer: Any,
    recipe: LevelRecipe,
    material: Material,
    languages: Sequence[str],
    told: Sequence[str],
) -> Batches:
    features = {
        tag: encode(
            model.kind,
            material.learnt.examples[tag],
            tokenizer,
            labels=model.labels,
            prompt=model.prompt,
            max_length=row_length(model, recipe.max_length),
            objective=model.objective,
            purpose="predict",
        )
        for tag in languages
    }
    size = recipe.training.batch_size
    batches = aligned_batches(
        features, pad_id=padding_id(tokenizer), batch_size=size, seed=derive(recipe.seed, PHASE), told=told
    )
    if not recipe.anchor:
        return batches
    labelled = [example for found in material.anchor.values() for example in found]
    seed = derive(recipe.seed, PHASE, "anchor")
    anchor = task_batches(
        model, tokenizer, labelled, max_length=recipe.max_length, batch_size=size, seed=seed
    )
    return Beside(batches, anchor, prefix=ANCHOR)


def _fewer_rows(model: TaskModel, tokenizer: Any, recipe: LevelRecipe, material: Material, run: Run) -> Any:
    """The rows that any of the items uses."""
    read = {f"learnt {tag}": found for tag, found in material.learnt.examples.items()}
    read |= {f"held out {tag}": found for tag, found in material.held_out.examples.items()}
    read |= {f"dev {tag}": tuple(found) for tag, found in material.dev.items()}
    read |= {f"anchor {tag}": tuple(found) for tag, found in material.anchor.items()}
    return rows_for_task(model, tokenizer, [], read, max_length=recipe.max_length, run=run)
