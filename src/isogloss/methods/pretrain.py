"""Pretrain: a masked or causal language model on a mixture of languages, from scratch or from a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from isogloss.core.by_language import tokenizer_of
from isogloss.core.languages import original_of
from isogloss.core.machine import keeping_memory
from isogloss.core.run import Run, read_run
from isogloss.core.seeds import derive
from isogloss.data.batches import LanguageModelBatches, TextObjective, layout_for
from isogloss.data.features import IGNORED
from isogloss.data.mixture import Mixture
from isogloss.data.records import Example
from isogloss.data.schedule import Adaptive
from isogloss.data.tokens import TokenFile
from isogloss.methods.aligned_rows import piece_counts
from isogloss.methods.alignment import log_alignment
from isogloss.methods.clones import ClonedText, cloned_text
from isogloss.methods.inventory import note_model
from isogloss.methods.mixing import course, watchers
from isogloss.methods.perplexity import log_masked_perplexity, log_perplexity
from isogloss.methods.pretrain_recipe import PretrainRecipe
from isogloss.methods.pretrain_vocabulary import note_anchors, tokenizer_in
from isogloss.methods.records import TaskData
from isogloss.methods.rows import rows_for_text
from isogloss.methods.scores import forget_scores, log_scores, score
from isogloss.methods.sources import corpora, examples, note_data
from isogloss.methods.sparse import Training, tune_to_languages
from isogloss.methods.text import Texts, held_out, held_out_loss, tokenised
from isogloss.methods.unknown import warn_of_unknown_tokens
from isogloss.models.architecture import new_model
from isogloss.models.backbone import load_model, load_tokenizer, save_model
from isogloss.models.gpt import plain
from isogloss.models.modes import evaluating
from isogloss.models.tasks import TaskModel, aligned_labels
from isogloss.training.loop import Outcome, train
from isogloss.training.optimiser import OptimiserBuilder, adamw
from isogloss.training.plan import TrainingPlan
from isogloss.training.update import Losses, Step
from isogloss.vocab.fingerprint import fingerprint

PHASE = "pretrain"


def pretrain(recipe: PretrainRecipe, run: Run) -> None:
    """Vocabulary, tokens, mixture, model, training; then perplexity per language."""
    texts = corpora(recipe.corpora)
    note_data(run, texts)
    tokenizer = _tokenizer(recipe, texts, run)
    cloned = cloned_text(recipe.clones, tokenizer)
    # Whatever can be wrong with these shall be said now, and not after the training.
    aligned = recipe.alignment and recipe.alignment.read(clones=cloned.texts)
    for tag in (*recipe.test, *(recipe.alignment.text if recipe.alignment else ())):
        tokenizer_of(tokenizer, tag)
    languages = (*recipe.corpora, *recipe.dev, *recipe.test, *(aligned.languages if aligned else ()))
    read_with = cloned.tokenizer(tokenizer, languages)
    judged = _test_files(recipe, read_with, run)
    _test_lines(recipe)
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
            occurrences=_occurrences(run, files, tokenizer),
            length=recipe.length,
            model=recipe.as_name,
            step=outcome.step,
        )


def _occurrences(run: Run, files: Mapping[str, TokenFile], tokenizer: Any) -> dict[str, dict[str, int]]:
    """How often each piece was read, as expected: where it stands in the text, by passes over the text."""
    passes = {
        line["language"]: line["value"]
        for line in read_run(run.folder).metrics
        if (line["phase"], line["metric"]) == (PHASE, "epochs")
    }
    return {
        tag: {
            piece: round(count * passes[tag])
            for piece, count in piece_counts(file, tokenizer_of(tokenizer, original_of(tag))).items()
        }
        for tag, file in files.items()
    }


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
        cloned.check(model, load_tokenizer(str(recipe.model)), where=str(recipe.model))
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
        asked = course(recipe.mixture, recipe.schedule, files, plan, layout=layout, texts=cloned.texts)
        mixture = Mixture(asked.timeline, seed=seed, texts=cloned.texts)
        batches = LanguageModelBatches(files, mixture, tokenizer, **settings)
        bare = language_model_step(recipe.objective)
        judged = held_out(dev, tokenizer, seed=recipe.seed, **settings)
        probed = {**files, **cloned.beside(dev), **dev}
        most = recipe.schedule.probe if isinstance(recipe.schedule, Adaptive) else None
        probes = held_out(probed, tokenizer, seed=recipe.seed, most=most, **settings)
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


def _test_lines(recipe: PretrainRecipe) -> dict[str, list[Example]]:
    """Test text to be scored document by document; empty where it is scored as a whole."""
    if not recipe.test or recipe.perplexity is not None:
        return {}
    return examples(TaskData(task="lm", test=recipe.test, limit=recipe.test_limit), "test")


def _masked_losses(
    recipe: PretrainRecipe, subject: TaskModel, tokenizer: Any, files: Mapping[str, TokenFile]
) -> dict[str, float]:
    settings: dict[str, Any] = {
        "length": recipe.length,
        "batch_size": recipe.training.batch_size,
        "masking": recipe.masking,
    }
    batches = held_out(files, tokenizer, seed=recipe.seed, **settings)
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
    warn_of_unknown_tokens(tokenizer, files)
    if recipe.perplexity is not None and recipe.objective == "causal":
        log_perplexity(recipe.perplexity, run, subject, tokenizer, files, model=name, step=step)
        return
    if recipe.perplexity is not None:
        losses = _masked_losses(recipe, subject, tokenizer, files)
        log_masked_perplexity(run, losses, files, model=name, step=step)
        return
    test = _test_lines(recipe)
    forget_scores(run)
    found = score(subject, tokenizer, test, task="lm")
    log_scores(run, found, test, task="lm", model=recipe.as_name, step=step)
