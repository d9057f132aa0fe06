"""What transformers calls for the attention of every layer, put in another's place for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

FUSED = "sdpa"


@contextlib.contextmanager
def attending(model: nn.Module, name: str, attend: Callable[..., Any], *, only_fused: bool) -> Iterator[None]:
    """Layers attend by `attend` inside the block, and as before after it.

    Args:
        model: a transformers model, or a module that holds one, whose attention goes through transformers'
            AttentionInterface.
        name: of `attend` in that interface.
        attend: with the arguments and the result of transformers' own functions. It gets masks that are True
            where a key may be seen.
        only_fused: leave what attends in a way that someone chose (eager, another kernel).
    """
    from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, sdpa_mask)
    # Each stack of an encoder-decoder has a configuration of its own. The internal attribute, since the
    # public setter and `set_attn_implementation` also change configurations below, and check and import much.
    found = (getattr(module, "config", None) for module in model.modules())
    configs = {id(config): config for config in found if isinstance(config, PreTrainedConfig)}
    before = [
        (config, config._attn_implementation_internal)
        for config in configs.values()
        if not only_fused or config._attn_implementation == FUSED
    ]
    for config, _ in before:
        config._attn_implementation_internal = name
    try:
        yield
    finally:
        for config, way in before:
            config._attn_implementation_internal = way


def mapped_attention(
    module: nn.Module,
    query: Float[Tensor, "batch heads length size"],
    key: Float[Tensor, "batch heads keys size"],
    value: Float[Tensor, "batch heads keys value_size"],
    mask: Shaped[Tensor, "*mask"] | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    **settings: Any,
) -> tuple[Float[Tensor, "batch length heads value_size"], Float[Tensor, "batch heads length keys"]]:
    """Attention by its map, which waits for the backward pass.

    Args:
        module: the layer's attention module.
        mask: True where a key may be seen, or numbers to add to the scores; None means every key, or in a
            causal layer those up to the query.
        dropout: share of the map to drop; 0 outside training.
        scaling: of the scores; None means 1 / sqrt(size).
        softcap: bound of the scores (Gemma 2); None means none.
        settings: what else transformers passes; of these `is_causal` and `position_bias` matter.

    Returns:
        What the heads give, and the probabilities before dropout.
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    products = (query * scaling) @ key.transpose(2, 3)
    attention = _softmax(_scores(module, products, mask, softcap, **settings)).to(products.dtype)
    dropped = nn.functional.dropout(attention, dropout) if dropout else attention
    return (dropped @ value).transpose(1, 2).contiguous(), attention


def _scores(
    module: nn.Module,
    scores: Float[Tensor, "batch heads length keys"],
    mask: Tensor | None,
    softcap: float | None,
    *,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **settings: Any,
) -> Float[Tensor, "batch heads length keys"]:
    """What the softmax is taken of. A query that may see no key weighs all alike, as in eager attention."""
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if position_bias is not None:
        scores = scores + position_bias
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if mask is None and causal and scores.shape[2] > 1:
        mask = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).tril()
    if mask is None:
        return scores
    if mask.dtype == torch.bool:
        # In place: no product, sum or scaling above needs its result for gradients.
        return scores.masked_fill_(~mask, torch.finfo(scores.dtype).min)
    return scores + mask


def _softmax(scores: Float[Tensor, "*shape keys"]) -> Float[Tensor, "*shape keys"]:
    """The kernels sum in float32 whatever goes in and comes out; autocast would keep a float32 copy too."""
    with torch.autocast(scores.device.type, enabled=False):
        return scores.softmax(dim=-1)
