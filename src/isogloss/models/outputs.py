"""Record what chosen layers of a running model do, alike for every family.

transformers' own `output_hidden_states` gives all layers, and its last entry is the output of the last layer
in BERT but the final norm of it in ModernBERT, GPT-2, Llama and T5. Here, for every family:

- state 0 is what enters layer 0 (embeddings after their norm, scaling and dropout);
- state i is what leaves layer i - 1 and enters layer i;
- state n, of n layers, is what leaves the last layer, **before** any final norm.

So state (i + 1) of a student belongs to state (j + 1) of a teacher whose layer j it was copied from.

Its `output_attentions` makes every layer compute its attention map, which at length 256 costs more than all
else in the layer's attention. Here the layers asked for alone compute one; see `watched`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from isogloss.core.errors import ModelError
from isogloss.losses.relations import Projections
from isogloss.models.anatomy import anatomy
from isogloss.models.watched import Watch, watching


@dataclass(frozen=True)
class Kept:
    """What the last forward pass left behind.

    Attributes:
        hidden: state number to hidden states.
        attention: layer number to attention probabilities, after softmax and before dropout.
        projections: layer number to what its attention sees.
    """

    hidden: dict[int, Float[Tensor, "batch length hidden"]] = field(default_factory=dict)
    attention: dict[int, Float[Tensor, "batch heads query key"]] = field(default_factory=dict)
    projections: dict[int, Projections] = field(default_factory=dict)


@contextlib.contextmanager
def recording(
    model: nn.Module,
    *,
    hidden: Sequence[int] = (),
    attention: Sequence[int] = (),
    projections: Sequence[int] = (),
    decoder: bool = False,
) -> Iterator[Kept]:
    """Record inside the block; each forward pass in it replaces what the one before left.

    Gradients and mode are the caller's affair. Which attention function runs changes only where maps or
    projections are asked for, and only inside the block. So with gradient checkpointing enclose the backward
    pass too, or the recomputation would run another function. Rows of a map whose query may see no key are
    uniform.

    Args:
        model: a transformers model, or a module that holds one.
        hidden: states to keep, from 0 to the number of layers.
        attention: layers whose maps to keep, from 0.
        projections: layers whose query, key and value to keep, from 0.
        decoder: read the decoder stack of an encoder-decoder (self-attention) instead of the encoder.

    Yields:
        What is filled whenever the model runs; keep it, it outlives the block.

    Raises:
        ModelError: a state or layer the model does not have, or an unknown architecture.
    """
    parts = anatomy(model)
    _, layers, facts = parts.stack(decoder=decoder)
    _check_range("hidden state", hidden, len(layers))
    _check_range("attention map", attention, len(layers) - 1)
    _check_range("projections", projections, len(layers) - 1)
    kept = Kept()
    watches = {
        parts.map_source(index, decoder=decoder): Watch(
            _put(kept.attention, index) if index in attention else None,
            _put(kept.projections, index) if index in projections else None,
        )
        for index in sorted({*attention, *projections})
    }
    with contextlib.ExitStack() as stack:
        for handle in _states(layers, kept.hidden, hidden):
            stack.callback(handle.remove)
        if facts.own_attention:
            for handle in _hooks(watches, facts.own_attention, parts.config.num_attention_heads):
                stack.callback(handle.remove)
        elif watches:
            stack.enter_context(watching(model, watches))
        yield kept


def run(model: nn.Module, batch: Mapping[str, Any], **wanted: Any) -> Kept:
    """One forward pass of `model(**batch)`, recorded; the other arguments are those of `recording`."""
    with recording(model, **wanted) as kept:
        model(**batch)
    return kept


def _check_range(what: str, wanted: Sequence[int], last: int) -> None:
    wrong = [index for index in wanted if not 0 <= index <= last]
    if wrong:
        raise ModelError(
            f"{what} {wrong[0]} of a model whose last one is {last}",
            wanted=f"numbers from 0 to {last}",
            fix="check the map from student to teacher layers",
        )


def _put(into: dict[int, Any], index: int) -> Callable[[Any], None]:
    def put(value: Any) -> None:
        into[index] = value

    return put


def _states(layers: nn.ModuleList, into: dict[int, Tensor], wanted: Sequence[int]) -> list[RemovableHandle]:
    """States are read where they enter a layer, so what DeBERTa-v2 adds after layer 0 is part of state 1."""
    handles = []
    for index in wanted:
        put = _put(into, index)
        if index < len(layers):
            handles.append(layers[index].register_forward_pre_hook(_reads_input(put)))
        else:
            handles.append(layers[index - 1].register_forward_hook(_reads_output(put)))
    return handles


def _hooks(
    watches: Mapping[nn.Module, Watch], inside: tuple[str, ...], heads: int
) -> Iterator[RemovableHandle]:
    """Watch attention that no function of ours can replace, by the modules inside it."""
    *linear, dropout = inside
    for module, watch in watches.items():
        if watch.map:
            hook = _reads_input(watch.map)
            yield module.get_submodule(dropout).register_forward_pre_hook(hook)
        if watch.projections:
            seen: dict[str, Tensor] = {}
            for name in linear:
                put = _reads_projection(seen, name, heads)
                yield module.get_submodule(name).register_forward_hook(put)
            # The value comes last. DeBERTa-v2 calls the other two again after it, on its relative positions.
            put = _reads_output(_all_three(seen, linear, watch.projections))
            yield module.get_submodule(linear[-1]).register_forward_hook(put)


def _all_three(
    seen: dict[str, Tensor], names: Sequence[str], into: Callable[[Projections], None]
) -> Callable[[Any], None]:
    return lambda _: into(Projections(*(seen[name] for name in names)))


def _reads_projection(into: dict[str, Tensor], name: str, heads: int) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        into[name] = output.unflatten(-1, (heads, -1)).transpose(1, 2)

    return hook


def _reads_input(put: Callable[[Tensor], None]) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        put(arguments[0])

    return hook


def _reads_output(put: Callable[[Tensor], None]) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        put(output[0] if isinstance(output, tuple) else output)

    return hook
