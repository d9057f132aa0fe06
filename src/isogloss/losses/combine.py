"""Bring losses together: means that padding cannot touch, and a weighted sum that logs its parts.

Example:
    >>> import torch
    >>> both = combine({"hidden": torch.tensor([1.0, 3.0]), "logits": torch.tensor(4.0)}, {"logits": 0.5})
    >>> both.total.item(), both.log()["hidden/1"]
    (4.0, 3.0)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from isogloss.core.errors import UserError, did_you_mean


def mean_over(
    values: Float[Tensor, "*shape"], weight: Bool[Tensor, "*shape"] | Int[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Weighted mean; 0 with zero gradients when all weights are 0.

    Args:
        values: a number per row or token, finite where the weight is not 0.
        weight: how often each counts; a mask counts each real one once.
    """
    counted = torch.where(weight > 0, values, 0.0) * weight
    return counted.sum() / weight.sum().clamp(min=1)


@dataclass(frozen=True)
class Combined:
    """A loss and what it is made of.

    Attributes:
        total: the number to call `backward` on.
        parts: each part by name, detached and before weighting; one number, or one per layer.
    """

    total: Float[Tensor, ""]
    parts: Mapping[str, Shaped[Tensor, "*layers"]]

    def log(self) -> dict[str, float]:
        """`loss`, each part's mean by name, and `name/i` for each layer of a part that has several."""
        lines = {"loss": self.total.item()}
        for name, part in self.parts.items():
            lines[name] = part.mean().item()
            if part.ndim == 1:
                lines |= {f"{name}/{i}": value for i, value in enumerate(part.tolist())}
        return lines


def combine(parts: Mapping[str, Float[Tensor, "*layers"]], weights: Mapping[str, float]) -> Combined:
    """Weighted sum of parts; a part with several layers enters as their mean.

    Args:
        parts: losses by name, each one number or one per layer; at least one.
        weights: what to multiply each by; 1 for a part that is not named.

    Raises:
        UserError: a weight for a part that does not exist.
    """
    for name in weights:
        if name not in parts:
            raise UserError(
                f"a weight for the loss {name!r}",
                wanted=f"one of: {', '.join(sorted(parts))}",
                fix=did_you_mean(name, parts),
            )
    terms = [weights.get(name, 1.0) * part.mean() for name, part in parts.items()]
    return Combined(torch.stack(terms).sum(), {name: part.detach() for name, part in parts.items()})
