"""Evaluate a saved model on files, outside any recipe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from isogloss.core.errors import ModelError
from isogloss.data.prompts import Prompt, load_prompt
from isogloss.data.records import PIECES, Kind
from isogloss.data.tasks import Task, task_named
from isogloss.evaluate.suite import Evaluation
from isogloss.methods.pairs import files_by_language
from isogloss.methods.records import TaskData
from isogloss.methods.scores import refuse_other_kind, score
from isogloss.methods.sources import examples
from isogloss.models.backbone import load_config, load_tokenizer
from isogloss.models.tasks import HEAD_FACTS, TaskModel, build_task_model, load_task_model, task_kind


def evaluate_files(
    model: str | Path,
    *,
    task: str,
    data: Iterable[str],
    format: str | None = None,
    limit: int | None = None,
    prompt: str | None = None,
) -> Evaluation:
    """Score a model on test files.

    Args:
        model: a folder that a run left; for `lm` and `cloze`, also any language model's folder or Hub id.
        task: a name of the table of tasks.
        data: `LANGUAGE=FILE` for each language.
        format: the files' format, None to guess it.
        limit: examples per language at most.
        prompt: ask a pretrained language model that has learnt no task: the name of a shipped prompt, or a
            YAML file. None for a task model, which knows its own if it has one.

    Raises:
        UserError: `data` is not of that form, a file or the model cannot be read, or the model is of another
            kind than the task, or has learnt a task and is given a prompt.
    """
    files = files_by_language(data, option="--data")
    loaded, tokenizer = task_model(model, task, prompt=None if prompt is None else load_prompt(prompt))
    test = examples(TaskData(task=task, test=files, format=format, limit=limit), "test")
    return score(loaded, tokenizer, test, task=task)


def task_model(model: str | Path, task: str, *, prompt: Prompt | None = None) -> tuple[TaskModel, Any]:
    """The model of a task, and its tokenizer: a task model, or a language model that is asked.

    Args:
        model: a task model's folder; for `lm` and `cloze`, and with a prompt, a language model's folder or
            Hub id.
        task: a name of the table of tasks.
        prompt: for a language model that has learnt no task; None for a task model, which knows its own.

    Raises:
        ModelError: no such model, one of another kind, or one that has learnt a task and is given a prompt.
    """
    row = task_named(task)
    found = _loaded(model, row.kind) if prompt is None else _asked(model, row, prompt)
    refuse_other_kind(found[0].kind, task, where=str(model))
    return found


def _asked(model: str | Path, task: Task, prompt: Prompt) -> tuple[TaskModel, Any]:
    if (Path(model) / HEAD_FACTS).exists() and task_kind(model) not in PIECES:
        raise ModelError(
            "a model that has learnt a task, and a prompt",
            wanted="a pretrained language model, to be asked without any training",
            fix="leave --prompt out, or give the model it was fine-tuned from",
            where=str(model),
        )
    labels = task.labels or (prompt.labels if task.kind == "label" else ())
    return build_task_model(task.kind, model, labels=labels, prompt=prompt), load_tokenizer(model)


def _loaded(model: str | Path, kind: Kind) -> tuple[TaskModel, Any]:
    if kind in PIECES and not (Path(model) / HEAD_FACTS).exists():
        load_config(model)
        return build_task_model(kind, model), load_tokenizer(model)
    return load_task_model(model)
