"""Models for every kind of task: build, run, save and load."""

from __future__ import annotations

from isogloss.models.task_build import build_task_model
from isogloss.models.task_folder import (
    HEAD_FACTS,
    HEAD_WEIGHTS,
    head_facts,
    load_task_model,
    save_task_model,
    saved_prompt,
    task_kind,
)
from isogloss.models.task_model import (
    Pooling,
    TaskModel,
    TaskOutput,
    aligned_labels,
    longest_input,
    objective_of,
    only_answers,
)

__all__ = [
    "HEAD_FACTS",
    "HEAD_WEIGHTS",
    "Pooling",
    "TaskModel",
    "TaskOutput",
    "aligned_labels",
    "build_task_model",
    "head_facts",
    "load_task_model",
    "longest_input",
    "objective_of",
    "only_answers",
    "save_task_model",
    "saved_prompt",
    "task_kind",
]
