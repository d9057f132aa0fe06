"""The GPT of the language-imbalance paper, as it trains and as it is saved.

Schäfer et al. (2024, arXiv 2404.07982) train the GPT of the Languini Kitchen (Stanić et al. 2023, arXiv
2309.11197): GPT-2 (layers that begin with their norm, learnt positions) with an output layer of its own and
three differences. Token embeddings are multiplied by the square root of the width; heads can be narrower than
width / heads; and the matrix out of the heads is drawn like the others, at 0.02.

transformers' GPT-2 knows neither of the first two. So a model in training has them as parts of its own, and
`plain` folds them into an ordinary GPT-2 with the same outputs, which is what a folder holds.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

SCALE_KEY, WIDTH_KEY = "embedding_scale", "head_dim"
"""What a configuration of this variant has beside GPT-2's keys: a factor, and numbers in a head."""


class ScaledEmbedding(nn.Embedding):
    """An embedding whose rows are multiplied on the way out, so that they learn as the published ones do.

    An optimiser such as Adam moves every number by the learning rate, whatever its scale: a table of rows
    that are `scale` times larger would learn `scale` times more slowly.
    """

    scale: float = 1.0

    def forward(self, input: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows hidden"]:
        """Rows of the table, times the scale."""
        return super().forward(input) * self.scale


def is_scaled_gpt(config: Any) -> bool:
    """Whether a configuration is of this variant."""
    return getattr(config, SCALE_KEY, None) is not None


def scaled_gpt(model: Any) -> Any:
    """Give a fresh GPT-2 of such a configuration its parts, in place; draws from torch's generator.

    Args:
        model: any transformers GPT-2, with or without a head.
    """
    config, base = model.config, model.base_model
    base.wte.__class__ = ScaledEmbedding
    base.wte.scale = float(getattr(config, SCALE_KEY))
    for block in base.h:
        _set_heads(block.attn, int(getattr(config, WIDTH_KEY)))
    return model


def _set_heads(attention: Any, width: int) -> None:
    """Heads of a width, their matrices drawn anew at 0.02."""
    from transformers.pytorch_utils import Conv1D

    hidden, inner = attention.embed_dim, attention.num_heads * width
    if attention.scale_attn_weights:
        attention.scaling *= math.sqrt(attention.head_dim / width)
    attention.head_dim, attention.split_size = width, inner
    attention.c_attn = Conv1D(3 * inner, hidden)
    attention.c_proj = Conv1D(hidden, inner)


def plain(model: Any) -> Any:
    """An ordinary GPT-2 with the outputs of one of this variant; any other model as it is.

    Embeddings are multiplied out. Narrow heads get zeros up to width / heads, and their queries a factor for
    the divisor that grows with it. The zeros stay zeros if the plain model learns on: query and key, value
    and output have gradients only through each other.
    """
    if not is_scaled_gpt(model.config):
        return model
    config = plain_config(model.config)
    with torch.device("meta"):
        folded = type(model)(config)
    folded = folded.to_empty(device=next(model.parameters()).device)
    tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    tensors[f"{prefix}wte.weight"] *= model.base_model.wte.scale
    for number, block in enumerate(model.base_model.h):
        path = f"{prefix}h.{number}.attn"
        for part, wide in _wide(block.attn).items():
            tensors[f"{path}.{part}"] = wide
    folded.load_state_dict(tensors)
    folded.tie_weights()
    folded.generation_config = copy.deepcopy(getattr(model, "generation_config", None))
    return folded.train(model.training)


def plain_config(config: Any) -> Any:
    """The configuration of what `plain` gives."""
    config = copy.deepcopy(config)
    for key in (SCALE_KEY, WIDTH_KEY):
        if hasattr(config, key):
            delattr(config, key)
    return config


def _wide(attention: Any) -> dict[str, Tensor]:
    """The matrices of one attention with heads of width / heads, zeros behind what there is."""
    hidden, heads, narrow = attention.embed_dim, attention.num_heads, attention.head_dim
    missing = hidden // heads - narrow
    factors = torch.ones(3, 1, 1, device=attention.c_attn.weight.device)
    if attention.scale_attn_weights:
        factors[0] = math.sqrt((narrow + missing) / narrow)

    def into(tensor: Tensor) -> Tensor:
        each = tensor.detach().unflatten(-1, (3, heads, narrow)) * factors
        return nn.functional.pad(each, (0, missing)).flatten(-3)

    out = attention.c_proj.weight.detach().unflatten(0, (heads, narrow))
    return {
        "c_attn.weight": into(attention.c_attn.weight),
        "c_attn.bias": into(attention.c_attn.bias),
        "c_proj.weight": nn.functional.pad(out, (0, 0, 0, missing)).flatten(0, 1),
    }
