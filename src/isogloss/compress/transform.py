"""The transform of a masked model's head at a smaller width: fitted, since no rotation passes through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from isogloss.compress.observe import Batch
from isogloss.models.matrices import Matrix

_HEAD_TOKENS = 4096
_STEPS = 100
_START = 0.1
"""Typical input of the activation at the start: so small that GELU and its like are nearly linear there."""


class Samples:
    """What the head's transform reads and makes, for some thousand tokens spread evenly over the text."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        tokens = sum(int((batch["attention_mask"] != 0).sum()) for batch in batches)
        self._every = -(-tokens // _HEAD_TOKENS)
        self._states: list[Tensor] = []
        self._features: list[Tensor] = []

    def read_states(self, states: Tensor) -> None:
        """Before the transform (before the last norm, where there is one in front of it)."""
        self._states.append(states[:: self._every].double())

    def read_features(self, features: Tensor) -> None:
        """Behind it."""
        self._features.append(features[:: self._every].double())

    def together(self) -> tuple[Float[Tensor, "tokens large"], Float[Tensor, "tokens large"]]:
        """States and features of the same tokens."""
        return torch.cat(self._states), torch.cat(self._features)


class Transform(NamedTuple):
    """Matrix, then an elementwise function, then LayerNorm with this scale and shift (None: it has none)."""

    dense: Matrix
    scale: Float[Tensor, " small"]
    shift: Float[Tensor, " small"] | None


def fit_transform(
    states: Float[Tensor, "tokens small"],
    wanted: Float[Tensor, "tokens small"],
    *,
    activation: Callable[[Tensor], Tensor],
    bias: bool,
    shift: bool,
    eps: float,
    gram: Float[Tensor, "small small"],
) -> Transform:
    """The transform of these states that comes nearest to the features wanted, in the scores they lead to.

    It starts as the best linear map, and goes on by L-BFGS on all tokens at once, in double precision: no
    step size, no order, no random number. States are whitened for it, without which it gets nowhere:
    measured on an encoder of width 256 cut to 192, 50 steps leave 2 % of the variance of the scores, against
    42 % after 100 steps from the wide model's own matrix without whitening, and 5 % of the best linear map.

    Args:
        states: what it reads.
        wanted: what its LayerNorm should give.
        activation: the function between matrix and norm.
        bias: whether the matrix has a bias.
        shift: whether the LayerNorm has a shift.
        eps: of the LayerNorm.
        gram: second moment of the output layer's rows; an error e of a feature is e' gram e in the scores.
    """
    metric, whiten = _root(gram)[0], _root(states.T @ states / len(states))[1]
    fitting = _Fitting(states @ whiten, wanted, activation=activation, bias=bias, shift=shift, eps=eps)
    fitting.improve(metric)
    return fitting.transform(whiten)


class _Fitting:
    """A transform of white states on its way to the features wanted, from the best linear map on."""

    def __init__(
        self,
        given: Float[Tensor, "tokens small"],
        wanted: Float[Tensor, "tokens small"],
        *,
        activation: Callable[[Tensor], Tensor],
        bias: bool,
        shift: bool,
        eps: float,
    ) -> None:
        self._given, self._wanted, self._activation, self._eps = given, wanted, activation, eps
        # Between one size for all coordinates and each its own: LayerNorm then bends the targets least.
        sizes = wanted.square().mean(dim=0).sqrt().clamp(min=1e-12).sqrt()
        # Least squares, for the states are white; torch's lstsq gives other last digits on other days.
        linear = (wanted / sizes).T @ given / len(given)
        self._weight = _free(linear * _START / (given @ linear.T).std())
        self._offset = _free(torch.zeros_like(sizes)) if bias else None
        with torch.no_grad():
            made = self._normalised()
            self._size = (made * wanted).sum(dim=0) / made.square().sum(dim=0).clamp(min=1e-12)
        self._scale = _free(torch.ones_like(sizes))
        self._lift = _free(torch.zeros_like(sizes)) if shift else None

    def _normalised(self) -> Float[Tensor, "tokens small"]:
        hidden = self._activation(nn.functional.linear(self._given, self._weight, self._offset))
        return nn.functional.layer_norm(hidden, hidden.shape[-1:], eps=self._eps)

    def improve(self, metric: Float[Tensor, "small small"]) -> None:
        """Towards the smallest error of the scores, whose size is that of the features' times `metric`."""
        unit = (self._wanted @ metric).square().mean().clamp(min=1e-12)
        free = [one for one in (self._weight, self._offset, self._scale, self._lift) if one is not None]
        optimiser = torch.optim.LBFGS(free, max_iter=_STEPS, history_size=30, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            lift = 0 if self._lift is None else self._lift
            made = self._normalised() * self._scale * self._size + lift
            loss = ((made - self._wanted) @ metric).square().mean() / unit
            loss.backward()
            return loss

        with torch.enable_grad():
            optimiser.step(closure)

    def transform(self, whiten: Float[Tensor, "small small"]) -> Transform:
        """As found, of states that are not white yet."""
        offset, lift = (None if one is None else one.detach() for one in (self._offset, self._lift))
        dense = Matrix(self._weight.detach() @ whiten, offset)
        return Transform(dense, self._scale.detach() * self._size, lift)


def _free(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


def _root(moment: Float[Tensor, "size size"]) -> tuple[Tensor, Tensor]:
    """The symmetric square root, and its inverse where it has one."""
    values, vectors = torch.linalg.eigh(moment)
    values = values.clamp(min=0).sqrt()
    inverse = torch.where(values > 1e-3 * values[-1], 1 / values.clamp(min=1e-300), 0.0)
    return vectors * values @ vectors.T, vectors * inverse @ vectors.T
