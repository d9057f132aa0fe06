"""A model with fewer feed-forward units: those stay that say most on calibration text."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from isogloss.compress.observe import Batch, observe
from isogloss.core.errors import ModelError
from isogloss.models.anatomy import anatomy
from isogloss.models.families import family_of
from isogloss.models.matrices import Matrix, Weights, inside, layer_matrices, module_inside
from isogloss.models.rebuild import rebuild


def unit_importance(model: Any, batches: Iterable[Batch]) -> Float[Tensor, "layers units"]:
    """How much each unit adds to what its block writes: mean |activation| times the length of its output.

    A unit's activation is what the output matrix multiplies (of a gated block, the product with the gate), so
    leaving it out moves a token's output by |activation| * ||column||: this is the mean length of that
    move over the tokens.

    Args:
        model: a transformers model with or without a head.
        batches: calibration text; `input_ids` and `attention_mask`, each [batch length].

    Raises:
        ModelError: a family whose units we do not know.
        DataError: no batch.
    """
    parts = anatomy(model)
    names, weights = layer_matrices(parts.family.name), Weights(parts)
    columns = [
        weights.read(inside(parts, layer, names.down)).weight.double() for layer in range(len(parts.layers))
    ]
    sums = [torch.zeros(matrix.shape[1], dtype=torch.float64, device=matrix.device) for matrix in columns]
    tokens = 0

    def read(activations: Tensor, layer: int) -> None:
        nonlocal tokens
        sums[layer] += activations.abs().sum(dim=0, dtype=torch.float64)
        tokens += len(activations) if layer == 0 else 0

    readers = {
        module_inside(parts, layer, names.down): lambda states, layer=layer: read(states, layer)
        for layer in range(len(parts.layers))
    }
    observe(model, batches, inputs=readers)
    means = [total / tokens * matrix.norm(dim=0) for total, matrix in zip(sums, columns, strict=True)]
    return torch.stack(means).float()


def most_important(importance: Float[Tensor, "layers things"], number: int) -> Int64[Tensor, "layers kept"]:
    """The most important things of each layer, in their old order; of equals the first."""
    order = importance.sort(dim=1, descending=True, stable=True).indices
    return order[:, :number].sort(dim=1).values


def keep_units(model: Any, kept: Int64[Tensor, "layers kept"]) -> Any:
    """A new model with these feed-forward units of each layer, in this order; the given one is unchanged.

    It computes what the given one would with all other units set to zero.

    Args:
        kept: numbers of units, from 0; equally many in each layer, since a configuration has one size.

    Raises:
        ModelError: a family whose units we do not know, or a number out of range.
    """
    parts = anatomy(model)
    names, weights = layer_matrices(parts.family.name), Weights(parts)
    config = with_units(model.config, kept.shape[1])
    for layer, units in enumerate(kept.to(model.device)):
        paths = dict.fromkeys(block.path for block in names.units)
        for path in paths:
            blocks = [block for block in names.units if block.path == path]
            found = [weights.read(inside(parts, layer, path), block.number, block.of) for block in blocks]
            weights.write(inside(parts, layer, path), *(_rows(matrix, units) for matrix in found))
        down = weights.read(inside(parts, layer, names.down))
        weights.write(inside(parts, layer, names.down), Matrix(down.weight[:, units], down.bias))
    return rebuild(model, config, weights.tensors.__getitem__)


def _rows(matrix: Matrix, rows: Tensor) -> Matrix:
    return Matrix(matrix.weight[rows], None if matrix.bias is None else matrix.bias[rows])


def with_units(config: Any, units: int) -> Any:
    """The configuration with this many feed-forward units a layer; no weights are needed.

    Raises:
        ModelError: a family whose units we do not know, or more units than there are.
    """
    layer_matrices(family_of(config.model_type).name)
    there = units_of(config)
    if not 0 < units <= there:
        raise ModelError(
            f"{units} feed-forward units of a model that has {there}",
            wanted=f"a number from 1 to {there}",
            fix="lower student.feedforward, or leave it out to keep them all",
        )
    new = copy.deepcopy(config)
    setattr(new, family_of(config.model_type).feedforward_key, units)
    return new


def units_of(config: Any) -> int:
    """Feed-forward units of a layer; GPT-2 writes None for four times its width."""
    return int(getattr(config, family_of(config.model_type).feedforward_key) or 4 * config.hidden_size)
