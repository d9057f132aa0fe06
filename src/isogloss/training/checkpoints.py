"""Checkpoints: sealed folders from which training goes on as if it had never stopped.

    checkpoints/phase1-2000/
      weights.safetensors      every parameter and buffer once; tied ones under their first name
      optimiser.safetensors    the optimiser's tensors, `exp_avg.<parameter>` and so on
      state.json               step, best so far, hooks, and the names of the optimiser's parameters
      manifest.json            checksums

No pickle. A new checkpoint is whole before an older one is removed.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from isogloss.core.errors import CheckpointError
from isogloss.core.files import check_folder, disk_errors, remove_leftovers, whole_folder, write_json

WEIGHTS, OPTIMISER, STATE = "weights.safetensors", "optimiser.safetensors", "state.json"


def checkpoint_path(folder: Path, phase: str, step: int) -> Path:
    """Where the checkpoint of a phase after `step` optimiser steps lies."""
    return folder / f"{phase}-{step}"


def steps_saved(folder: Path, phase: str) -> list[int]:
    """The steps a phase has checkpoints of, in order."""
    named = (path.name.rpartition("-") for path in folder.glob(f"{phase}-*") if path.is_dir())
    return sorted(int(step) for name, _, step in named if name == phase and step.isdigit())


def save(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: Mapping[str, Any],
    *,
    writes: bool = True,
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: its folder; the name is free once the block is whole.
        optimiser: its groups carry "names" (see `training.optimiser`).
        state: what else the loop and its hooks need, as JSON.
        writes: False on all processes but one. They must call too: sharded tensors are gathered.

    Raises:
        StorageError: the disk refused; what was saved before is untouched.
    """
    weights = {name: _whole(tensor) for name, tensor in _distinct(model).items()}
    tensors = {key: _whole(tensor) for key, tensor in _optimiser_tensors(optimiser)}
    if not writes:
        return
    with whole_folder(path) as temporary:
        save_file(weights, temporary / WEIGHTS)
        save_file(tensors, temporary / OPTIMISER)
        write_json(temporary / STATE, {**state, "optimised": _names(optimiser)})


def load(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Put a checkpoint into a model and an optimiser made as those it was saved from; returns the state.

    Raises:
        CheckpointError: damaged (any byte of any file), or of a model with other parameters.
    """
    load_weights(path, model)
    state: dict[str, Any] = json.loads((path / STATE).read_text(encoding="utf-8"))
    if state.pop("optimised") != _names(optimiser):
        raise _of_another_model(path, "its optimiser trained other parameters")
    tensors = load_file(path / OPTIMISER)
    saved = optimiser.state_dict()
    saved["state"] = {
        index: _state_of(name, parameter, tensors)
        for index, (name, parameter) in enumerate(_named_parameters(optimiser))
        if f"step.{name}" in tensors
    }
    optimiser.load_state_dict(saved)
    return state


def load_weights(path: Path, model: nn.Module) -> None:
    """Put a checkpoint's weights into a model, leaving the rest of the checkpoint alone.

    Raises:
        CheckpointError: damaged or absent, or of a model with other parameters or shapes.
    """
    if not path.is_dir():
        raise CheckpointError(
            f"the checkpoint {path.name} is gone, but a later one says that it holds the best weights",
            fix=f"put it back, or delete the later ones under {path.parent} and run the same command again",
            where=str(path),
        )
    check_folder(path)
    weights = load_file(path / WEIGHTS)
    own = _distinct(model)
    wrong = [name for name in own.keys() | weights.keys() if _shape(own, name) != _shape(weights, name)]
    if wrong:
        raise _of_another_model(path, f"{len(wrong)} of its tensors do not fit, {min(wrong)} among them")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(_like(tensor, weights[name]))


def prune(folder: Path, phase: str, *, keep: int, best: int | None, milestones: Collection[int] = ()) -> None:
    """Remove all but the newest `keep` checkpoints of a phase, the one of step `best` and the milestones'."""
    for step in steps_saved(folder, phase)[:-keep]:
        if step != best and step not in milestones:
            remove(checkpoint_path(folder, phase, step))


def remove(path: Path) -> None:
    """Remove a checkpoint. It loses its name first, so that a kill leaves none with half its files."""
    with disk_errors(path):
        gone = path.rename(path.with_name(f"{path.name}.tmp-gone-{uuid.uuid4().hex[:8]}"))
        shutil.rmtree(gone, ignore_errors=True)


def forget(folder: Path, phase: str) -> None:
    """Remove every checkpoint of a phase, once its result is saved elsewhere."""
    for step in steps_saved(folder, phase):
        remove(checkpoint_path(folder, phase, step))


def sweep(folder: Path) -> None:
    """Clear what a killed process left half-written."""
    remove_leftovers(folder)


def _distinct(model: nn.Module) -> dict[str, Tensor]:
    """The model's state with each tensor once: of tied parameters the first name stays."""
    state = model.state_dict(keep_vars=True)
    first = {id(tensor): name for name, tensor in reversed(state.items()) if isinstance(tensor, Tensor)}
    return {name: tensor for name, tensor in state.items() if first.get(id(tensor)) == name}


def _named_parameters(optimiser: torch.optim.Optimizer) -> Iterator[tuple[str, nn.Parameter]]:
    for group in optimiser.param_groups:
        yield from zip(group["names"], group["params"], strict=True)


def _names(optimiser: torch.optim.Optimizer) -> list[str]:
    return [name for name, _ in _named_parameters(optimiser)]


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """A parameter that never had a gradient has no state, and gets none when loaded."""
    for name, parameter in _named_parameters(optimiser):
        for field, tensor in optimiser.state.get(parameter, {}).items():
            yield f"{field}.{name}", tensor


def _state_of(name: str, parameter: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    fields = {key.partition(".")[0] for key in tensors if key.partition(".")[2] == name}
    return {field: _like(parameter, tensors[f"{field}.{name}"]) for field in sorted(fields)}


def _whole(tensor: Tensor) -> Tensor:
    """A tensor as safetensors takes it: gathered, on the CPU, contiguous, in storage of its own."""
    full = tensor.detach()
    if isinstance(full, DTensor):
        full = full.full_tensor()
    full = full.cpu().contiguous()
    alone = full.untyped_storage().nbytes() == full.numel() * full.element_size()
    return full if alone else full.clone()


def _like(model_tensor: Tensor, saved: Tensor) -> Tensor:
    """A saved tensor sharded and laid out as one of the model's; scalars such as `step` stay as they are.

    The layout matters: AdamW's fused kernel walks a parameter and its moments in the order of memory, so
    they must have the same strides.
    """
    if isinstance(model_tensor, DTensor):
        return distribute_tensor(
            saved.to(model_tensor.device), model_tensor.device_mesh, model_tensor.placements
        )
    if saved.shape != model_tensor.shape:
        return saved
    return torch.empty_like(model_tensor, dtype=saved.dtype).copy_(saved)


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None


def _of_another_model(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint is of another model: {why}",
        wanted="a checkpoint of the model that this recipe builds",
        fix="choose another folder with --out, or delete this checkpoint",
        where=str(path),
    )
