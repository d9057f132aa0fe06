"""The norm of a narrower model that does most nearly what the wide model's norm does."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_RIDGE = 1e-6
"""Of the mean variance of a coordinate: a coordinate that never moves takes the common scale."""


def plain_norm(states: Float[Tensor, "tokens size"], norm: Any) -> Float[Tensor, "tokens size"]:
    """What a norm of this kind makes of states before it multiplies by its weight.

    Args:
        norm: a LayerNorm, or an RMSNorm of transformers; its kind and epsilon count, not its size.
    """
    if isinstance(norm, nn.LayerNorm):
        return nn.functional.layer_norm(states, states.shape[-1:], eps=norm.eps)
    return states * (states.square().mean(dim=-1, keepdim=True) + norm.variance_epsilon).rsqrt()


class NormFit:
    """Scale and shift of a narrow norm, by least squares per coordinate over all tokens it is shown.

    Attributes:
        weight: of the wide norm.
        bias: of the wide norm; None where it has none.
    """

    def __init__(
        self,
        norm: Any,
        basis: Float[Tensor, "large small"],
        *,
        into: Float[Tensor, "large small"],
        with_weight: bool,
    ) -> None:
        """Nothing is seen yet.

        Args:
            norm: the wide one.
            basis: of the narrow stream.
            into: what takes the states in front of the wide norm to those in front of the narrow one.
            with_weight: the narrow norm does all that the wide one does, its weight and bias included;
                otherwise these are in the matrices behind it, and it normalises alone.
        """
        self._norm, self._basis, self._into, self._with_weight = norm, basis, into, with_weight
        self.weight = norm.weight.detach().double()
        own_bias = getattr(norm, "bias", None)
        self.bias = None if own_bias is None else own_bias.detach().double()
        self._carried: Tensor | None = None
        self._tokens = 0
        # Of what goes in and what is wanted: sums, sums of squares, sums of products.
        self._sums = torch.zeros(4, basis.shape[1], dtype=torch.float64, device=basis.device)

    def read(self, states: Float[Tensor, "tokens large"]) -> None:
        """See states in front of the wide norm."""
        states = states.double()
        target = plain_norm(states, self._norm)
        if self._with_weight:
            target = target * self.weight + (0 if self.bias is None else self.bias)
        wanted, given = target @ self._basis, plain_norm(states @ self._into, self._norm)
        self._sums += torch.stack([given, wanted, given.square(), given * wanted]).sum(dim=1)
        self._tokens += len(states)

    def carry_bias(self) -> None:
        """Let the narrow norm add what the wide one did, for the matrix behind has no bias to take it up."""
        scaled = self.weight[:, None] * self._basis
        assert self.bias is not None
        self._carried = torch.linalg.solve(scaled.T @ scaled, scaled.T @ self.bias)

    def fitted(self) -> tuple[Float[Tensor, " small"], Float[Tensor, " small"] | None]:
        """Scale, and shift where the wide norm has one."""
        given, wanted, square, product = self._sums / self._tokens
        if self.bias is None:
            given, wanted = torch.zeros_like(given), torch.zeros_like(wanted)
        variance, covariance = square - given.square(), product - given * wanted
        common = covariance.sum() / variance.sum()
        ridge = _RIDGE * variance.mean()
        scale = (covariance + ridge * common) / (variance + ridge)
        if self.bias is None:
            return scale, None
        shift = wanted - scale * given
        return scale, shift if self._carried is None else shift + self._carried

    def apply(self, states: Float[Tensor, "tokens large"]) -> Float[Tensor, "tokens small"]:
        """What the narrow norm makes of these states of the wide model."""
        scale, shift = self.fitted()
        return plain_norm(states.double() @ self._into, self._norm) * scale + (0 if shift is None else shift)
