"""What one does with deltas once they are there: look, put on, add, carry to a smaller model, pass on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from isogloss.compress.deltas import origins
from isogloss.compress.layers import layer_map
from isogloss.core.errors import ModelError
from isogloss.core.machine import free_memory
from isogloss.core.processes import process_count
from isogloss.data.prompts import Prompt
from isogloss.models.backbone import Auto, load_config, load_model, load_tokenizer, save_model
from isogloss.models.origin import Origin, read_origin
from isogloss.models.portions import Portions, portions
from isogloss.models.tasks import (
    HEAD_FACTS,
    TaskModel,
    build_task_model,
    load_task_model,
    save_task_model,
)
from isogloss.models.ties import untie
from isogloss.sparse.carry import Losses, carry
from isogloss.sparse.compose import Meeting, add, meetings
from isogloss.sparse.delta import Delta, apply, check_fits, fingerprint
from isogloss.sparse.published import load_published
from isogloss.sparse.storage import load_delta, save_delta
from isogloss.sparse.wardrobe import Wardrobe, bytes_of_copies
from isogloss.vocab.fingerprint import fingerprint as vocabulary_fingerprint
from isogloss.vocab.trimmed import load_trimmed

_HEADS: dict[str, Auto] = {
    "ForMaskedLM": "masked",
    "ForCausalLM": "causal",
    "LMHeadModel": "causal",
    "ForConditionalGeneration": "seq2seq",
    "ForTokenClassification": "tokens",
    "ForQuestionAnswering": "span",
    "ForSequenceClassification": "label",
}
"""By the end of a checkpoint's class name, how to load it with its head."""


_SHARE_FOR_COPIES = 0.25
"""Of the free memory, for a second copy of what deltas touch."""


@dataclass(frozen=True)
class Group:
    """Tensors of one name but for the numbers in it, such as `layers.*.attn.Wqkv.weight`.

    Attributes:
        name: with a star for each number.
        tensors: how many.
        entries: changed.
        size: of all entries.
        mean: of the absolute change where there is one.
    """

    name: str
    tensors: int
    entries: int
    size: int
    mean: float


def read_delta(path: str | Path) -> Delta:
    """A delta of ours (`.safetensors`) or a published one (`pytorch_diff.bin`, or its folder).

    Raises:
        CheckpointError: no such file, or neither.
    """
    path = Path(path)
    return load_published(path) if path.is_dir() or path.suffix == ".bin" else load_delta(path)


def groups(delta: Delta) -> list[Group]:
    """What a delta changes, the same place in all layers together."""
    together: dict[str, list[str]] = {}
    for name in delta.changes:
        together.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "*", name), []).append(name)
    return [_group(label, [delta.changes[name] for name in names]) for label, names in together.items()]


def _group(label: str, changes: Sequence[Any]) -> Group:
    entries = sum(change.indices.numel() for change in changes)
    size = 0
    for change in changes:
        product = 1
        for side in change.shape:
            product *= side
        size += product
    total = sum(float(change.values.abs().double().sum()) for change in changes)
    return Group(label, len(changes), entries, size, total / max(1, entries))


def add_deltas(paths: Sequence[Path], out: Path, *, heads_of: Path | None = None) -> list[Meeting]:
    """Write the sum of several deltas, and tell where they meet.

    Args:
        heads_of: of which to take tensors that replace the model's; None takes those of all, which must then
            not be of the same names.

    Raises:
        ModelError: they are of different models or vocabularies, or replace the same tensor.
    """
    deltas = [_bare_unless(path, heads_of) for path in paths]
    save_delta(out, add(deltas))
    return meetings(deltas)


def _bare_unless(path: Path, heads_of: Path | None) -> Delta:
    delta = read_delta(path)
    return delta if heads_of is None or path == heads_of else delta.without_dense()


def apply_deltas(model: str | Path, paths: Sequence[Path], out: Path) -> list[str]:
    """Write a model with deltas on its backbone; its own head stays, unless a delta's fits it.

    Args:
        model: folder or Hub id.

    Returns:
        Tensors that a delta would replace and the model does not have.

    Raises:
        ModelError: a delta was learnt on another model or vocabulary, or two replace the same tensor.
    """
    wearing, tokenizer = _with_its_head(model)
    parts = portions(wearing)
    delta = _fitting(paths, parts, tokenizer)
    if delta.about.get("heads") == "frozen":
        untie(wearing)  # as it was when the delta was learnt
    left = _unfitting_heads(delta, parts)
    dense = {name: value for name, value in delta.dense.items() if name not in left}
    apply(replace(delta, dense=dense), parts.all)
    if isinstance(wearing, TaskModel):
        save_task_model(wearing, tokenizer, out)
    else:
        save_model(wearing, tokenizer, out)
    return left


def _unfitting_heads(delta: Delta, parts: Portions) -> list[str]:
    """All heads of a delta, unless every one of them fits the model: one that fits by chance is another's."""
    heads = {name: tuple(value.shape) for name, value in delta.dense.items() if name not in parts.norms}
    own = {name: tuple(tensor.shape) for name, tensor in parts.heads.items()}
    return [] if heads.items() <= own.items() else list(heads)


def _with_its_head(model: str | Path) -> tuple[nn.Module, Any]:
    if (Path(model) / HEAD_FACTS).is_file():
        return load_task_model(model)
    names = load_config(model).architectures or [""]
    auto: Auto = next((head for end, head in _HEADS.items() if names[0].endswith(end)), "base")
    return load_model(model, auto), load_tokenizer(model)


def export_model(model: str | Path, paths: Sequence[Path], out: Path) -> None:
    """Write the task model that a delta was learnt as, whole: the base, the deltas, and their head.

    Args:
        model: the base that the deltas were learnt on; folder or Hub id.
        paths: deltas, of which one is a task's.

    Raises:
        ModelError: as `tuned_model`.
    """
    task, tokenizer = tuned_model(model, paths)
    save_task_model(task, tokenizer, out)


def tuned_model(model: str | Path, paths: Sequence[str | Path]) -> tuple[TaskModel, Any]:
    """The task model that a delta was learnt as, and its tokenizer: the base, the deltas, and their head.

    Args:
        model: the base that the deltas were learnt on; folder or Hub id.
        paths: deltas, of which one is a task's.

    Raises:
        ModelError: a delta was learnt on another model or vocabulary, or there is not one task's among them.
    """
    about = [delta.about for delta in map(read_delta, paths) if delta.about.get("kind", "text") != "text"]
    if len(about) != 1:
        raise ModelError(
            f"{len(about)} deltas of a task among {len(paths)}",
            wanted="exactly one; its head becomes the model's",
            fix="use `isogloss delta apply` to put deltas on a model that has its head already",
        )
    (facts,) = about
    task = build_task_model(
        facts["kind"],  # type: ignore[arg-type]
        model,
        labels=json.loads(facts["labels"]),
        pooling=facts["pooling"],  # type: ignore[arg-type]
        prompt=Prompt.model_validate_json(facts["prompt"]) if "prompt" in facts else None,
    )
    tokenizer = load_tokenizer(model)
    parts = portions(task)
    apply(_fitting(paths, parts, tokenizer), parts.all)
    return task, tokenizer


def task_wardrobe(
    model: str, task: Path, places: Mapping[str, str | Path | None]
) -> tuple[TaskModel, Wardrobe]:
    """The task model that a delta was learnt as, and the delta that each language adds to it.

    How LT-SFT transfers without examples: theta_0 + phi_task + phi_language (Ansell et al. 2022, arXiv
    2110.07560, section 3.2).

    Args:
        model: the base that all were learnt on; folder or Hub id.
        task: file of the task's delta.
        places: of each language's delta; None for a language without.

    Raises:
        CheckpointError: a delta that is not there, or damaged.
        ModelError: one was learnt on another model or vocabulary.
    """
    learnt = read_delta(task)
    dressed, _ = tuned_model(model, [task])
    deltas = {tag: None if place is None else read_delta(place) for tag, place in places.items()}
    worn = Wardrobe(portions(dressed).base, deltas, base=learnt.base, vocabulary=learnt.vocabulary)
    return dressed, worn


def _fitting(paths: Sequence[str | Path], parts: Portions, tokenizer: Any) -> Delta:
    """The sum of deltas, none of another model than this."""
    base, vocabulary = fingerprint(parts.base), vocabulary_fingerprint(tokenizer)
    deltas = [read_delta(path) for path in paths]
    for path, delta in zip(paths, deltas, strict=True):
        check_fits(delta, base=base, vocabulary=vocabulary, where=str(path))
    return add(deltas)


def wardrobe(
    model: nn.Module,
    tokenizer: Any,
    places: Mapping[str, str | Path | None],
    *,
    copies: bool | None = None,
) -> Wardrobe:
    """A model's backbone and a delta for each language; it is bare when this returns.

    Heads stay as they are. An output layer that shares the embedding's table is given a copy of it where
    a delta was learnt so, and else moves along.

    Args:
        model: bare, as the deltas were learnt on it.
        places: of each language's delta, ours or a published one; None for a language without.
        copies: hold each dressed tensor once more for each language, and change in no time; None does where
            these take a quarter of the free memory at most, for what is trained beside it needs some too.

    Raises:
        CheckpointError: a delta that is not there, or damaged.
        ModelError: one was learnt on another model or vocabulary.
    """
    deltas = {tag: None if place is None else read_delta(place) for tag, place in places.items()}
    if any(delta and delta.about.get("heads") == "frozen" for delta in deltas.values()):
        untie(model)
    base = portions(model).base
    return Wardrobe(
        base,
        deltas,
        copies=_roomy(bytes_of_copies(base, deltas)) if copies is None else copies,
        base=fingerprint(base),
        vocabulary=vocabulary_fingerprint(tokenizer),
    )


def _roomy(size: int) -> bool:
    """Whether so many bytes are few of those that are free, here and on the GPU where there is one."""
    free = [free_memory() or 0]
    if torch.cuda.is_available():
        free.append(torch.cuda.mem_get_info()[0])
    return size * process_count() <= _SHARE_FOR_COPIES * min(free)


def carry_delta(
    path: Path,
    *,
    large: str,
    small: Path,
    out: Path,
    vocabulary: Path | None = None,
    layers: str | None = None,
) -> Losses:
    """Write a delta for a trimmed, shallower model, and tell what was lost.

    Args:
        path: a delta learnt on the larger model.
        large: the larger model; its configuration is read, not its weights.
        small: folder of the smaller model, as the carried delta shall find it.
        vocabulary: folder of the trimmed vocabulary (`vocabulary/` of a run); None for what the folder of a
            student says of its origin, or, where it says nothing, for all rows.
        layers: which layers stayed, as a recipe says it (`every-2nd`) or as numbers (`1,3,5`); None likewise.

    Raises:
        ModelError: the smaller model does not have these rows or layers, or is of another width.
    """
    config = load_config(large)
    model = load_task_model(small)[0] if (small / HEAD_FACTS).is_file() else load_model(small, "base")
    origin = read_origin(small) or Origin(tuple(range(config.num_hidden_layers)), None, "")
    kept = origin.kept if vocabulary is None else load_trimmed(vocabulary).kept
    stayed = origin.layers if layers is None else layer_map(config.num_hidden_layers, _rule(layers))
    parts = portions(model)
    carried, losses = carry(
        read_delta(path),
        origins(model, config, kept=kept, layers=stayed),
        base=fingerprint(parts.base),
        vocabulary=vocabulary_fingerprint(load_tokenizer(small)),
    )
    save_delta(out, carried)
    return losses


def _rule(layers: str) -> str | tuple[int, ...]:
    numbers = layers.split(",")
    return tuple(map(int, numbers)) if all(n.strip().isdigit() for n in numbers) else layers
