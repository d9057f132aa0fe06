"""The directions in which a model's hidden states lie, the strongest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from isogloss.compress.observe import Batch, observe
from isogloss.models.anatomy import anatomy


def state_moment(model: Any, batches: Iterable[Batch]) -> Float[Tensor, "large large"]:
    """The mean of x x' over hidden states x of all layers and real tokens, each of length 1.

    The states of a model with norms in front of its blocks grow from layer to layer, and some are a hundred
    times as long as others; what a block reads of them is their direction, so that is what counts.
    """
    parts = anatomy(model)
    total = torch.zeros(parts.config.hidden_size, parts.config.hidden_size, dtype=torch.float64)
    tokens = 0

    def read(states: Tensor) -> None:
        nonlocal total, tokens
        directions = nn.functional.normalize(states.double(), dim=-1).cpu()
        total += directions.T @ directions
        tokens += len(states)

    last = parts.layers[-1]
    observe(model, batches, inputs=dict.fromkeys(parts.layers, read), outputs={last: read})
    return total / tokens


def basis_of(
    moment: Float[Tensor, "large large"], width: int, *, ones: bool
) -> Float[Tensor, "large {width}"]:
    """Orthonormal directions that hold the most of a second moment.

    Args:
        moment: symmetric; `state_moment`, or a diagonal matrix for the coordinates with the largest entries.
        width: how many.
        ones: make the direction of ones in the large space that of ones in the small one: what LayerNorm
            takes out is then the same in both.
    """
    large = len(moment)
    moment = moment.double()
    if not ones:
        return _leading(moment, width)
    mean = torch.full((large, 1), large**-0.5, dtype=torch.float64)
    centring = torch.eye(large, dtype=torch.float64) - mean @ mean.T
    moment = centring @ moment @ centring
    # Below all others, so that the direction of ones is not among the leading ones even of a singular moment.
    rest = _leading(moment - (1 + moment.trace()) * mean @ mean.T, width - 1)
    rotation = _to_ones(width)
    return torch.cat([mean, rest], dim=1) @ rotation


def _leading(moment: Float[Tensor, "large large"], width: int) -> Float[Tensor, "large {width}"]:
    """Eigenvectors of the largest eigenvalues, the entry of largest size positive in each."""
    directions = torch.linalg.eigh(moment).eigenvectors.flip(1)[:, :width]
    if width:
        largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
        directions = directions * largest.sign()
    return directions


def _to_ones(width: int) -> Float[Tensor, "{width} {width}"]:
    """The reflection that takes the first unit vector to the direction of ones, and that to it."""
    difference = torch.full((width,), -(width**-0.5), dtype=torch.float64)
    difference[0] += 1
    square = difference @ difference
    identity = torch.eye(width, dtype=torch.float64)
    return identity if square == 0 else identity - 2 * torch.outer(difference, difference) / square
