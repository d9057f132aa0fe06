"""Fitting a model to a task, from labels or beside a teacher: what fine-tuning and distillation share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor, nn

from isogloss.compress.rows import FewerRows
from isogloss.core.by_language import tokenizer_of
from isogloss.core.errors import ModelError
from isogloss.core.run import Run
from isogloss.core.seeds import derive
from isogloss.data.batches import LanguageModelBatches
from isogloss.data.beside import TEXT, Beside, part_of
from isogloss.data.buckets import BucketedBatches
from isogloss.data.encode import encode
from isogloss.data.features import Features, collate
from isogloss.data.labels import inventory
from isogloss.data.mixture import Mixture
from isogloss.data.pieces import padding_id
from isogloss.data.records import Example
from isogloss.data.tasks import TASKS
from isogloss.data.timeline import fixed_shares
from isogloss.evaluate.metrics import LOWER_IS_BETTER
from isogloss.evaluate.predict import row_length
from isogloss.evaluate.suite import check_labels, evaluate
from isogloss.methods.guide import DistillationStep, Guide, Loaded, guide_by
from isogloss.methods.records import TaskData
from isogloss.methods.rows import rows_for_task
from isogloss.methods.scores import refuse_other_kind
from isogloss.methods.sources import corpora, examples
from isogloss.methods.sparse import Training, task_of, tune_sparsely
from isogloss.methods.task_recipe import TaskTraining, Unlabelled
from isogloss.methods.text import tokenised
from isogloss.models.backbone import load_config
from isogloss.models.origin import Origin
from isogloss.models.tasks import TaskModel, build_task_model, load_task_model
from isogloss.training.feed import Batches
from isogloss.training.hooks import Hook, Ledger
from isogloss.training.loop import Outcome, train
from isogloss.training.optimiser import OptimiserBuilder, adamw
from isogloss.training.plan import TrainingPlan
from isogloss.training.update import Losses, Step
from isogloss.vocab.fingerprint import fingerprint

Dress: TypeAlias = Callable[[TaskModel, Any], str | None]
"""Puts a language's delta on a task model that reads by a tokenizer; gives the bare model's fingerprint."""


def fit(
    backbone: Any,
    tokenizer: Any,
    task: TaskTraining,
    *,
    run: Run,
    phase: str,
    seed: int,
    teacher: Loaded | None,
    origin: Origin | None = None,
    dress: Dress | None = None,
) -> tuple[TaskModel, Outcome]:
    """A task model on a backbone, trained on `task.train` and chosen on `task.dev`.

    Args:
        backbone: folder, Hub id or transformers model; what the head is put on.
        teacher: `task.teacher` as `load_teacher` gives it.
        phase: names this training in the run's log and checkpoints.
        origin: how the backbone belongs to the model that `task.teacher` was tuned from; None where that is
            the backbone itself.
        dress: puts a language's delta on the model before it learns; None leaves it bare.

    Raises:
        DataError: a file of any split is malformed, or a test holds a label that training does not.
    """
    kind = TASKS[task.task].kind
    learnt = [example for items in examples(task, "train").values() for example in items]
    labels = labels_of(task, learnt)
    guide = None if teacher is None else _guide(teacher, task, backbone, tokenizer, origin)
    if guide is not None:
        labels = guide.labels(labels)
    model = build_task_model(
        kind, backbone, labels=labels, pooling=task.pooling or "mean", seed=seed, prompt=task.prompt
    )
    if guide is not None:
        guide.lend_head(model)
    held_out = examples(task, "dev")
    for language, judged in (*held_out.items(), *examples(task, "test").items()):
        check_labels(model, judged)  # now, and not after the training
        tokenizer_of(tokenizer, language)
    base = None if dress is None else dress(model, tokenizer)
    length = task.max_length
    rows = (
        rows_for_task(model, tokenizer, learnt, held_out, max_length=length, run=run)
        if task.used_rows_only
        else None
    )
    training = _training(model, tokenizer, learnt, held_out, task, run=run, seed=seed, guide=guide)
    step = task_step if guide is None else DistillationStep(_weights(task))
    outcome = _learn(model, tokenizer, task, training, step=step, run=run, phase=phase, rows=rows, base=base)
    if rows is not None:
        rows.put_back()
    return model, outcome


def _learn(
    model: TaskModel,
    tokenizer: Any,
    task: TaskTraining,
    training: Training,
    *,
    step: Step,
    run: Run,
    phase: str,
    rows: FewerRows | None,
    base: str | None,
) -> Outcome:
    """All of the model, or few entries of it."""
    if task.sparse is None:
        return training(model, task.training, phase, step, adamw)
    facts: dict[str, Any] = {"task": task.task, "vocabulary": fingerprint(tokenizer), "base": base}
    return tune_sparsely(
        model, task.sparse, task.training, training, step=step, run=run, phase=phase, rows=rows, **facts
    )


def _guide(
    teacher: Loaded, task: TaskTraining, backbone: Any, tokenizer: Any, origin: Origin | None
) -> Guide:
    assert task.teacher is not None, "a teacher that the recipe does not name"
    if teacher[0].prompt != task.prompt:
        raise ModelError(
            "a task teacher that is not asked by the same prompt as its student",
            wanted="the prompt of the teacher's own recipe, or none for both",
            fix="give the same `prompt`, or tune a teacher with this one",
            where=task.teacher.model,
        )
    vocabulary = fingerprint(tokenizer)
    if origin is None:
        config: Any = backbone.config if isinstance(backbone, nn.Module) else load_config(backbone)
        origin = Origin(tuple(range(config.num_hidden_layers)), None, vocabulary)
    return guide_by(teacher, origin, vocabulary, losses=task.losses, head=task.head, where=task.teacher.model)


def _training(
    model: TaskModel,
    tokenizer: Any,
    learnt: Sequence[Example],
    held_out: Mapping[str, Sequence[Example]],
    task: TaskTraining,
    *,
    run: Run,
    seed: int,
    guide: Guide | None,
) -> Training:
    """Train a model, or what is made of it, on the task by a plan, with the guide's teacher beside it."""
    metric = TASKS[task.task].metrics[0]

    def training(
        subject: nn.Module, plan: TrainingPlan, phase: str, step: Step, optimiser: OptimiserBuilder
    ) -> Outcome:
        batches: Batches = task_batches(
            model,
            tokenizer,
            learnt,
            max_length=task.max_length,
            batch_size=plan.batch_size,
            seed=derive(seed, phase),
        )
        hooks: list[Hook] = []
        if task.unlabelled is not None:
            text = _text_batches(task.unlabelled, model, tokenizer, run=run, seed=derive(seed, phase, "text"))
            batches = Beside(batches, text, prefix=TEXT)
            hooks = [_ledger(text)]
        return train(
            subject if guide is None else guide.beside(subject),
            batches,
            step,
            plan=plan,
            run=run,
            phase=phase,
            seed=seed,
            hooks=hooks,
            evaluate=_headline(tokenizer, held_out, task, metric) if held_out else None,
            metric=metric,
            higher_is_better=metric not in LOWER_IS_BETTER,
            optimiser=lambda _, plan: optimiser(subject, plan),
        )

    return training


def _weights(task: TaskTraining) -> dict[str, float]:
    """Of every loss, those on running text included."""
    own = dict(task.losses.weights)
    if task.unlabelled is None:
        return own
    inner = {name: weight for name, weight in own.items() if name not in ("logits", "gold")}
    return own | {TEXT + name: task.unlabelled.weight * weight for name, weight in inner.items()}


def _text_batches(
    rule: Unlabelled, model: TaskModel, tokenizer: Any, *, run: Run, seed: int
) -> LanguageModelBatches:
    files = tokenised(corpora(rule.corpora), tokenizer, run)
    return LanguageModelBatches(
        files,
        Mixture(fixed_shares(dict.fromkeys(files, 1.0)), seed=seed),
        tokenizer,
        length=rule.length,
        batch_size=rule.batch_size,
        objective="causal" if model.objective == "causal" else "masked",
        monolingual=True,
        hide=False,
    )


def _ledger(text: LanguageModelBatches) -> Ledger:
    """Of the running text alone: which languages it really was."""
    even = dict.fromkeys(text.languages, 1 / len(text.languages))
    return Ledger(
        text.languages, requested=even, sizes=text.tokens_in_a_pass(), part=lambda batch: part_of(batch, TEXT)
    )


def labels_of(task: TaskData, learnt: Sequence[Example]) -> tuple[str, ...]:
    """Labels, tags or relations by number: those fixed for the task, else those of its training examples."""
    return tuple(TASKS[task.task].labels or inventory(learnt))


def task_batches(
    model: TaskModel,
    tokenizer: Any,
    learnt: Sequence[Example],
    *,
    max_length: int | None,
    batch_size: int,
    seed: int,
) -> BucketedBatches[Features]:
    """Encoded examples in batches of like length."""
    features = encode(
        model.kind,
        learnt,
        tokenizer,
        labels=model.labels,
        max_length=row_length(model, max_length),
        objective=model.objective,
        prompt=model.prompt,
    )
    pad = padding_id(tokenizer)

    def together(chosen: list[Features]) -> dict[str, Tensor]:
        return collate(chosen, pad)

    lengths = [feature.length for feature in features]
    return BucketedBatches(features, together, lengths=lengths, batch_size=batch_size, seed=seed)


def task_step(model: nn.Module, batch: Mapping[str, Tensor]) -> Losses:
    """The loss of a batch with gold."""
    return {"loss": model(batch).loss}


def _headline(
    tokenizer: Any, held_out: Mapping[str, Sequence[Example]], task: TaskTraining, metric: str
) -> Any:
    def measure(model: nn.Module) -> dict[str, float]:
        found = evaluate(task_of(model), tokenizer, held_out, headline=metric, max_length=task.max_length)
        return {language: scores[metric] for language, scores in found.scores.items()}

    return measure


def load_teacher(task: TaskTraining) -> Loaded | None:
    """The task's teacher, to learn from and to be scored beside; None where the task names none.

    Raises:
        ModelError: no task model there, or deltas that do not fit it.
    """
    return None if task.teacher is None else task.teacher.load()


def load_beside(task: TaskTraining, teacher: Loaded | None) -> dict[str, Loaded]:
    """The models to score beside a run's own, and their tokenizers, by name.

    The teacher is among them, the very one that is given, under that name unless it has been given another.

    Args:
        teacher: what `load_teacher` gave: a large one is in memory once.

    Raises:
        ModelError: one is of another kind than the task.
    """
    taught_by = None if task.teacher is None or task.teacher.deltas else task.teacher.model
    found = {
        name: teacher if teacher is not None and folder == taught_by else load_task_model(folder)
        for name, folder in task.beside.items()
    }
    for name, (model, _) in found.items():
        refuse_other_kind(model.kind, task.task, where=task.beside[name])
    if teacher is not None and taught_by not in task.beside.values():
        found = {"teacher": teacher} | found
    return found
