"""Scores of models in a run: measured, with intervals and sample predictions, and written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from isogloss.core.errors import ModelError
from isogloss.core.run import Run
from isogloss.core.seeds import generator
from isogloss.data.records import Example, Kind, TextExample
from isogloss.data.tasks import TASKS
from isogloss.evaluate.intervals import bootstrap
from isogloss.evaluate.items import items
from isogloss.evaluate.samples import sample_lines
from isogloss.evaluate.suite import Evaluation, evaluate
from isogloss.methods.records import TaskData
from isogloss.methods.sources import examples
from isogloss.methods.unknown import warn_of_unknown_text
from isogloss.models.tasks import TaskModel

Wear: TypeAlias = Callable[[str], None]
"""Puts the delta of a language on a model."""

SAMPLES = 4
"""Example predictions kept per language, right and wrong ones."""


def score(
    model: TaskModel,
    tokenizer: Any,
    test: Mapping[str, Sequence[Example]],
    *,
    task: str,
    max_length: int | None = None,
    source: str | None = None,
    wear: Wear | None = None,
) -> Evaluation:
    """Evaluate a model on every language of a task's test set; the task's first metric is the headline."""
    headline = TASKS[task].metrics[0]
    if TASKS[task].kind == "text":
        warn_of_unknown_text(
            tokenizer,
            {tag: [one.text for one in own if isinstance(one, TextExample)] for tag, own in test.items()},
        )
    return evaluate(
        model, tokenizer, test, headline=headline, source=source, wear=wear, max_length=max_length
    )


def score_all(
    run: Run,
    models: Mapping[str, tuple[TaskModel, Any]],
    task: TaskData,
    *,
    source: str | None,
    step: int,
    max_length: int | None,
    wear: Mapping[str, Wear] | None = None,
) -> None:
    """Score several models on `task.test`, and write what was found to the run; without a test, nothing.

    Args:
        models: model and tokenizer by the name that tables have for it, in their order.
        wear: of those models that wear something else in each language, by the same names.
        source: the language learnt from.
        max_length: of rows in tokens; None for the most that each model takes.
    """
    test = examples(task, "test")
    forget_scores(run)
    if not test:
        return
    for name, (model, tokenizer) in models.items():
        found = score(
            model,
            tokenizer,
            test,
            task=task.task,
            max_length=max_length,
            source=source,
            wear=(wear or {}).get(name),
        )
        log_scores(run, found, test, task=task.task, model=name, step=step)


def refuse_other_kind(kind: Kind, task: str, *, where: str) -> None:
    """A model saved for one kind of task cannot do another.

    Raises:
        ModelError: `kind`, the model's, is not the task's.
    """
    if kind == TASKS[task].kind:
        return
    others = [name for name, row in TASKS.items() if row.kind == kind]
    raise ModelError(
        f"a model for {' or '.join(others)}, asked to do {task}",
        wanted=f"a model of kind {TASKS[task].kind!r}; this one is of kind {kind!r}",
        fix="name the task it was trained on, or fine-tune one for this task",
        where=where,
    )


def forget_scores(run: Run) -> None:
    """Clear what a killed process had scored: scoring begins anew."""
    run.rewind("evaluate", -1)
    run.forget_samples()


def log_scores(
    run: Run,
    found: Evaluation,
    test: Mapping[str, Sequence[Example]],
    *,
    task: str,
    model: str,
    step: int = 0,
) -> None:
    """Write an evaluation to the run: each score, an interval for the headline, and sample predictions.

    Args:
        model: whose scores they are ("base", "teacher", "student").
    """
    for language, scores in found.scores.items():
        for metric, value in scores.items():
            more = _interval(metric, found, test[language], language)
            run.log(
                metric,
                value,
                phase="evaluate",
                step=step,
                split="test",
                language=language,
                task=task,
                model=model,
                **more,
            )
        chosen = generator(0, "samples", task).permutation(len(test[language]))[:SAMPLES]
        told = sample_lines(
            [test[language][index] for index in chosen],
            [found.predictions[language][index] for index in chosen],
        )
        run.samples(line | {"model": model, "task": task} for line in told)


def _interval(metric: str, found: Evaluation, test: Sequence[Example], language: str) -> dict[str, float]:
    """A bootstrap interval over the test items; {} where the metric is no mean over items."""
    scored = items(metric, test, found.predictions[language], language)
    if len(scored) < 2:
        return {}
    low, high = bootstrap([item.score for item in scored], weights=[item.weight for item in scored], seed=0)
    return {"low": low, "high": high}
