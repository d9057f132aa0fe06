"""Run a model and read the hidden states and attention maps of chosen layers, alike for every family.

transformers' own `output_hidden_states` gives all layers, and its last entry is the output of the last layer
in BERT but the final norm of it in ModernBERT, GPT-2, Llama and T5. Here, for every family:

- state 0 is what enters layer 0 (embeddings after their norm, scaling and dropout);
- state i is what leaves layer i - 1 and enters layer i;
- state n, of n layers, is what leaves the last layer, **before** any final norm.

So state (i + 1) of a student belongs to state (j + 1) of a teacher whose layer j it was copied from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from isogloss.core.errors import ModelError
from isogloss.models.anatomy import Anatomy, anatomy


@dataclass(frozen=True)
class Outputs:
    """What one forward pass left behind.

    Attributes:
        result: the model's own output (`.logits`, `.last_hidden_state`, ...).
        hidden: state number to hidden states [batch, length, hidden].
        attention: layer number to attention probabilities [batch, heads, query, key], after softmax (and
            after dropout, in train mode with dropout on: turn attention dropout off to compare maps).
    """

    result: Any
    hidden: Mapping[int, Float[Tensor, "batch length hidden"]]
    attention: Mapping[int, Float[Tensor, "batch heads query key"]]


def run(
    model: nn.Module,
    batch: Mapping[str, Any],
    *,
    hidden: Sequence[int] = (),
    attention: Sequence[int] = (),
    decoder: bool = False,
) -> Outputs:
    """One forward pass. Gradients and mode are the caller's affair.

    Attention maps exist only under eager attention, which is switched on for this call when maps are asked
    for and it is not on already. With gradient checkpointing, enclose the backward pass too in
    `eager_attention`, or the recomputation would run another kernel.

    Args:
        model: a transformers model, or a module that holds one and takes the same arguments.
        batch: keyword arguments of `forward`.
        hidden: states to keep, from 0 to the number of layers.
        attention: layers whose maps to keep, from 0.
        decoder: read the decoder stack of an encoder-decoder (self-attention) instead of the encoder.

    Raises:
        ModelError: a state or layer the model does not have, or an unknown architecture.
    """
    parts = anatomy(model)
    _, layers, _ = parts.stack(decoder=decoder)
    _check_range("hidden state", hidden, len(layers))
    _check_range("attention map", attention, len(layers) - 1)
    kept = Outputs(None, {}, {})
    with contextlib.ExitStack() as stack:
        if attention:
            stack.enter_context(eager_attention(model))
        for handle in _hooks(parts, kept, hidden, attention, decoder=decoder):
            stack.callback(handle.remove)
        # DeBERTa-v2 returns maps from its attention only when told to; the others always do.
        told = {"output_attentions": True} if attention and parts.family.name == "deberta-v2" else {}
        result = model(**batch, **told)
    return Outputs(result, kept.hidden, kept.attention)


@contextlib.contextmanager
def eager_attention(model: nn.Module) -> Iterator[None]:
    """Eager attention inside the block, the implementation of before after it."""
    from transformers import PreTrainedModel

    whole = next(module for module in model.modules() if isinstance(module, PreTrainedModel))
    before = whole.config._attn_implementation
    if before == "eager":
        yield
        return
    whole.set_attn_implementation("eager")
    try:
        yield
    finally:
        whole.set_attn_implementation(before)


def _check_range(what: str, wanted: Sequence[int], last: int) -> None:
    wrong = [index for index in wanted if not 0 <= index <= last]
    if wrong:
        raise ModelError(
            f"{what} {wrong[0]} of a model whose last one is {last}",
            wanted=f"numbers from 0 to {last}",
            fix="check the map from student to teacher layers",
        )


def _hooks(
    parts: Anatomy, kept: Any, hidden: Sequence[int], attention: Sequence[int], *, decoder: bool
) -> list[RemovableHandle]:
    """States are read where they enter a layer, so what DeBERTa-v2 adds after layer 0 is part of state 1."""
    _, layers, _ = parts.stack(decoder=decoder)
    handles = []
    for index in hidden:
        if index < len(layers):
            handles.append(layers[index].register_forward_pre_hook(_read_input(kept.hidden, index)))
        else:
            handles.append(layers[index - 1].register_forward_hook(_read_output(kept.hidden, index, 0)))
    for index in attention:
        source = parts.map_source(index, decoder=decoder)
        handles.append(source.register_forward_hook(_read_output(kept.attention, index, -1)))
    return handles


def _read_input(into: dict[int, torch.Tensor], index: int) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        into[index] = arguments[0]

    return hook


def _read_output(into: dict[int, torch.Tensor], index: int, position: int) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        into[index] = output[position] if isinstance(output, tuple) else output

    return hook
