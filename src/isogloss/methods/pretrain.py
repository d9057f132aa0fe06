"""Pretrain: a masked or causal language model on a mixture of languages, from scratch or from a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from isogloss.core.by_language import tokenizer_of
from isogloss.core.config import Record, Refused
from isogloss.core.errors import RecipeError
from isogloss.core.languages import language, original_of
from isogloss.core.machine import keeping_memory
from isogloss.core.run import Run
from isogloss.core.seeds import derive
from isogloss.data.batches import LanguageModelBatches, TextObjective, layout_for
from isogloss.data.clones import ClonesSpec
from isogloss.data.features import IGNORED
from isogloss.data.masking import Masking
from isogloss.data.mixture import Mixture, MixtureSpec
from isogloss.data.schedule import Schedule
from isogloss.data.tokens import TokenFile
from isogloss.methods.aligned_rows import piece_counts
from isogloss.methods.alignment import AlignmentRule, log_alignment
from isogloss.methods.clones import ClonedText, cloned_text
from isogloss.methods.inventory import note_model
from isogloss.methods.mixing import course, planned, watchers
from isogloss.methods.perplexity import PerplexityRule, log_masked_perplexity, log_perplexity
from isogloss.methods.pretrain_vocabulary import TokenizersSpec, VocabularySpec, note_anchors, tokenizer_in
from isogloss.methods.records import ByLanguage, LanguageSparseRule, TaskData
from isogloss.methods.rows import rows_for_text
from isogloss.methods.scores import forget_scores, log_scores, score
from isogloss.methods.sources import corpora, examples, fingerprints
from isogloss.methods.sparse import Training, tune_to_languages
from isogloss.methods.text import Texts, held_out, held_out_loss, tokenised
from isogloss.models.architecture import Architecture, FamilyName, new_model
from isogloss.models.backbone import load_model, load_tokenizer, save_model
from isogloss.models.families import family_of
from isogloss.models.gpt import plain
from isogloss.models.modes import evaluating
from isogloss.models.tasks import TaskModel, aligned_labels
from isogloss.training.loop import Outcome, train
from isogloss.training.optimiser import OptimiserBuilder, adamw
from isogloss.training.plan import TrainingPlan
from isogloss.training.update import Losses, Step
from isogloss.vocab.fingerprint import fingerprint

FAMILY_NAMES: tuple[str, ...] = get_args(FamilyName)
PHASE = "pretrain"


class PretrainRecipe(Record):
    """Pretrain a language model, or go on pretraining one.

    Attributes:
        model: folder or Hub id to go on from; None when `architecture` begins anew.
        architecture: the sizes of a new model; None when `model` is given.
        tokenizer: folder or Hub id of a tokenizer for the new model, or {of: {eng: FOLDER, fra: FOLDER},
            across: anchored} for one of each language; None trains one by `vocabulary`.
        vocabulary: kind, size and shares of a new vocabulary, trained on `corpora`.
        corpora: text to learn from, by language.
        clones: further languages with the text of one of `corpora` and pieces of their own; they have shares
            in the mixture and may stand in `dev` and `test`. None makes none.
        mixture: how much of each language.
        schedule: how that changes during training; None for a mixture that stays. Instead of `mixture`.
        objective: "masked" or "causal".
        masking: what a masked model has to guess; not read for causal ones.
        length: tokens of a training sequence, special ones included.
        training: how long and how fast.
        sparse: go on from `model` sparsely, and leave the delta of these languages (LT-SFT); None trains all.
        used_rows_only: go on from `model` with the rows of its vocabulary that the text uses, and put
            the others back as they were: less memory, faster steps. Losses are then over the rows in use.
        dev: held-out text by language; chooses the checkpoint by its loss. Empty keeps the last.
        test: text by language for perplexity and bits per byte at the end.
        test_limit: lines of each test text to read; not looked at with `perplexity`.
        perplexity: score the whole test texts instead of document by document: a causal model by sliding
            windows, as published; a masked one by the loss of its training, as `masked_perplexity`.
        alignment: how far the languages are aligned inside the model at the end; None measures nothing.
        as_name: what the scores call the model in tables.
        name: of the run folder; None makes one.
        seed: of everything random.
    """

    method: Literal["pretrain"] = "pretrain"
    model: str | None = None
    architecture: Architecture | None = None
    tokenizer: str | TokenizersSpec | None = None
    vocabulary: VocabularySpec | None = None
    corpora: ByLanguage = Field(min_length=1)
    clones: ClonesSpec | None = None
    mixture: MixtureSpec = MixtureSpec()
    schedule: Schedule | None = None
    objective: TextObjective = "masked"
    masking: Masking = Masking()
    length: int = Field(default=128, ge=8)
    training: TrainingPlan = TrainingPlan(steps=10_000, learning_rate=5e-4)
    sparse: LanguageSparseRule | None = None
    used_rows_only: bool = False
    dev: ByLanguage = Field(default_factory=dict)
    test: ByLanguage = Field(default_factory=dict)
    test_limit: int = Field(default=500, ge=1)
    perplexity: PerplexityRule | None = None
    alignment: AlignmentRule | None = None
    as_name: str = "model"
    name: str | None = None
    seed: int = 0

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the mixture, each clone right after its original."""
        clones = {} if self.clones is None else {self.clones.of: self.clones.languages}
        return tuple(tag for corpus in self.corpora for tag in clones.get(corpus, (corpus,)))

    @model_validator(mode="after")
    def _one_beginning(self) -> PretrainRecipe:
        if (self.model is None) == (self.architecture is None):
            raise ValueError("model, architecture: give exactly one: a model to go on from, or new sizes")
        if self.model is not None and (self.tokenizer or self.vocabulary):
            raise ValueError("tokenizer, vocabulary: a model to go on from brings its own; leave both out")
        if self.model is None and self.sparse is not None:
            raise ValueError(
                "sparse, model: a delta is what changed in a model; give the model to go on from"
            )
        if self.model is None and self.used_rows_only:
            raise ValueError("used_rows_only, model: a new model has a vocabulary of its corpora already")
        if self.architecture is not None and (self.tokenizer is None) == (self.vocabulary is None):
            raise ValueError("tokenizer, vocabulary: a new model needs exactly one of the two")
        if self.clones is not None:
            _check_clones(self, self.clones)
        if self.schedule is not None:
            _check_schedule(self, self.schedule)
        _refuse_other_direction(self.architecture, self.objective)
        if self.perplexity is not None:
            _check_perplexity(self, self.perplexity)
        longest = self.architecture.max_length if self.architecture else self.length
        if self.length > longest:
            raise ValueError(f"length: {self.length} tokens are more than architecture.max_length, {longest}")
        return self


def _check_clones(recipe: PretrainRecipe, clones: ClonesSpec) -> None:
    if clones.of not in recipe.corpora:
        raise ValueError(f"clones.of: {clones.of} has no corpus; name one of {', '.join(recipe.corpora)}")
    if recipe.sparse is not None or recipe.used_rows_only:
        raise ValueError("clones: not with sparse or used_rows_only, which count the rows of plain text")
    if (
        isinstance(recipe.tokenizer, TokenizersSpec)
        or getattr(recipe.vocabulary, "across", "joint") != "joint"
    ):
        raise ValueError("clones: not with vocabularies of each language, `disjoint` or `anchored`")
    if made := [tag for tag in recipe.corpora if language(tag).number > 1]:
        raise ValueError(f"corpora.{made[0]}: a clone reads the text of {clones.of}; leave its corpus out")
    known = {*recipe.corpora, *clones.languages}
    for key in ("dev", "test"):
        if strange := [tag for tag in getattr(recipe, key) if language(tag).number > 1 and tag not in known]:
            raise ValueError(f"{key}.{strange[0]}: no such clone; there are {', '.join(clones.languages)}")


def _check_perplexity(recipe: PretrainRecipe, rule: PerplexityRule) -> None:
    if not recipe.test:
        raise ValueError("perplexity: there is no `test` text to score")
    if recipe.objective != "causal" and rule != PerplexityRule():
        raise ValueError("perplexity: masked models have no windows; write `perplexity: {}`")
    bounded = recipe.architecture is not None and recipe.objective == "causal"
    if recipe.architecture and bounded and rule.window > recipe.architecture.max_length:
        raise ValueError(
            f"perplexity.window: {rule.window} tokens are more than architecture.max_length, "
            f"{recipe.architecture.max_length}"
        )


def _check_schedule(recipe: PretrainRecipe, schedule: Schedule) -> None:
    if recipe.mixture != MixtureSpec():
        raise ValueError("mixture, schedule: give one of the two; a schedule says what is drawn when")
    if recipe.training.steps is not None:
        try:
            planned(recipe.mixture, schedule, recipe.languages, recipe.training.steps)
        except RecipeError as error:
            raise Refused(error) from error


def _refuse_other_direction(architecture: Architecture | None, objective: TextObjective) -> None:
    kinds = {"masked": "encoder", "causal": "decoder"}
    if architecture is not None and family_of(architecture.family).kind != kinds[objective]:
        fitting = ", ".join(name for name in FAMILY_NAMES if family_of(name).kind == kinds[objective])
        raise ValueError(
            f"objective, architecture: {objective} needs a family that reads "
            f"{'both ways' if objective == 'masked' else 'from left to right'} ({fitting}); "
            f"{architecture.family} does not"
        )


def pretrain(recipe: PretrainRecipe, run: Run) -> None:
    """Vocabulary, tokens, mixture, model, training; then perplexity per language."""
    texts = corpora(recipe.corpora)
    run.note(data=fingerprints(texts))
    tokenizer = _tokenizer(recipe, texts, run)
    cloned = cloned_text(recipe.clones, tokenizer)
    # Whatever can be wrong with these shall be said now, and not after the training.
    aligned = recipe.alignment and recipe.alignment.read(clones=cloned.texts)
    for tag in (*recipe.test, *(recipe.alignment.text if recipe.alignment else ())):
        tokenizer_of(tokenizer, tag)
    languages = (*recipe.corpora, *recipe.dev, *recipe.test, *(aligned.languages if aligned else ()))
    read_with = cloned.tokenizer(tokenizer, languages)
    judged = _test_files(recipe, read_with, run)
    files = cloned.beside(tokenised(texts, tokenizer, run))
    note_anchors(run, tokenizer, files)
    subject = TaskModel(_model(recipe, tokenizer, cloned), None, kind="text")
    outcome = _train(recipe, run, subject, tokenizer=tokenizer, files=files, cloned=cloned)
    if not run.writes:  # the main process saves and scores
        return
    trained, subject.model = subject.model, plain(subject.model)
    save_model(subject.model, read_with, run.model)
    note_model(run, recipe.as_name, trained, read_with)
    _score(recipe, run, subject, read_with, judged, step=outcome.step)
    if recipe.alignment and aligned:
        log_alignment(
            recipe.alignment,
            run,
            subject,
            read_with,
            aligned,
            occurrences=_occurrences(files, tokenizer),
            length=recipe.length,
            model=recipe.as_name,
            step=outcome.step,
        )


def _occurrences(files: Mapping[str, TokenFile], tokenizer: Any) -> dict[str, dict[str, int]]:
    """How often each piece stands in each language's text; a clone's text is its original's."""
    return {tag: piece_counts(file, tokenizer_of(tokenizer, original_of(tag))) for tag, file in files.items()}


def language_model_step(objective: TextObjective) -> Step:
    """A training step: the mean loss over the targets, weighed by their number."""

    def step(model: nn.Module, batch: Mapping[str, Tensor]) -> Losses:
        targets = aligned_labels(batch["labels"], objective) != IGNORED
        return {"loss": model(batch, scores=False).loss, "weight": targets.sum()}

    return step


def _tokenizer(recipe: PretrainRecipe, texts: Texts, run: Run) -> Any:
    if recipe.architecture is None:
        found = load_tokenizer(str(recipe.model))
    else:
        source = recipe.vocabulary or recipe.tokenizer
        assert source is not None, "a new model without a tokenizer"
        longest = recipe.architecture.max_length
        found = tokenizer_in(
            run, source, texts, objective=recipe.objective, max_length=longest, seed=recipe.seed
        )
    return found if recipe.clones is None else tokenizer_of(found, recipe.clones.of)


def _model(recipe: PretrainRecipe, tokenizer: Any, cloned: ClonedText) -> Any:
    if recipe.architecture is None:
        model = load_model(str(recipe.model), recipe.objective)
        cloned.check(model, where=str(recipe.model))
        return model
    return new_model(
        recipe.architecture,
        tokenizer=tokenizer,
        auto=recipe.objective,
        seed=recipe.seed,
        rows=cloned.rows(tokenizer),
    )


def _train(
    recipe: PretrainRecipe,
    run: Run,
    subject: TaskModel,
    *,
    tokenizer: Any,
    files: Mapping[str, TokenFile],
    cloned: ClonedText,
) -> Outcome:
    """Train all of the model or some entries of it, with all rows of its vocabulary or some."""
    step = language_model_step(recipe.objective)
    dev = tokenised(corpora(recipe.dev), tokenizer, run)
    used = (*files.values(), *dev.values())
    rows = rows_for_text(subject, tokenizer, used, run) if recipe.used_rows_only else None
    training = _training(recipe, run, tokenizer, files, dev, cloned)
    if recipe.sparse is None:
        outcome = training(subject, recipe.training, PHASE, step, adamw)
    else:
        outcome = tune_to_languages(
            subject,
            recipe.sparse,
            recipe.training,
            training,
            step=step,
            run=run,
            phase=PHASE,
            languages=tuple(recipe.corpora),
            vocabulary=fingerprint(tokenizer),
            rows=rows,
        )
    if rows is not None:
        rows.put_back()
    return outcome


def _training(
    recipe: PretrainRecipe,
    run: Run,
    tokenizer: Any,
    files: Mapping[str, TokenFile],
    dev: Mapping[str, TokenFile],
    cloned: ClonedText,
) -> Training:
    """Train a model, or what is made of it, on the text by a plan."""

    def training(
        subject: nn.Module, plan: TrainingPlan, phase: str, step: Step, optimiser: OptimiserBuilder
    ) -> Outcome:
        settings: dict[str, Any] = {
            "length": recipe.length,
            "batch_size": plan.batch_size,
            "objective": recipe.objective,
            "masking": recipe.masking,
            "places": cloned.places,
        }
        seed = recipe.seed if phase == PHASE else derive(recipe.seed, phase)
        layout = layout_for(tokenizer, length=recipe.length, objective=recipe.objective)
        asked = course(recipe.mixture, recipe.schedule, files, plan, layout=layout)
        mixture = Mixture(asked.timeline, seed=seed, texts=cloned.texts)
        batches = LanguageModelBatches(files, mixture, tokenizer, **settings)
        bare = language_model_step(recipe.objective)
        judged = held_out(dev, tokenizer, seed=recipe.seed, **settings)
        probed = {**files, **cloned.beside(dev), **dev}
        probes = held_out(probed, tokenizer, seed=recipe.seed, **settings)
        hooks = watchers(asked, recipe.schedule, mixture, batches, probes, step=bare, seed=recipe.seed)
        with keeping_memory():  # every batch has the same shape
            return train(
                subject,
                batches,
                step,
                plan=plan,
                run=run,
                phase=phase,
                seed=recipe.seed,
                evaluate=held_out_loss(judged, step=bare) if dev else None,
                metric="loss",
                higher_is_better=False,
                hooks=hooks,
                optimiser=optimiser,
                milestones=asked.ends,
            )

    return training


def _test_files(recipe: PretrainRecipe, tokenizer: Any, run: Run) -> dict[str, TokenFile]:
    """Test text for sliding windows; empty where it is scored document by document."""
    if recipe.perplexity is None:
        return {}
    files = tokenised(corpora(recipe.test), tokenizer, run)
    if recipe.objective == "causal":
        recipe.perplexity.check(files)
    return files


def _masked_losses(
    recipe: PretrainRecipe, subject: TaskModel, tokenizer: Any, files: Mapping[str, TokenFile]
) -> dict[str, float]:
    settings: dict[str, Any] = {
        "length": recipe.length,
        "batch_size": recipe.training.batch_size,
        "masking": recipe.masking,
    }
    batches = {
        tag: held_out({tag: file}, tokenizer_of(tokenizer, tag), seed=recipe.seed, **settings)[tag]
        for tag, file in files.items()
    }
    with evaluating(subject), torch.no_grad():
        return held_out_loss(batches, step=language_model_step("masked"))(subject)


def _score(
    recipe: PretrainRecipe,
    run: Run,
    subject: TaskModel,
    tokenizer: Any,
    files: Mapping[str, TokenFile],
    *,
    step: int,
) -> None:
    if not recipe.test:
        return
    name = recipe.as_name
    if recipe.perplexity is not None and recipe.objective == "causal":
        log_perplexity(recipe.perplexity, run, subject, tokenizer, files, model=name, step=step)
        return
    if recipe.perplexity is not None:
        losses = _masked_losses(recipe, subject, tokenizer, files)
        log_masked_perplexity(run, losses, model=name, step=step)
        return
    test = examples(TaskData(task="lm", test=recipe.test, limit=recipe.test_limit), "test")
    forget_scores(run)
    found = score(subject, tokenizer, test, task="lm")
    log_scores(run, found, test, task="lm", model=recipe.as_name, step=step)
