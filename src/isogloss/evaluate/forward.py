"""One forward pass of a model as a call, for those who measure it. One function for each runtime."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from isogloss.core.seeds import generator
from isogloss.models.anatomy import anatomy
from isogloss.models.tasks import TaskModel

Precision: TypeAlias = Literal["fp32", "bf16"]
PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
Forward: TypeAlias = Callable[[Int[Tensor, "batch length"]], Any]


class Runtime(Protocol):
    """Makes a model ready in a precision; with `head`, up to its scores, else up to its hidden states."""

    def __call__(self, model: Any, *, precision: Precision, head: bool) -> Forward:
        """From token ids to the pass that is timed; the model may be changed in place."""
        ...


def torch_runtime(model: Any, *, precision: Precision, head: bool) -> Forward:
    """A pass in PyTorch without gradients, weights and activations in one precision.

    The model is changed to that precision in place: a copy would double the memory.

    Args:
        model: a transformers model or a `TaskModel`.
        head: run the model's own head too; of an encoder-decoder also the decoder, on as many tokens. False:
            the backbone alone, of an encoder-decoder the encoder, so that models with different heads can
            be compared.
    """
    model = (_whole(model) if head else _backbone(model)).to(PRECISIONS[precision]).eval()

    def forward(rows: Int[Tensor, "batch length"]) -> Any:
        with torch.inference_mode():
            if isinstance(model, TaskModel):
                return model(_task_batch(rows))
            return model(**_inputs(model, rows))

    return forward


RUNTIMES: dict[str, Runtime] = {"torch": torch_runtime}


def _whole(model: Any) -> Any:
    """A task model with a stock head is its transformers model."""
    return model.model if isinstance(model, TaskModel) and model.head is None else model


def _backbone(model: Any) -> Any:
    base = anatomy(model).base
    if anatomy(base).decoder_layers is not None:
        return base.get_encoder()
    if getattr(base, "pooler", None) is not None:
        base = copy.copy(base)
        base._modules = {**base._modules, "pooler": None}
    return base


def _inputs(model: Any, rows: Tensor) -> dict[str, Any]:
    known = inspect.signature(model.forward).parameters
    inputs: dict[str, Any] = {"input_ids": rows, "attention_mask": torch.ones_like(rows)}
    if "decoder_input_ids" in known:
        inputs["decoder_input_ids"] = rows
    if "use_cache" in known:
        inputs["use_cache"] = False
    return inputs


def _task_batch(rows: Tensor) -> dict[str, Tensor]:
    """Every token a word for a parser, every row a choice by itself."""
    batch, length = rows.shape
    return {
        "input_ids": rows,
        "attention_mask": torch.ones_like(rows),
        "words": torch.arange(batch * length).reshape(batch, length),
        "group": torch.arange(batch),
    }


def random_rows(model: Any, *, batch: int, length: int, seed: int = 0) -> Int[Tensor, "batch length"]:
    """Rows without padding: ids drawn from the vocabulary without special ones, the end token last.

    Which pieces they are makes no difference to a dense model's work.
    """
    parts = anatomy(model)
    special = {
        index
        for key, value in parts.config.to_dict().items()
        if key.endswith("_token_id") and value is not None
        for index in (value if isinstance(value, list) else [value])
    }
    allowed = torch.tensor(sorted(set(range(parts.embedding.num_embeddings)) - special))
    drawn = generator(seed, "rows", batch, length).integers(len(allowed), size=(batch, length))
    rows = allowed[torch.from_numpy(drawn)]
    end = parts.config.eos_token_id
    if isinstance(end, int) and end < parts.embedding.num_embeddings:
        rows[:, -1] = end
    return rows


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """torch computes with so many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
