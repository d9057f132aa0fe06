"""Which numbers to compute in: float32, or bfloat16 under autocast over float32 weights."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from isogloss.training.plan import Precision


def resolve(precision: Precision, device: torch.device) -> Precision:
    """`auto` decided for a device: bf16 where the hardware multiplies in it, else fp32."""
    if precision != "auto":
        return precision
    return "bf16" if computes_bf16(device) else "fp32"


def computes_bf16(device: torch.device) -> bool:
    """Whether a device multiplies matrices in bfloat16 itself; a slow emulation does not count."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # Not plain avx512, where oneDNN emulates bf16 and is slower than in fp32.
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return False


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """The context for a forward pass; `precision` as `resolve` gave it.

    torch's own rather than accelerate's: accelerate keeps one precision for the whole process, while the
    phases of a run may differ.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
