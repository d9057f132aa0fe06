"""How many bytes a model's weights take in each precision, by arithmetic on shapes."""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import nn

Storage: TypeAlias = Literal["fp32", "bf16", "int8"]
STORAGES: tuple[Storage, ...] = ("fp32", "bf16", "int8")
_BYTES: dict[Storage, int] = {"fp32": 4, "bf16": 2, "int8": 1}
_ROW = 5  # a float32 scale and an int8 zero point
_ENTRY = 110  # of a safetensors header besides the name: type, shape and offsets, generously


def stored_bytes(model: nn.Module, storage: Storage) -> int:
    """Bytes of the weights, tied ones once; the model may be on the meta device.

    Args:
        storage: `fp32`; `bf16`, two bytes each (fp16 takes the same); `int8`: one byte for each entry of
            matrices and embeddings and a scale and zero point for each of their rows, everything else in
            float32. Quantisers that share a scale among rows write a little less.
    """
    return sum(_stored(parameter, storage) for parameter in model.parameters())


def _stored(parameter: nn.Parameter, storage: Storage) -> int:
    if storage != "int8":
        return parameter.numel() * _BYTES[storage]
    if parameter.ndim < 2:
        return parameter.numel() * _BYTES["fp32"]
    return parameter.numel() + parameter.shape[0] * _ROW


def header_bytes(model: nn.Module) -> int:
    """At most this much of a safetensors file is not weights."""
    return 128 + sum(len(name) + _ENTRY for name, _ in model.named_parameters())
