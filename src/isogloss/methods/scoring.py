"""Evaluate a saved model on files, outside any recipe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from isogloss.data.records import PIECES, Kind
from isogloss.data.tasks import task_named
from isogloss.evaluate.suite import Evaluation
from isogloss.methods.pairs import files_by_language
from isogloss.methods.records import TaskData
from isogloss.methods.scores import refuse_other_kind, score
from isogloss.methods.sources import examples
from isogloss.models.backbone import load_config, load_tokenizer
from isogloss.models.tasks import HEAD_FACTS, TaskModel, build_task_model, load_task_model


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
    files = files_by_language(data, option="--data")
    loaded, tokenizer = _loaded(model, kind)
    refuse_other_kind(loaded.kind, task, where=str(model))
    test = examples(TaskData(task=task, test=files, format=format, limit=limit), "test")
    return score(loaded, tokenizer, test, task=task)


def _loaded(model: str | Path, kind: Kind) -> tuple[TaskModel, Any]:
    if kind in PIECES and not (Path(model) / HEAD_FACTS).exists():
        load_config(model)
        return build_task_model(kind, model), load_tokenizer(model)
    return load_task_model(model)
