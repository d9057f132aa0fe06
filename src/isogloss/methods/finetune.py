"""Fine-tune: one model, one task, scored in every language one cares about.

The protocol of zero-shot transfer (Hu et al. 2020): learn from a source language, choose the checkpoint on
its development set, test everywhere.
"""

from __future__ import annotations

from typing import Literal

from isogloss.core.run import Run
from isogloss.methods.inventory import note_model
from isogloss.methods.scores import score_all
from isogloss.methods.task import TaskTraining, fit, load_beside, load_teacher
from isogloss.models.backbone import load_tokenizer
from isogloss.models.origin import read_origin
from isogloss.models.tasks import save_task_model


class FinetuneRecipe(TaskTraining):
    """Fine-tune a model on a task; a student of `distil` beside a teacher that was tuned for it, too.

    Attributes:
        model: folder or Hub id; in a pipeline, `stage:NAME` is the model an earlier stage left.
        as_name: what the scores call the model in tables.
        name: of the run folder; None takes the method.
        seed: of everything random.
    """

    method: Literal["finetune"] = "finetune"
    model: str
    as_name: str = "model"
    name: str | None = None
    seed: int = 0


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
    )
    if not run.writes:  # the main process saves and scores
        return
    save_task_model(model, tokenizer, run.model)
    models = beside | {recipe.as_name: (model, tokenizer)}
    for name, (each, its_tokenizer) in models.items():
        note_model(run, name, each, its_tokenizer)
    score_all(
        run,
        models,
        recipe,
        source=next(iter(recipe.train), None),
        step=outcome.step,
        max_length=recipe.max_length,
    )
