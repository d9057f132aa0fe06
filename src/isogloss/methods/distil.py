"""Distil: a small model for a few languages, extracted from a massively multilingual one (BiStil).

Ansell et al. 2023, arXiv 2306.01709: trim the vocabulary to the languages' corpora, copy every n-th layer,
draw the student's hidden states and attention maps to the teacher's on unlabelled text (phase 1), then
fine-tune the student on the task (phase 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from isogloss.core.config import Record
from isogloss.core.fields import LanguageTag
from isogloss.core.run import Run
from isogloss.data.batches import LanguageModelBatches
from isogloss.data.masking import Masking
from isogloss.data.mixture import Mixture, fixed_shares
from isogloss.losses.combine import combine
from isogloss.methods.records import ByLanguage
from isogloss.methods.sources import corpora, fingerprints
from isogloss.methods.student import Pair, StudentRule, make_student
from isogloss.methods.task import TaskTraining, fit, load_beside, score_all
from isogloss.methods.text import Texts, held_out_loss, tokenised
from isogloss.models.backbone import save_model
from isogloss.models.distillation import Distillation
from isogloss.models.tasks import objective_of, save_task_model
from isogloss.training.hooks import Ledger
from isogloss.training.loop import train
from isogloss.training.plan import TrainingPlan
from isogloss.training.update import Losses


class Languages(Record):
    """Which languages the student is for.

    Attributes:
        source: has the task's training data.
        target: is to profit from it; one language, or several.
    """

    source: LanguageTag
    target: LanguageTag | tuple[LanguageTag, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Source first."""
        targets = (self.target,) if isinstance(self.target, str) else self.target
        return (self.source, *targets)


class LossWeights(Record):
    """How much each loss of phase 1 weighs; 0 leaves it out."""

    hidden: float = Field(default=1.0, ge=0)
    attention: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def _some(self) -> LossWeights:
        if self.hidden == 0 and self.attention == 0:
            raise ValueError("hidden, attention: at least one must weigh more than 0")
        return self


class General(Record):
    """Phase 1: draw the student to the teacher on unlabelled text.

    Attributes:
        losses: what is compared, and how much each weighs.
        masking: what is hidden from both models.
        length: tokens of a sequence, special ones included.
        training: how long and how fast; every batch is of one language, all languages alike often.
    """

    losses: LossWeights = LossWeights()
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
        for tag in (*self.corpora, *self.dev):
            if tag not in self.languages.all:
                raise ValueError(f"corpora, dev: only the languages source and target; {tag} is neither")
        if self.student.vocabulary.min_identical and not self.dev:
            raise ValueError("dev: held-out text, which student.vocabulary.min_identical is measured on")
        return self


def distil(recipe: DistilRecipe, run: Run) -> None:
    """Trim, copy, distil on text, fine-tune on the task; score beside the models one asked for."""
    texts = corpora(recipe.corpora)
    run.note(data=fingerprints(texts))
    pair = make_student(recipe.student, recipe.teacher, texts, corpora(recipe.dev), run)
    if recipe.phase1 is not None:
        _general(recipe, recipe.phase1, texts, pair, run)
    if run.writes:
        save_model(pair.student, pair.tokenizer, run.folder / "student" if recipe.phase2 else run.model)
    if recipe.phase2 is not None:
        _task(recipe, recipe.phase2, pair, run)


def _general(recipe: DistilRecipe, phase: General, texts: Texts, pair: Pair, run: Run) -> None:
    """Phase 1. The pair's student is trained in place."""
    tags = recipe.languages.all
    files = tokenised({tag: texts[tag] for tag in tags}, pair.tokenizer, run)
    dev = tokenised(corpora(recipe.dev), pair.tokenizer, run)
    shares = fixed_shares(dict.fromkeys(tags, 1.0))
    mixture = Mixture(shares, seed=recipe.seed)
    weights = {name: weight for name, weight in phase.losses.model_dump().items() if weight}
    settings: dict[str, Any] = {
        "length": phase.length,
        "batch_size": phase.training.batch_size,
        "masking": phase.masking,
        "objective": objective_of(pair.student.config),
    }
    step = DistillationStep(weights)
    batches = LanguageModelBatches(files, mixture, pair.tokenizer, monolingual=True, **settings)
    train(
        Distillation(pair.student, pair.teacher, layers=pair.layers, kept=pair.kept, losses=tuple(weights)),
        batches,
        step,
        plan=phase.training,
        run=run,
        phase="phase1",
        seed=recipe.seed,
        evaluate=held_out_loss(dev, pair.tokenizer, step=step, seed=recipe.seed, **settings) if dev else None,
        metric="loss",
        higher_is_better=False,
        hooks=[Ledger(batches.languages, requested=shares, sizes=batches.tokens_in_a_pass())],
    )


@dataclass(frozen=True)
class DistillationStep:
    """The weighted sum of the losses, and each by itself; the tokens of a batch are its weight.

    Attributes:
        weights: by name of the loss.
    """

    weights: Mapping[str, float]

    def __call__(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Losses:
        combined = combine(model(batch), self.weights)
        means = {name: part.mean() for name, part in combined.parts.items()}
        return {"loss": combined.total, "weight": batch["attention_mask"].sum(), **means}


def _task(recipe: DistilRecipe, phase: TaskTraining, pair: Pair, run: Run) -> None:
    """Phase 2, and the scores of the student and of the models beside it."""
    beside = load_beside(phase) if run.writes else {}
    model, outcome = fit(pair.student, pair.tokenizer, phase, run=run, phase="phase2", seed=recipe.seed)
    if not run.writes:  # the main process saves and scores
        return
    save_task_model(model, pair.tokenizer, run.model)
    models = beside | {"student": (model, pair.tokenizer)}
    score_all(run, models, phase, source=recipe.languages.source, step=outcome.step)
