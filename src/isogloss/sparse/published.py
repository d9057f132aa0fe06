"""The deltas that the authors of LT-SFT published: `pytorch_diff.bin` of composable-sft.

A pickle of two mappings: `diffs`, what is added, and `abs`, tensors that replace the model's. A sparse tensor
is {size, index_steps, values}, where index_steps are the differences between rising flat positions, the
first coordinate running fastest. It says nothing of the model it was learnt on.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from isogloss.core.errors import CheckpointError
from isogloss.sparse.delta import Change, Delta

FILE_NAME = "pytorch_diff.bin"


def load_published(path: Path, *, prefix: str | None = None) -> Delta:
    """Read a published delta; nothing in the file is run (`weights_only`).

    Args:
        path: the file, or the folder that holds it under its usual name.
        prefix: what the names of the base model's tensors begin with, such as `bert.`; it is taken off. None
            takes the first word that all names of `diffs` share.

    Returns:
        A delta of unknown base and vocabulary.

    Raises:
        CheckpointError: no such file, or not one of these.
    """
    path = path / FILE_NAME if path.is_dir() else path
    parts = _unpickled(path)
    try:
        diffs, whole = dict(parts["diffs"]), dict(parts.get("abs", {}))
        begin = _shared_prefix(list(diffs)) if prefix is None else prefix
        changes = {name.removeprefix(begin): _change(diff) for name, diff in diffs.items()}
        dense = {name.removeprefix(begin): _tensor(value) for name, value in whole.items()}
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _foreign(path, f"{type(error).__name__}: {error}") from error
    return Delta(changes, dense, about={"source": path.name})


def _unpickled(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise CheckpointError(
            "no such file", wanted=f"{FILE_NAME} of a published delta", fix="check the path", where=str(path)
        )
    try:
        with torch.serialization.safe_globals(_numbers()):
            parts = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise _foreign(path, str(error).splitlines()[0]) from error
    if not isinstance(parts, dict) or "diffs" not in parts:
        raise _foreign(path, "no `diffs` in it; files older than composable-sft's first release are not read")
    return parts


def _numbers() -> list[Any]:
    """numpy's own integers: the first step of each list was written as one. They can do no harm."""
    scalar: Any = np.core.multiarray.scalar if np.__version__ < "2" else np._core.multiarray.scalar  # type: ignore[attr-defined]
    spellings = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    return [
        *((scalar, name) for name in spellings),
        np.dtype,
        type(np.dtype(np.int64)),
        type(np.dtype(np.int32)),
    ]


def _shared_prefix(names: Sequence[str]) -> str:
    first = {name.partition(".")[0] for name in names}
    return f"{first.pop()}." if len(first) == 1 else ""


def _change(diff: Any) -> Change:
    if isinstance(diff, Tensor):  # written whole
        shape, flat = tuple(diff.shape), diff.to_dense().reshape(-1).float()
        indices = flat.nonzero().squeeze(-1)
        return Change(shape, _narrow(indices, flat.numel()), flat[indices])
    shape = tuple(int(side) for side in diff["size"])
    size = int(np.prod(shape, dtype=np.int64))
    steps, values = np.asarray(diff["index_steps"], dtype=np.int64), diff["values"].float()
    column_major = np.cumsum(steps)
    _check_positions(steps, column_major, size=size, values=len(values))
    positions = np.ravel_multi_index(np.unravel_index(column_major, shape, order="F"), shape)
    order = np.argsort(positions)
    indices = torch.from_numpy(positions[order].astype(np.int64))
    return Change(shape, _narrow(indices, size), values[torch.from_numpy(order)])


def _check_positions(
    steps: npt.NDArray[np.int64], positions: npt.NDArray[np.int64], *, size: int, values: int
) -> None:
    if len(steps) != values:
        raise ValueError(f"{len(steps)} positions for {values} values")
    if len(steps) and (steps[0] < 0 or (steps[1:] < 1).any() or positions[-1] >= size):
        raise ValueError(f"positions that do not rise from 0 to {size - 1}")


def _narrow(indices: Tensor, size: int) -> Tensor:
    return indices.to(torch.int32) if size < 2**31 else indices


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.to_dense()
    change = _change(value)
    flat = torch.zeros(torch.Size(change.shape).numel())
    return flat.index_copy_(0, change.indices.long(), change.values).view(change.shape)


def _foreign(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"not a delta as composable-sft writes it: {why}",
        wanted="a mapping with `diffs` and `abs`",
        fix=f"give the {FILE_NAME} of a published delta, or a .safetensors that isogloss wrote",
        where=str(path),
    )
