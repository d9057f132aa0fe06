"""Evaluate a saved model on files, outside any recipe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from isogloss.core.errors import ModelError, RecipeError, UserError
from isogloss.core.languages import language
from isogloss.data.tasks import TASKS, task_named
from isogloss.evaluate.suite import Evaluation
from isogloss.methods.records import TaskData
from isogloss.methods.sources import examples
from isogloss.methods.task import score
from isogloss.models.backbone import load_config, load_tokenizer
from isogloss.models.tasks import HEAD_FACTS, build_task_model, load_task_model


def evaluate_files(
    model: str | Path,
    *,
    task: str,
    data: Iterable[str],
    format: str | None = None,
    limit: int | None = None,
) -> Evaluation:
    """Score a model on test files.

    Args:
        model: a folder that a run left; for `lm` and `cloze`, also any language model's folder or Hub id.
        task: a name of the table of tasks.
        data: `LANGUAGE=FILE` for each language.
        format: the files' format, None to guess it.
        limit: examples per language at most.

    Raises:
        UserError: `data` is not of that form, a file or the model cannot be read, or the model is of another
            kind than the task.
    """
    kind = task_named(task).kind
    files: dict[str, tuple[str, ...]] = {}
    for tag, file in map(_pair, data):
        files[tag] = (*files.get(tag, ()), file)
    test = examples(TaskData(task=task, test=files, format=format, limit=limit), "test")
    if kind in ("text", "gap") and not (Path(model) / HEAD_FACTS).exists():
        load_config(model)
        loaded, tokenizer = build_task_model(kind, model), load_tokenizer(model)
    else:
        loaded, tokenizer = load_task_model(model)
    if loaded.kind != kind:
        others = [name for name, row in TASKS.items() if row.kind == loaded.kind]
        raise ModelError(
            f"a model for {', '.join(others)}, asked to do {task}",
            wanted=f"a model of kind {kind!r}; this one is of kind {loaded.kind!r}",
            fix="name the task it was trained on, or fine-tune one for this task",
            where=str(model),
        )
    return score(loaded, tokenizer, test)


def _pair(entry: str) -> tuple[str, str]:
    name, equals, file = entry.partition("=")
    if not equals or not name or not file:
        raise RecipeError(
            f"--data {entry}", wanted="LANGUAGE=FILE, such as --data swh=test.tsv", fix="write both, with ="
        )
    try:
        return language(name).tag, file
    except UserError as error:
        raise RecipeError(error.got, wanted=error.wanted, fix=error.fix, where=f"--data {entry}") from error
