"""Task models in folders: what transformers writes, `head.json`, and the weights of a head of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from isogloss.core.errors import CheckpointError, ModelError
from isogloss.core.files import MANIFEST, check_folder, whole_folder, write_json
from isogloss.data.pieces import padding_id
from isogloss.data.prompts import Prompt
from isogloss.data.records import Kind
from isogloss.models.backbone import (
    load_config,
    load_model,
    load_tokenizer,
    quiet,
)
from isogloss.models.task_build import STOCK, new_head
from isogloss.models.task_model import TaskModel, objective_of

HEAD_FACTS, HEAD_WEIGHTS = "head.json", "head.safetensors"


def save_task_model(model: TaskModel, tokenizer: Any, folder: Path) -> None:
    """Write model, head and tokenizer; the folder appears whole or not at all.

    Raises:
        StorageError: the disk refused.
    """
    from safetensors.torch import save_file

    facts = {
        "kind": model.kind,
        "labels": list(model.labels),
        "pooling": model.pooling,
        "own_head": model.head is not None,
    } | ({} if model.prompt is None else {"prompt": model.prompt.model_dump()})
    if model.kind == "label" and model.objective == "causal" and model.head is None:
        model.config.pad_token_id = padding_id(tokenizer)  # by which transformers finds the last token
    with quiet(), whole_folder(folder) as unfinished:
        model.model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        write_json(unfinished / HEAD_FACTS, facts)
        if model.head is not None:
            weights = {name: tensor.contiguous() for name, tensor in model.head.state_dict().items()}
            save_file(weights, unfinished / HEAD_WEIGHTS)


def load_task_model(folder: str | Path) -> tuple[TaskModel, Any]:
    """A saved model, in evaluation mode, and its tokenizer.

    Raises:
        ModelError: no such folder, or one that was not written by `save_task_model`.
        CheckpointError: a file is missing or damaged.
    """
    folder = Path(folder)
    facts = head_facts(folder)
    kind: Kind = facts["kind"]
    prompt = saved_prompt(folder)
    if facts["own_head"]:
        model, head = _saved_backbone(folder), None
        head = _saved_head(folder, new_head(kind, model.config.hidden_size, len(facts["labels"])))
    else:
        stock = STOCK.get(kind) if prompt is None else None
        model, head = load_model(folder, stock or objective_of(load_config(folder))), None
    task = TaskModel(model, head, kind=kind, labels=facts["labels"], pooling=facts["pooling"], prompt=prompt)
    return task.eval(), load_tokenizer(folder)


def task_kind(folder: str | Path) -> Kind:
    """The kind of task a saved model is for; its weights are not read.

    Raises:
        ModelError: no such folder, or one that was not written by `save_task_model`.
        CheckpointError: a file is missing or damaged.
    """
    kind: Kind = head_facts(Path(folder))["kind"]
    return kind


def saved_prompt(source: str | Path) -> Prompt | None:
    """The prompt a saved model is asked by; None for one that has a head, or that is no task model."""
    folder = Path(source)
    facts = head_facts(folder) if (folder / HEAD_FACTS).is_file() else {}
    return Prompt.model_validate(facts["prompt"]) if "prompt" in facts else None


def head_facts(folder: Path) -> dict[str, Any]:
    """What a saved model is: `kind`, `labels`, `pooling`, `own_head`, and `prompt` where it has one.

    Raises:
        ModelError: no such folder, or one that was not written by `save_task_model`.
        CheckpointError: a file is missing or damaged.
    """
    if not (folder / HEAD_FACTS).is_file():
        raise ModelError(
            f"no {HEAD_FACTS}: not a folder that isogloss saved for a task",
            wanted="model/ of a run folder",
            fix="for a pretrained backbone, fine-tune it first",
            where=str(folder),
        )
    if (folder / MANIFEST).exists():
        check_folder(folder)
    facts: dict[str, Any] = json.loads((folder / HEAD_FACTS).read_text(encoding="utf-8"))
    return facts


def _saved_backbone(folder: Path) -> Any:
    if objective_of(load_config(folder)) != "seq2seq":
        return load_model(folder, "base")
    from transformers import AutoModelForTextEncoding

    with quiet():
        return AutoModelForTextEncoding.from_pretrained(str(folder), dtype=torch.float32).eval()


def _saved_head(folder: Path, head: nn.Module) -> nn.Module:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        head.load_state_dict(load_file(folder / HEAD_WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{HEAD_WEIGHTS} cannot be read: {str(error).splitlines()[0]}",
            fix="copy the folder again from where it was saved",
            where=str(folder),
        ) from error
    return head
