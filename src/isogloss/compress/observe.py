"""What goes into and out of chosen modules on calibration text."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from isogloss.core.errors import DataError
from isogloss.models.modes import evaluating

Batch: TypeAlias = Mapping[str, Tensor]
Reader: TypeAlias = Callable[[Tensor], None]
"""Takes the states of all real tokens of a batch, [tokens, size]."""


@torch.no_grad()
def observe(
    model: Any,
    batches: Iterable[Batch],
    *,
    inputs: Mapping[nn.Module, Reader] | None = None,
    outputs: Mapping[nn.Module, Reader] | None = None,
) -> None:
    """Run a model over batches; what enters and leaves the given modules goes to their readers.

    Padding is left out; the mode of the model is put back.

    Args:
        batches: `input_ids` and `attention_mask`, each [batch length]; other entries are ignored.
        inputs: by module, who reads its first argument.
        outputs: by module, who reads what it returns.

    Raises:
        DataError: there is no batch.
    """
    count = 0
    real = torch.zeros(0)
    with evaluating(model), contextlib.ExitStack() as stack:
        for module, read in (inputs or {}).items():
            hook = module.register_forward_pre_hook(lambda _, given, read=read: read(given[0][real]))
            stack.callback(hook.remove)
        for module, read in (outputs or {}).items():
            hook = module.register_forward_hook(lambda _, given, made, read=read: read(made[real]))
            stack.callback(hook.remove)
        for batch in batches:
            given = {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")}
            real = given["attention_mask"] != 0
            model(**given)
            count += 1
    if not count:
        raise DataError(
            "no calibration text",
            wanted="at least one batch to see which parts of the model are used",
            fix="give a corpus with text in it",
        )
