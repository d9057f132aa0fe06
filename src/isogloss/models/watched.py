"""An attention function for transformers that lets chosen layers be watched, and runs all others as ever.

transformers calls one function, named by `config._attn_implementation`, for the attention of every layer of
nearly every architecture. Ours looks whether someone watches the layer that calls it. If nobody wants its
map, fused attention (SDPA) computes the output, and no map ever exists; otherwise the output is computed from
the same map that is handed out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from isogloss.losses.relations import Projections

NAME = "isogloss"


@dataclass(frozen=True)
class Watch:
    """What to do with the attention of one layer each time it is computed.

    Attributes:
        map: takes the probabilities [batch heads query key], before dropout; None if nobody wants them.
        projections: takes the projections; None if nobody wants them.
    """

    map: Callable[[Tensor], None] | None = None
    projections: Callable[[Projections], None] | None = None


# By module and not by context: with gradient checkpointing on a GPU a layer runs again in a thread of
# autograd's, which knows nothing of the context variables of ours.
_watched: WeakKeyDictionary[nn.Module, tuple[Watch, ...]] = WeakKeyDictionary()


@contextlib.contextmanager
def watching(model: nn.Module, watches: Mapping[nn.Module, Watch]) -> Iterator[None]:
    """Watch attention modules of a model inside the block; blocks may lie in one another.

    Args:
        model: a transformers model, or a module that holds one, whose attention goes through transformers'
            AttentionInterface.
        watches: by attention module.
    """
    with _implementation(model):
        before = {module: _watched.get(module, ()) for module in watches}
        for module, watch in watches.items():
            _watched[module] = (*before[module], watch)
        try:
            yield
        finally:
            for module, others in before.items():
                _watched[module] = others
                if not others:
                    del _watched[module]


@contextlib.contextmanager
def _implementation(model: nn.Module) -> Iterator[None]:
    """Our function inside the block, the one of before after it."""
    from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    # Each stack of an encoder-decoder has a configuration of its own. The internal attribute, since the
    # public setter and `set_attn_implementation` also change configurations below, and check and import much.
    found = (getattr(module, "config", None) for module in model.modules())
    configs = {id(config): config for config in found if isinstance(config, PreTrainedConfig)}
    before = [(config, config._attn_implementation_internal) for config in configs.values()]
    for config, _ in before:
        config._attn_implementation_internal = NAME
    try:
        yield
    finally:
        for config, name in before:
            config._attn_implementation_internal = name


def attend(
    module: nn.Module,
    query: Float[Tensor, "batch heads length size"],
    key: Float[Tensor, "batch key_heads keys size"],
    value: Float[Tensor, "batch key_heads keys value_size"],
    attention_mask: Shaped[Tensor, "*mask"] | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    **settings: Any,
) -> tuple[Float[Tensor, "batch length heads value_size"], None]:
    """The attention of one layer, with the arguments and the result of transformers' own functions.

    Args:
        module: the layer's attention module.
        query, key, value: fewer key heads than heads where several of these share one.
        attention_mask: True where a key may be seen, or numbers to add to the scores; None means every key,
            or in a causal layer those up to the query.
        dropout: share of the map to drop; 0 outside training.
        scaling: of the scores; None means 1 / sqrt(size).
        softcap: bound of the scores (Gemma 2), which fused attention cannot do; None means none.
        settings: what else transformers passes; of these `is_causal` and `position_bias` matter.
    """
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    watches = _watched.get(module, ())
    mapped = softcap is not None or any(watch.map for watch in watches)
    seen = None
    if mapped or watches:
        times = query.shape[1] // key.shape[1]
        seen = Projections(query, repeat_kv(key, times), repeat_kv(value, times))
        for watch in watches:
            if watch.projections:
                watch.projections(seen)
    if seen is None or not mapped:
        settings |= {"dropout": dropout, "scaling": scaling}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    products = (seen.query * scaling) @ seen.key.transpose(2, 3)
    attention = _softmax(_scores(module, products, attention_mask, softcap, **settings)).to(products.dtype)
    for watch in watches:
        if watch.map:
            watch.map(attention)
    dropped = nn.functional.dropout(attention, dropout) if dropout else attention
    return (dropped @ seen.value).transpose(1, 2).contiguous(), None


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
