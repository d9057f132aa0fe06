"""Which sizes a narrower model can have; configurations alone, so it serves planning."""

from __future__ import annotations

import copy
from typing import Any

from isogloss.compress.feedforward import units_of
from isogloss.compress.heads import own_head_size, with_heads
from isogloss.compress.stream import MODEL_TYPES
from isogloss.core.errors import ModelError
from isogloss.models.families import family_of
from isogloss.models.matrices import head_size


def narrow_config(config: Any, *, width: int, heads: int | None = None) -> Any:
    """The configuration of the narrower model; no weights are needed, so it serves planning.

    Args:
        width: size of the hidden states.
        heads: heads per layer. None is the present number; where heads together must be as wide as the model
            each then becomes smaller, or, if they cannot share the width out evenly, as many are kept as fill
            it.

    Raises:
        ModelError: a family we cannot make narrower, or sizes that do not fit together.
    """
    _refuse_unknown(config)
    there, size = int(config.hidden_size), head_size(config)
    if not 0 < width <= there:
        raise ModelError(
            f"width {width} for a model that is {there} wide",
            wanted=f"a number from 1 to {there}",
            fix="lower student.width, or leave it out to keep the width",
        )
    new = copy.deepcopy(config)
    setattr(new, family_of(config.model_type).feedforward_key, units_of(config))
    if own_head_size(config):
        new.head_dim = size  # Qwen 2 would take width / heads
        _check_heads(config, width, heads or config.num_attention_heads)
        new.hidden_size = width
        return new if heads is None else with_heads(new, heads)
    if heads is None:
        heads = int(config.num_attention_heads)
        if width % (_least_size(config) * heads) and width % size == 0:
            heads = width // size
    _check_heads(config, width, heads)
    new.hidden_size, new.num_attention_heads = width, heads
    return new


def _least_size(config: Any) -> int:
    """Where heads make up the width, of what their size is a multiple: rotary positions turn pairs."""
    rotary = family_of(config.model_type).positions == "rotary"
    return 2 if rotary and not own_head_size(config) else 1


def _check_heads(config: Any, width: int, heads: int) -> None:
    there, size, own = int(config.num_attention_heads), head_size(config), own_head_size(config)
    unit = _least_size(config) * heads
    if 0 < heads <= there and width % unit == 0 and (own or width <= heads * size):
        return
    raise ModelError(
        f"width {width} with {heads} heads, of a model with {there} heads of size {size}",
        wanted=f"a width that is a multiple of {unit}" + ("" if own else f", at most {heads * size}"),
        fix="choose student.width and student.heads together"
        + ("" if own else f", for instance width {max(1, there // 2) * size}"),
    )


def _refuse_unknown(config: Any) -> None:
    if config.model_type not in MODEL_TYPES:
        raise ModelError(
            f"a narrower {config.model_type} model",
            wanted=f"one of: {', '.join(MODEL_TYPES)}",
            fix="leave out student.width; fewer layers and a smaller vocabulary work for every model",
        )
