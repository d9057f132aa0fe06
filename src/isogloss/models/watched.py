"""An attention function for transformers that lets chosen layers be watched, and runs all others as ever.

transformers calls one function, named by `config._attn_implementation`, for the attention of every layer of
nearly every architecture. Ours looks whether someone watches the layer that calls it. If nobody wants its
map, the output is computed as ever (`quick_attention`); otherwise from the same map that is handed out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from isogloss.losses.relations import Projections
from isogloss.models import quick_attention as quick
from isogloss.models.attention import attending, mapped_attention

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
    with attending(model, NAME, attend, only_fused=False):
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
    from transformers.integrations.sdpa_attention import repeat_kv

    watches = _watched.get(module, ())
    mapped = softcap is not None or any(watch.map for watch in watches)
    settings |= {"dropout": dropout, "scaling": scaling}
    if not mapped and not watches:
        return quick.attend(module, query, key, value, attention_mask, **settings)
    times = query.shape[1] // key.shape[1]
    seen = Projections(query, repeat_kv(key, times), repeat_kv(value, times))
    for watch in watches:
        if watch.projections:
            watch.projections(seen)
    if not mapped:
        return quick.attend(module, query, key, value, attention_mask, **settings)
    mixed, attention = mapped_attention(
        module, seen.query, seen.key, seen.value, attention_mask, softcap=softcap, **settings
    )
    for watch in watches:
        if watch.map:
            watch.map(attention)
    return mixed, None
