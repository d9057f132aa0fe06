"""Deltas in files: safetensors, with the fingerprints in the header.

indices.<name>   flat positions, rising
values.<name>    float32, what is added there
dense.<name>     a tensor that replaces the model's
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isogloss.core.errors import CheckpointError
from isogloss.core.files import write_bytes
from isogloss.sparse.delta import Change, Delta, check_fits

FORMAT = "isogloss-delta-1"


def save_delta(path: Path, delta: Delta) -> None:
    """Write a delta; the file appears whole or not at all.

    Raises:
        StorageError: the disk refused.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    for name, change in delta.changes.items():
        tensors[f"indices.{name}"] = change.indices.cpu().contiguous()
        tensors[f"values.{name}"] = change.values.cpu().contiguous()
    tensors |= {f"dense.{name}": value.detach().cpu().clone() for name, value in delta.dense.items()}
    header = {
        "format": FORMAT,
        "base": delta.base or "",
        "vocabulary": delta.vocabulary or "",
        "shapes": json.dumps({name: list(change.shape) for name, change in delta.changes.items()}),
        "about": json.dumps(dict(delta.about), ensure_ascii=False),
    }
    write_bytes(path, save(tensors, metadata=header))


def load_delta(path: Path, *, base: str | None = None, vocabulary: str | None = None) -> Delta:
    """Read a delta that `save_delta` wrote.

    Args:
        base, vocabulary: fingerprints of the model it is for; None to take any.

    Raises:
        CheckpointError: no such file, or not a delta, or a damaged one.
        ModelError: it was learnt on another model or vocabulary.
    """
    header, tensors = _read(path)
    try:
        shapes = {name: tuple(shape) for name, shape in json.loads(header["shapes"]).items()}
        changes = {
            name: _checked(shape, tensors[f"indices.{name}"], tensors[f"values.{name}"], name)
            for name, shape in shapes.items()
        }
        about: dict[str, str] = json.loads(header["about"])
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise _damaged(path, str(error)) from error
    delta = Delta(
        changes=changes,
        dense={
            name.removeprefix("dense."): value for name, value in tensors.items() if name.startswith("dense.")
        },
        base=header.get("base") or None,
        vocabulary=header.get("vocabulary") or None,
        about=about,
    )
    check_fits(delta, base=base, vocabulary=vocabulary, where=str(path))
    return delta


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(
            "no such file",
            wanted="a delta, such as deltas/ner.safetensors of a run folder",
            fix="check the path",
            where=str(path),
        )
    try:
        with safe_open(path, framework="pt") as opened:
            header: dict[str, Any] = opened.metadata() or {}
            if header.get("format") != FORMAT:
                raise _damaged(path, f"its format is {header.get('format', 'not said')}")
            return header, {name: opened.get_tensor(name) for name in opened.keys()}
    except SafetensorError as error:
        raise _damaged(path, str(error).splitlines()[0]) from error


def _checked(shape: tuple[int, ...], indices: Tensor, values: Tensor, name: str) -> Change:
    """A file may come from anywhere, and an index out of range would write where it must not."""
    size = torch.Size(shape).numel()
    if indices.ndim != 1 or indices.shape != values.shape or indices.is_floating_point():
        raise ValueError(f"{name}: {list(indices.shape)} indices for {list(values.shape)} values")
    if len(indices) and (
        int(indices[0]) < 0 or int(indices[-1]) >= size or bool((indices.diff() <= 0).any())
    ):
        raise ValueError(f"{name}: positions that do not rise from 0 to {size - 1}")
    return Change(shape, indices, values.float())


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"not a delta, or a damaged one: {why}",
        wanted=f"a safetensors file of format {FORMAT}",
        fix="copy it again from where it was saved; a published pytorch_diff.bin is read too, by that name",
        where=str(path),
    )
