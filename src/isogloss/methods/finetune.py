"""Fine-tune: one model, one task, scored in every language one cares about.

The protocol of zero-shot transfer (Hu et al. 2020): learn from a source language, choose the checkpoint on
its development set, test everywhere.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from isogloss.core.fields import LanguageTag
from isogloss.core.run import Run
from isogloss.methods.deltas import task_wardrobe, wardrobe
from isogloss.methods.inventory import note_model
from isogloss.methods.scores import Wear, score_all
from isogloss.methods.sparse import delta_file
from isogloss.methods.task import Dress, fit, load_beside, load_teacher
from isogloss.methods.task_recipe import TaskTraining
from isogloss.models.backbone import load_tokenizer
from isogloss.models.origin import read_origin
from isogloss.models.tasks import TaskModel, save_task_model


class FinetuneRecipe(TaskTraining):
    """Fine-tune a model on a task; a student of `distil` beside a teacher that was tuned for it, too.

    Attributes:
        model: folder or Hub id; in a pipeline, `stage:NAME` is the model an earlier stage left.
        deltas: of languages, learnt on `model` (LT-SFT): the task is learnt, sparsely, on the model that
            wears the source language's, and tested in each language on the model that wears that language's
            and the task's. A language that is not named wears none. Empty: the model is the same in all.
        as_name: what the scores call the model in tables.
        name: of the run folder; None takes the method.
        seed: of everything random.
    """

    method: Literal["finetune"] = "finetune"
    model: str
    deltas: dict[LanguageTag, str] = Field(default_factory=dict)
    as_name: str = "model"
    name: str | None = None
    seed: int = 0

    @property
    def source(self) -> str:
        """The language that the task is learnt in; the first of several."""
        return next(iter(self.train))

    @model_validator(mode="after")
    def _a_task_beside_deltas_is_one(self) -> FinetuneRecipe:
        if not self.deltas:
            return self
        if self.sparse is None:
            raise ValueError(
                "deltas, sparse: a task that is to be added to languages' deltas must be a delta itself; "
                "give `sparse: {}` too"
            )
        if self.prompt is not None:
            raise ValueError("deltas, prompt: not together; a language's delta leaves the output layer alone")
        if len(self.train) > 1 or self.dev.keys() - self.train.keys():
            raise ValueError(
                "deltas, train, dev: while the task is learnt the model wears the delta of one language; "
                "train and dev have to be of that one"
            )
        return self


def finetune(recipe: FinetuneRecipe, run: Run) -> None:
    """Learn the task from `train`, choose by `dev`, score on `test`, leave the model in the run folder."""
    tokenizer = load_tokenizer(recipe.model)
    teacher = load_teacher(recipe)
    beside = load_beside(recipe, teacher) if run.writes else {}
    origin = read_origin(recipe.model)
    model, outcome = fit(
        recipe.model,
        tokenizer,
        recipe,
        run=run,
        phase="finetune",
        seed=recipe.seed,
        teacher=teacher,
        origin=origin,
        dress=_dress(recipe) if recipe.deltas else None,
    )
    if not run.writes:  # the main process saves and scores
        return
    save_task_model(model, tokenizer, run.model)
    wear = {}
    if recipe.deltas:
        model, wear[recipe.as_name] = _by_language(recipe, run)
    models = beside | {recipe.as_name: (model, tokenizer)}
    for name, (each, its_tokenizer) in models.items():
        note_model(run, name, each, its_tokenizer)
    score_all(
        run,
        models,
        recipe,
        source=recipe.source,
        step=outcome.step,
        max_length=recipe.max_length,
        wear=wear,
    )


def _dress(recipe: FinetuneRecipe) -> Dress:
    """Puts the source language's delta on a model. All are looked at: none shall fail after the training."""

    def dress(model: TaskModel, tokenizer: Any) -> str | None:
        places = {recipe.source: None, **recipe.deltas}
        worn = wardrobe(model, tokenizer, places, copies=False)
        worn.wear(recipe.source)
        return worn.base

    return dress


def _by_language(recipe: FinetuneRecipe, run: Run) -> tuple[TaskModel, Wear]:
    """The task's delta on the model, and what puts each language's beside it."""
    places = dict.fromkeys(recipe.test, None) | recipe.deltas
    model, worn = task_wardrobe(recipe.model, delta_file(run, recipe.task), places)
    return model, worn.wear
