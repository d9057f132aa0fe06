"""Distil: a small model for a few languages, extracted from a massively multilingual one (BiStil).

Ansell et al. 2023, arXiv 2306.01709: trim the vocabulary to the languages' corpora, copy every n-th layer,
draw the student's inner states to the teacher's on unlabelled text (phase 1), then teach it the task beside a
task-tuned teacher (phase 2).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, model_validator

from isogloss.core.config import Record
from isogloss.core.fields import LanguageTag
from isogloss.core.run import Run
from isogloss.data.batches import LanguageModelBatches, layout_for
from isogloss.data.masking import Masking
from isogloss.data.mixture import Mixture, MixtureSpec
from isogloss.losses.plan import GENERAL, DistillationLosses
from isogloss.methods.deltas import wardrobe
from isogloss.methods.guide import DistillationStep
from isogloss.methods.mixing import course
from isogloss.methods.prompts import pieces_needed
from isogloss.methods.records import ByLanguage
from isogloss.methods.scores import score_all
from isogloss.methods.sources import corpora, examples, note_data
from isogloss.methods.student import Pair, StudentRule, make_student
from isogloss.methods.task import fit, load_beside, load_teacher
from isogloss.methods.task_recipe import TaskTraining
from isogloss.methods.text import Texts, held_out, held_out_loss, tokenised
from isogloss.models.backbone import load_tokenizer, save_model
from isogloss.models.distillation import Distillation
from isogloss.models.tasks import TaskModel, objective_of, save_task_model
from isogloss.models.teacher import Teacher
from isogloss.training.hooks import Ledger
from isogloss.training.loop import train
from isogloss.training.plan import TrainingPlan


class Languages(Record):
    """Which languages the student is for.

    Attributes:
        source: has the task's training data; one language, or several.
        target: is to profit from it; one language, or several.
    """

    source: LanguageTag | tuple[LanguageTag, ...]
    target: LanguageTag | tuple[LanguageTag, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Sources first, none twice."""
        both = (*_several(self.source), *_several(self.target))
        return tuple(dict.fromkeys(both))


def _several(tags: str | tuple[str, ...]) -> tuple[str, ...]:
    return (tags,) if isinstance(tags, str) else tags


class General(Record):
    """Phase 1: draw the student to the teacher on unlabelled text.

    Attributes:
        losses: what is compared, and how much each weighs.
        layers: the teacher layer that each student layer is compared with; None: the one it was copied from.
        deltas: what the teacher wears while it reads a language: a file of its delta for each.
        copies: hold each dressed tensor of the teacher once more for every language, and change in no time;
            None does where the free memory is four times theirs. What is learnt is the same.
        mixture: how often each language comes; every batch is of one.
        masking: what is hidden from both models.
        length: tokens of a sequence, special ones included.
        training: how long and how fast.
    """

    losses: DistillationLosses = GENERAL
    layers: tuple[int, ...] | None = None
    deltas: dict[LanguageTag, str] = Field(default_factory=dict)
    copies: bool | None = None
    mixture: MixtureSpec = MixtureSpec(kind="fixed")
    masking: Masking = Masking()
    length: int = Field(default=256, ge=8)
    training: TrainingPlan = TrainingPlan(
        steps=200_000, batch_size=8, learning_rate=1e-4, schedule="linear", evaluate_every=5000
    )


class DistilRecipe(Record):
    """Extract a student for a few languages from a multilingual teacher.

    Attributes:
        teacher: folder or Hub id of a pretrained masked language model.
        languages: source and target.
        corpora: text in each of the languages.
        student: vocabulary and layers to keep.
        phase1: general distillation; None leaves the copied student as it is.
        phase2: the task to fine-tune the student on; None leaves a general student.
        dev: held-out text by language; chooses phase 1's checkpoint by its loss.
        name: of the run folder; None makes one.
        seed: of everything random.
    """

    method: Literal["distil"] = "distil"
    teacher: str
    languages: Languages
    corpora: ByLanguage
    student: StudentRule = StudentRule()
    phase1: General | None = General()
    phase2: TaskTraining | None = None
    dev: ByLanguage = Field(default_factory=dict)
    name: str | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _a_corpus_each(self) -> DistilRecipe:
        for tag in self.languages.all:
            if tag not in self.corpora:
                raise ValueError(f"corpora: a corpus for {tag}, which is one of `languages`")
        deltas = self.phase1.deltas if self.phase1 else {}
        for tag in (*self.corpora, *self.dev, *deltas):
            if tag not in self.languages.all:
                raise ValueError(
                    f"corpora, dev, deltas: only the languages source and target; {tag} is neither"
                )
        if self.student.vocabulary.min_identical and not self.dev:
            raise ValueError("dev: held-out text, which student.vocabulary.min_identical is measured on")
        return self


def distil(recipe: DistilRecipe, run: Run) -> None:
    """Trim, copy, distil on text, fine-tune on the task; score beside the models one asked for."""
    texts = corpora(recipe.corpora)
    note_data(run, texts)
    if recipe.phase1 is not None and recipe.phase2 is not None:
        _look_ahead(recipe.phase2)
    pair = make_student(
        _with_prompts(recipe), recipe.teacher, texts, corpora(recipe.dev), run, seed=recipe.seed
    )
    if recipe.phase1 is not None:
        _general(recipe, recipe.phase1, texts, pair, run)
    if run.writes:
        folder = run.folder / "student" if recipe.phase2 else run.model
        save_model(pair.student, pair.tokenizer, folder, origin=pair.origin)
    if recipe.phase2 is not None:
        pair = replace(pair, teacher=None)  # phase 2 has one of its own, and both may be large
        _task(recipe, recipe.phase2, pair, run)


def _look_ahead(phase: TaskTraining) -> None:
    """Read what phase 2 will need, and let it go: what is wrong with it shall not be found after phase 1."""
    for split in ("train", "dev", "test"):
        examples(phase, split)
    load_teacher(phase)


def _with_prompts(recipe: DistilRecipe) -> StudentRule:
    """What the student is made of, the pieces that its task scores among it."""
    rule = recipe.student.vocabulary
    keep = (*rule.keep, *pieces_needed(recipe.phase2))
    return recipe.student.model_copy(update={"vocabulary": rule.model_copy(update={"keep": keep})})


def _general(recipe: DistilRecipe, phase: General, texts: Texts, pair: Pair, run: Run) -> None:
    """Phase 1. The pair's student is trained in place."""
    tags, objective = recipe.languages.all, objective_of(pair.student.config)
    files = tokenised({tag: texts[tag] for tag in tags}, pair.tokenizer, run)
    dev = tokenised(corpora({tag: recipe.dev[tag] for tag in tags if tag in recipe.dev}), pair.tokenizer, run)
    settings: dict[str, Any] = {
        "length": phase.length,
        "batch_size": phase.training.batch_size,
        "masking": phase.masking,
        "objective": objective,
    }
    layout = layout_for(pair.tokenizer, length=phase.length, objective=settings["objective"])
    asked = course(phase.mixture, None, files, phase.training, layout=layout)
    step = DistillationStep(phase.losses.weights, by_tokens=True)
    mixture = Mixture(asked.timeline, seed=recipe.seed)
    batches = LanguageModelBatches(files, mixture, pair.tokenizer, monolingual=True, **settings)
    judged = held_out(dev, pair.tokenizer, seed=recipe.seed, languages=tags, **settings)
    train(
        Distillation(
            TaskModel(pair.student, None, kind="text"),
            _teacher(recipe, phase, pair, run) if phase.losses.needs_teacher else None,
            layers=pair.origin.layers if phase.layers is None else phase.layers,
            losses=phase.losses,
            basis=pair.origin.basis,
        ),
        batches,
        step,
        plan=phase.training,
        run=run,
        phase="phase1",
        seed=recipe.seed,
        evaluate=held_out_loss(judged, step=step) if dev else None,
        metric="loss",
        higher_is_better=False,
        hooks=[Ledger(batches.languages, requested=asked.asked.at(0), sizes=batches.tokens_in_a_pass())],
    )


def _teacher(recipe: DistilRecipe, phase: General, pair: Pair, run: Run) -> Teacher:
    """The teacher, in what it wears for each language."""
    model, tags = TaskModel(pair.teacher, None, kind="text"), recipe.languages.all
    if not phase.deltas:
        return Teacher(model, kept=pair.origin.kept)
    places = {tag: phase.deltas.get(tag) for tag in tags}
    worn = wardrobe(model, load_tokenizer(recipe.teacher), places, copies=phase.copies)
    run.note(teacher_copies=worn.copies)
    return Teacher(model, kept=pair.origin.kept, wear=lambda language: worn.wear(tags[language]))


def _task(recipe: DistilRecipe, phase: TaskTraining, pair: Pair, run: Run) -> None:
    """Phase 2, and the scores of the student and of the models beside it."""
    teacher = load_teacher(phase)
    beside = load_beside(phase, teacher) if run.writes else {}
    model, outcome = fit(
        pair.student,
        pair.tokenizer,
        phase,
        run=run,
        phase="phase2",
        seed=recipe.seed,
        teacher=teacher,
        origin=pair.origin,
    )
    if not run.writes:  # the main process saves and scores
        return
    save_task_model(model, pair.tokenizer, run.model)
    models = beside | {"student": (model, pair.tokenizer)}
    score_all(
        run,
        models,
        phase,
        source=recipe.languages.all[0],
        step=outcome.step,
        max_length=phase.max_length,
    )
