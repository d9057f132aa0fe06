"""Level: the languages that a model is good at teach the others inside the same model, without labels.

ALSACE (Qiu et al. 2024, arXiv 2404.08491): find the teacher languages by a vote on the same items in all
languages, then draw every language to them. What it does to each language is measured, the harm too.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from isogloss.core.by_language import tokenizer_of
from isogloss.core.fields import LanguageTag
from isogloss.core.processes import from_main
from isogloss.core.run import Run
from isogloss.core.seeds import derive, generator
from isogloss.data.aligned import align
from isogloss.data.prompts import PromptField
from isogloss.data.tasks import TASKS
from isogloss.evaluate.suite import check_labels
from isogloss.methods.disjoint import refuse_shared, without
from isogloss.methods.guards import GuardRule, Judge
from isogloss.methods.inventory import note_model
from isogloss.methods.levelled import write_facts
from isogloss.methods.records import ByLanguage, TaskData
from isogloss.methods.scoring import task_model
from isogloss.methods.self_distillation import Material, SelfDistillation, teach
from isogloss.methods.sources import examples
from isogloss.methods.teachers import TeacherRule, believed
from isogloss.models.tasks import save_task_model
from isogloss.training.loop import Outcome
from isogloss.training.plan import TrainingPlan
from isogloss.training.selection import score


class LevelRecipe(TaskData):
    """Level a task model's languages.

    Attributes:
        model: folder of a task model; with `prompt`, or for cloze, of a language model or its Hub id.
        prompt: how the task is asked of a language model; None for a model with a head, or its own prompt.
        source: the language that the task was learnt in: from which the gap is measured. None without one.
        unlabelled: the same items in every language, joined by id; labels there are not read.
        items: how many of them to learn from, drawn at random; None for all that are not held out.
        train: labelled items, which hold the source in place (`distillation.anchor`); those that are held out
            are left out. Without any, a source may lose while it teaches.
        dev: for `guards`, labelled items in a language that has them, such as the source.
        selection: how teacher languages are found.
        distillation: what languages are drawn to.
        guards: what is held out, and when to stop.
        training: how long and how fast; `batch_size` counts items, each in every language.
        used_rows_only: train with the rows of the vocabulary that the items use, the others put back
            afterwards.
        floor: the score that every language should have; None: nobody is counted as below it.
        max_length: tokens of the longest input; None takes what the model allows, 512 at most.
        as_name: what the scores call the levelled model in tables; the one before is `before`.
        name: of the run folder; None takes the method.
        seed: of everything random.
    """

    method: Literal["level"] = "level"
    model: str
    prompt: PromptField | None = None
    source: LanguageTag | None = None
    unlabelled: ByLanguage = Field(min_length=2)
    items: int | None = Field(default=None, ge=1)
    selection: TeacherRule = TeacherRule()
    distillation: SelfDistillation = SelfDistillation()
    guards: GuardRule = GuardRule()
    training: TrainingPlan = TrainingPlan(steps=200, learning_rate=1e-5, batch_size=16, evaluate_every=20)
    used_rows_only: bool = False
    floor: float | None = None
    max_length: int | None = Field(default=None, ge=8)
    as_name: str = "levelled"
    name: str | None = None
    seed: int = 0

    @property
    def anchor(self) -> float:
        """What the cross-entropy on `train` weighs."""
        said = self.distillation.anchor
        return float(bool(self.train)) if said is None else said

    @model_validator(mode="after")
    def _test_or_train(self) -> LevelRecipe:
        """Neither is needed: agreement is measured without a label."""
        return self

    @model_validator(mode="after")
    def _has_what_it_asks_for(self) -> LevelRecipe:
        kind = TASKS[self.task].kind
        if kind not in ("label", "choice", "gap"):
            fit = ", ".join(name for name, row in TASKS.items() if row.kind in ("label", "choice", "gap"))
            raise ValueError(f"task: {self.task} has no classes that languages share; {fit} have")
        if self.distillation.anchor and not self.train:
            raise ValueError("distillation.anchor: needs `train`, the labelled items of the source")
        if self.guards.choose_by == "source" and not self.dev:
            raise ValueError("guards.choose_by: source needs `dev`, labelled items to choose by")
        needs_source = self.distillation.aim == "self" and self.distillation.learners == "source"
        if needs_source and self.source is None:
            raise ValueError("distillation.learners: source needs `source`, the language")
        if self.selection.selector == "source" and not self.selection.teachers and self.source is None:
            raise ValueError("selection.selector: source needs `source`, the language the task was learnt in")
        if self.source is not None and self.source not in self.unlabelled:
            raise ValueError(f"source: {self.source} is not among the languages of `unlabelled`")
        return self


def level(recipe: LevelRecipe, run: Run) -> None:
    """Find teachers, let them teach, keep what did no harm, and show what each language gained."""
    material = gather(recipe)
    model, tokenizer = task_model(recipe.model, recipe.task, prompt=recipe.prompt)
    for language, judged in (*material.dev.items(), *material.test.items()):
        check_labels(model, judged)
        tokenizer_of(tokenizer, language)
    # Processes that rounded otherwise might choose other teachers; so one of them asks.
    asked = believed(model, tokenizer, material.learnt, max_length=recipe.max_length) if run.writes else None
    panel = from_main(asked)
    assert panel is not None
    teachers = recipe.selection.choose(panel, seed=derive(recipe.seed, "teachers"), source=recipe.source)
    judge = Judge(
        recipe.guards,
        tokenizer,
        material.held_out,
        material.dev,
        votes=dict(zip(teachers.languages, teachers.weights.tolist(), strict=True)),
        metric=TASKS[recipe.task].metrics[0],
        max_length=recipe.max_length,
    )
    outcome = teach(model, tokenizer, recipe, material, teachers, judge, run=run)
    if not run.writes:  # the main process saves and scores
        return
    before, _ = task_model(recipe.model, recipe.task, prompt=recipe.prompt)
    put_back = nothing_gained(outcome, judge, recipe)
    if put_back is not None:
        model = before
    save_task_model(model, tokenizer, run.model)
    note_model(run, recipe.as_name, model, tokenizer)
    write_facts(
        run,
        recipe,
        tokenizer,
        material,
        teachers,
        judge,
        before=before,
        after=model,
        outcome=outcome,
        put_back=put_back,
    )


def gather(recipe: LevelRecipe) -> Material:
    """Read and align the items, and see that nothing is both learnt from and judged by.

    Raises:
        DataError: a file is missing or malformed, languages share no item, or an item is in two parts.
    """
    together = align(examples(recipe, "unlabelled"))
    learnt, held_out = together.held_out(recipe.guards.held_out, seed=recipe.seed)
    dev, test = examples(recipe, "dev"), examples(recipe, "test")
    unlabelled = {"unlabelled (learnt from)": learnt.examples, "unlabelled (held out)": held_out.examples}
    refuse_shared(unlabelled | {"dev": dev, "test": test})
    train = examples(recipe, "train") if recipe.anchor else {}
    refuse_shared({"train": train, "dev": dev, "test": test})
    if recipe.items is not None and recipe.items < len(learnt):
        drawn = generator(recipe.seed, "items").permutation(len(learnt))[: recipe.items]
        learnt = learnt.only(sorted(drawn.tolist()))
    return Material(learnt, held_out, without(train, held_out.examples), dev, test)


def nothing_gained(outcome: Outcome, judge: Judge, recipe: LevelRecipe) -> str | None:
    """Why the model from before is to be kept; None to keep what was learnt.

    It is kept when the guards refused before any checkpoint was accepted, or when the best checkpoint is
    worse than the start by more than is tolerated.
    """
    if outcome.best_step is None:
        return outcome.refused
    begun = score(judge.chosen_by(judge.start), select=recipe.training.select)
    best = score(outcome.best_scores, select=recipe.training.select)
    if best >= begun - recipe.guards.tolerance:
        return None
    return f"the best checkpoint had {best:.3f} where the model from before has {begun:.3f}"
