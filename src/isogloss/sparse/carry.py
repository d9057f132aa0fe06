"""A delta for a smaller model that was made from the one the delta was learnt on.

A trimmed vocabulary keeps some rows of the embedding, a shallower model some layers (BiStil slices the
published language deltas so, to dress its trimmed teacher). Entries whose row or layer is gone are lost; how
many, and how much of the movement was in them, is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Integer
from torch import Tensor

from isogloss.core.errors import ModelError
from isogloss.sparse.delta import Change, Delta


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a tensor of the smaller model comes from.

    Attributes:
        name: of the tensor in the larger model.
        shape: of the tensor in the smaller model.
        rows: for each of its rows, the row of the larger model's tensor it was, or -1 for a new one; None
            where all rows stayed.
        changed: whether the smaller model's tensor was computed from the larger one's, so that what is added
            to it means something else there.
    """

    name: str
    shape: tuple[int, ...]
    rows: Integer[Tensor, " rows"] | None = None
    changed: bool = False


@dataclass(frozen=True)
class Fate:
    """What became of the entries of one tensor, and of the sum of their squares.

    Attributes:
        name: of the tensor in the larger model.
        entries: in all.
        carried: that found a place.
        why: they did not: "its rows are trimmed", "its layer is dropped"; "" when all did.
        mass: sum of squared values of all.
        kept: of those carried.
    """

    name: str
    entries: int
    carried: int
    why: str
    mass: float
    kept: float


@dataclass(frozen=True)
class Losses:
    """What was lost on the way.

    Attributes:
        fates: one for each tensor of the delta.
        dense: tensors that replace the model's and have no place in the smaller one.
        changed: tensors of the smaller model which were computed from the larger one's, and so are met by a
            change that was not made for them.
    """

    fates: tuple[Fate, ...]
    dense: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def entries(self) -> int:
        """Entries lost."""
        return sum(fate.entries - fate.carried for fate in self.fates)

    @property
    def carried(self) -> int:
        """Entries that found a place."""
        return sum(fate.carried for fate in self.fates)

    @property
    def movement_kept(self) -> float:
        """Of the length of the delta as a vector, the share that was carried, from 0 to 1."""
        mass = sum(fate.mass for fate in self.fates)
        return (sum(fate.kept for fate in self.fates) / mass) ** 0.5 if mass else 1.0


def carry(
    delta: Delta,
    origins: Mapping[str, Origin],
    *,
    base: str | None,
    vocabulary: str | None,
    dense: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[Delta, Losses]:
    """The delta for the smaller model, and what was lost.

    Args:
        origins: for each tensor of the smaller model that a delta may change, where it comes from.
        base, vocabulary: the smaller model's fingerprints.
        dense: names and shapes of tensors of the smaller model that may be replaced; None takes over all.

    Raises:
        ModelError: a tensor of the delta is wider than the smaller model's, other than by rows.
    """
    changes: dict[str, Change] = {}
    found: dict[str, Change] = {}
    for name, origin in origins.items():
        if (change := delta.changes.get(origin.name)) is not None:
            changes[name] = found[origin.name] = _moved(name, change, origin)
    kept, lost = _dense(delta, dense)
    losses = Losses(
        fates=tuple(_fate(name, change, found.get(name)) for name, change in delta.changes.items()),
        dense=lost,
        changed=tuple(name for name, origin in origins.items() if origin.changed and name in changes),
    )
    return Delta(changes, kept, base, vocabulary, delta.about), losses


def _moved(name: str, change: Change, origin: Origin) -> Change:
    if change.shape[1:] != origin.shape[1:] or (origin.rows is None and change.shape != origin.shape):
        raise ModelError(
            f"{name} is {list(origin.shape)} in the smaller model and {list(change.shape)} in the delta's",
            wanted="a model with some of its rows and layers, and nothing else changed",
            fix="a delta cannot be carried to another width; tune the smaller model sparsely instead",
        )
    if origin.rows is None:
        return change
    width = torch.Size(change.shape[1:]).numel()
    new_row = torch.full((change.shape[0],), -1, dtype=torch.int64)
    old = origin.rows.long()
    new_row[old[old >= 0]] = torch.arange(len(old))[old >= 0]
    flat = change.indices.long()
    rows = new_row[flat // width]
    stays = rows >= 0
    places = rows[stays] * width + flat[stays] % width
    order = places.argsort()
    indices = places[order].to(change.indices.dtype)
    return Change(origin.shape, indices, change.values[stays][order])


def _fate(name: str, change: Change, carried: Change | None) -> Fate:
    entries, arrived = change.indices.numel(), 0 if carried is None else carried.indices.numel()
    if carried is None:
        why = "its layer or tensor is not in the smaller model"
    else:
        why = "its row is not in the smaller vocabulary" if arrived < entries else ""
    kept = 0.0 if carried is None else _mass(carried)
    return Fate(name, entries, arrived, why, _mass(change), kept)


def _mass(change: Change) -> float:
    return float(change.values.double().square().sum())


def _dense(
    delta: Delta, places: Mapping[str, tuple[int, ...]] | None
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    kept = {
        name: value
        for name, value in delta.dense.items()
        if places is None or places.get(name) == tuple(value.shape)
    }
    return kept, tuple(name for name in delta.dense if name not in kept)
