"""A delta: what a sparse fine-tuning changed, to be put on a model, taken off again, and passed on.

    theta = theta_0 + phi

phi has few entries that are not zero; it is kept as their places and float32 values. Tensors that were
tuned whole (the head of a task, perhaps the normalisations) are kept as they became, and take the place of
the model's own. After Ansell et al. 2022 (LT-SFT, arXiv 2110.07560); their code takes a delta off by
subtracting it, which leaves a rounding error behind each time. Ours keeps what it overwrote and puts that
back: to the bit, in any precision, however often.

A model is a mapping from names to tensors here; `isogloss.models.portions` makes one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float32, Integer, Shaped
from torch import Tensor

from isogloss.core.errors import ModelError

_SHOWN = 12  # digits of a fingerprint in messages


@dataclass(frozen=True, eq=False)
class Change:
    """What is added to one tensor.

    Attributes:
        shape: of the tensor.
        indices: flat positions, rising, none twice.
        values: what is added there.
    """

    shape: tuple[int, ...]
    indices: Integer[Tensor, " entries"]
    values: Float32[Tensor, " entries"]


@dataclass(frozen=True, eq=False)
class Delta:
    """A sparse fine-tuning.

    Attributes:
        changes: by name of the tensor.
        dense: tensors that replace the model's, by name.
        base: fingerprint of the model it was learnt on (`fingerprint`); None if unknown.
        vocabulary: fingerprint of that model's tokenizer; None if unknown.
        about: facts for its reader, such as the task.
    """

    changes: Mapping[str, Change]
    dense: Mapping[str, Tensor] = field(default_factory=dict)
    base: str | None = None
    vocabulary: str | None = None
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def entries(self) -> int:
        """How many entries it adds to."""
        return sum(change.indices.numel() for change in self.changes.values())

    def to(self, device: torch.device | str) -> Delta:
        """The same on a device; itself where it is there already."""
        device = torch.device(device)
        if all(tensor.device == device for tensor in self._tensors()):
            return self
        changes = {
            name: replace(change, indices=change.indices.to(device), values=change.values.to(device))
            for name, change in self.changes.items()
        }
        return replace(
            self, changes=changes, dense={name: value.to(device) for name, value in self.dense.items()}
        )

    def _tensors(self) -> Iterator[Tensor]:
        for change in self.changes.values():
            yield from (change.indices, change.values)
        yield from self.dense.values()

    def without_dense(self) -> Delta:
        """The changes alone: what a language's delta lends to a task's model, which has a head of its own."""
        return replace(self, dense={})


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes and values in float32; the order of the mapping does not count.

    Weights stored in bf16 or fp16 and loaded in float32 have one fingerprint either way; the float32 weights
    they were rounded from have another.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        digest.update(f"{name} {list(tensor.shape)}\n".encode())
        digest.update(tensor.float().contiguous().cpu().numpy().data)
    return digest.hexdigest()


def check_fits(delta: Delta, *, base: str | None, vocabulary: str | None, where: str | None = None) -> None:
    """Refuse a delta of another model or vocabulary.

    Args:
        base, vocabulary: fingerprints of the model at hand; None, like an unknown one of the delta, is not
            compared.
        where: the delta's file, for the message.

    Raises:
        ModelError: a fingerprint differs; the message has both.
    """
    for what, learnt_on, given in (
        ("vocabulary", delta.vocabulary, vocabulary),
        ("model", delta.base, base),
    ):
        if learnt_on is not None and given is not None and learnt_on != given:
            raise ModelError(
                f"a delta learnt on another {what}: {learnt_on[:_SHOWN]}…, and this one is {given[:_SHOWN]}…",
                wanted=f"the {what} it was learnt on, unchanged; one value that differs is another {what}",
                fix="give that model; for a trimmed or shallower one made from it, "
                "`isogloss delta carry` makes a delta that fits",
                where=where,
            )


@dataclass(eq=False)
class Applied:
    """A delta that a model wears; `revert` takes it off, wherever the model was moved to since.

    Of several on one model the last one goes first, for each keeps what it found.
    """

    _overwritten: list[tuple[Tensor, Tensor | None, Tensor]]
    _on: bool = True

    @torch.no_grad()
    def revert(self) -> None:
        """Put back every value that was overwritten, to the bit; a second time does nothing."""
        if not self._on:
            return
        self._on = False
        for tensor, indices, values in reversed(self._overwritten):
            if indices is None:
                tensor.copy_(values)
            else:
                _flat(tensor).index_copy_(0, indices.to(tensor.device).long(), values.to(tensor))
        self._overwritten.clear()


@torch.no_grad()
def apply(delta: Delta, tensors: Mapping[str, Tensor]) -> Applied:
    """Put a delta on a model, in place. Whether it was learnt on this model is for `check_fits` to say.

    Sums are made in float32 and rounded once, to the tensor's own precision.

    Args:
        tensors: the model's, by the delta's names; contiguous, of any floating type, on any device.

    Raises:
        ModelError: a tensor is absent or of another shape; nothing was changed then.
    """
    check_tensors(delta, tensors)
    applied = Applied([])
    for name, change in delta.changes.items():
        tensor = tensors[name]
        indices = change.indices.to(tensor.device)
        before = _flat(tensor).index_select(0, indices)
        after = (before.float() + change.values.to(tensor.device)).to(tensor.dtype)
        _flat(tensor).index_copy_(0, indices.long(), after)
        applied._overwritten.append((tensor, indices, before))
    for name, value in delta.dense.items():
        tensor = tensors[name]
        applied._overwritten.append((tensor, None, tensor.detach().clone()))
        tensor.copy_(value)
    return applied


def _flat(tensor: Tensor) -> Shaped[Tensor, " entries"]:
    """The tensor in one dimension, over the same memory."""
    return tensor.detach().view(-1)


def check_tensors(delta: Delta, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a delta that changes tensors which a model does not have.

    Raises:
        ModelError: a tensor is absent or of another shape.
    """
    wanted = {name: change.shape for name, change in delta.changes.items()}
    wanted |= {name: tuple(tensor.shape) for name, tensor in delta.dense.items()}
    for name, shape in wanted.items():
        if name not in tensors:
            raise ModelError(
                f"the delta changes {name}, which the model does not have",
                wanted="a model of the architecture it was learnt on, with the same head",
                fix="leave the heads out, or carry the delta onto this model" if name in delta.dense else "",
            )
        if tuple(tensors[name].shape) != shape:
            raise ModelError(
                f"the delta's {name} is {list(shape)}, the model's {list(tensors[name].shape)}",
                wanted="the model it was learnt on",
                fix="`isogloss delta carry` makes a delta for a trimmed or shallower model",
            )
