"""A model with fewer attention heads: those stay on which the loss depends most (Michel et al. 2019)."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from isogloss.compress.feedforward import most_important
from isogloss.compress.observe import Batch
from isogloss.core.errors import DataError, ModelError
from isogloss.models.anatomy import anatomy
from isogloss.models.families import family_of
from isogloss.models.matrices import (
    Matrix,
    Weights,
    head_size,
    inside,
    key_heads,
    layer_matrices,
    module_inside,
)
from isogloss.models.modes import evaluating
from isogloss.models.rebuild import rebuild


def head_importance(model: Any, batches: Iterable[Batch]) -> Float[Tensor, "layers heads"]:
    """How much the loss depends on each head: the mean over texts of |d loss / d mask|, at a mask of ones.

    Michel, Levy and Neubig (2019, arXiv 1905.10650, section 4.1), with the scores of a layer divided by their
    Euclidean length as there: layers are then comparable, and which heads of a layer matter is the same.

    Args:
        model: a transformers model with a head that computes a loss.
        batches: calibration text; what the model takes, with `labels`.

    Raises:
        ModelError: a family whose heads we do not know, or a model without a loss.
        DataError: no batch.
    """
    parts = anatomy(model)
    layers, heads = len(parts.layers), int(parts.config.num_attention_heads)
    total, texts = torch.zeros(layers, heads, dtype=torch.float64), 0
    with evaluating(model), torch.enable_grad():
        for batch in batches:
            given = {name: tensor.to(model.device) for name, tensor in batch.items() if name != "language"}
            mask = torch.ones(layers, len(given["input_ids"]), heads, device=model.device, requires_grad=True)
            with _masked(model, mask):
                loss = model(**given).loss if parts.model is not parts.base else None
            if loss is None:
                raise ModelError(
                    "a model without a loss, so no head is known to matter",
                    wanted="a language model with its head, and batches with `labels`",
                    fix="load it as masked or causal",
                )
            # The loss is a mean over the batch, so a text's own share of it is its gradient times its number.
            [gradient] = torch.autograd.grad(loss, mask)
            total += gradient.abs().sum(dim=1).double().cpu() * mask.shape[1]
            texts += mask.shape[1]
    if not texts:
        raise DataError(
            "no calibration text",
            wanted="at least one batch to see which heads matter",
            fix="give a corpus with text in it",
        )
    means = total / texts
    return (means / means.norm(dim=1, keepdim=True).clamp(min=torch.finfo(means.dtype).tiny)).float()


@contextlib.contextmanager
def _masked(model: Any, mask: Float[Tensor, "layers batch heads"]) -> Any:
    """What the heads hand to the output matrix multiplied by a mask, for each text its own."""
    parts = anatomy(model)
    output = layer_matrices(parts.family.name).output

    def hook(_: nn.Module, given: tuple[Tensor, ...], *, one: Tensor) -> tuple[Tensor, ...]:
        split = given[0].unflatten(-1, (one.shape[1], -1))
        return ((split * one[:, None, :, None]).flatten(-2), *given[1:])

    with contextlib.ExitStack() as stack:
        for layer, one in enumerate(mask):
            module = module_inside(parts, layer, output)
            handle = module.register_forward_pre_hook(lambda m, given, one=one: hook(m, given, one=one))
            stack.callback(handle.remove)
        yield


def important_heads(model: Any, batches: Iterable[Batch], heads: int) -> Int64[Tensor, "layers kept"]:
    """Which to keep of each layer, as `keep_heads` takes them, so that this many heads are left.

    Args:
        batches: as for `head_importance`.
        heads: how many, by `with_heads` a possible number.
    """
    config = anatomy(model).config
    groups = head_importance(model, batches).unflatten(1, (key_heads(config), -1)).sum(dim=2)
    return most_important(groups, heads * key_heads(config) // config.num_attention_heads)


def keep_heads(model: Any, kept: Int64[Tensor, "layers kept"]) -> Any:
    """A new model with these heads of each layer, in this order; the given one is unchanged.

    It computes what the given one would with the output of all other heads set to zero.

    Args:
        kept: numbers of heads, from 0 (of key heads with the heads that share each, where some do); equally
            many in each layer, since a configuration has one number.

    Raises:
        ModelError: a family whose heads together are as wide as the model.
    """
    parts = anatomy(model)
    names, weights, size = layer_matrices(parts.family.name), Weights(parts), head_size(parts.config)
    shared = parts.config.num_attention_heads // key_heads(parts.config)
    config = with_heads(model.config, shared * kept.shape[1])
    for layer, groups in enumerate(kept.to(model.device)):
        heads = block_rows(groups, shared)
        for block, numbers in ((names.query, heads), (names.key, groups), (names.value, groups)):
            path = inside(parts, layer, block.path)
            weight, bias = weights.read(path)
            rows = block_rows(numbers, size)
            weights.write(path, Matrix(weight[rows], None if bias is None else bias[rows]))
        path = inside(parts, layer, names.output)
        weight, bias = weights.read(path)
        weights.write(path, Matrix(weight[:, block_rows(heads, size)], bias))
    return rebuild(model, config, weights.tensors.__getitem__)


def block_rows(blocks: Int64[Tensor, " blocks"], size: int) -> Int64[Tensor, " rows"]:
    """The rows of these blocks, each of `size` rows."""
    return (blocks[:, None] * size + torch.arange(size, device=blocks.device)).flatten()


def with_heads(config: Any, heads: int) -> Any:
    """The configuration with this many heads of the same size, its width unchanged; needs no weights.

    Raises:
        ModelError: a family that cannot lose heads alone, or a number that does not fit.
    """
    family = family_of(config.model_type)
    layer_matrices(family.name)
    there, width = int(config.num_attention_heads), int(config.hidden_size)
    if heads == there:
        return copy.deepcopy(config)
    if not own_head_size(config):
        raise ModelError(
            f"{heads} heads for a {config.model_type} model of width {width}, whose {there} heads together "
            "are always as wide as the model",
            wanted=f"{there} heads, or a smaller width too",
            fix=f"set student.width as well: {heads} heads as they are make {heads * head_size(config)}",
        )
    shared = there // key_heads(config)
    if not (0 < heads <= there and heads % shared == 0 and width % heads == 0):
        raise ModelError(
            f"{heads} heads of a model that has {there} at width {width}",
            wanted=f"a number up to {there} that divides {width}"
            + (f", a multiple of {shared}, since {shared} heads share a key" if shared > 1 else ""),
            fix="change student.heads, or leave it out to keep them all",
        )
    new = copy.deepcopy(config)
    # Where it was left to be width / heads, as in Qwen 2, that would now be another number.
    new.head_dim = head_size(config)
    new.num_key_value_heads = heads // shared
    new.num_attention_heads = heads
    return new


def own_head_size(config: Any) -> bool:
    """Whether the size of a head is a number of its own instead of width / heads."""
    return family_of(config.model_type).name in ("llama", "gemma2")
