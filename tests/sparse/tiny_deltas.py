"""Small tensors and deltas for the tests of `isogloss.sparse`."""

from __future__ import annotations

import torch

from isogloss.sparse.delta import Change, Delta

SHAPES = {"embeddings.weight": (10, 4), "layers.0.weight": (4, 4), "layers.1.weight": (4, 4), "bias": (3,)}


def tiny_tensors(seed: int = 0, *, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Tensors of these shapes, with small and large values, and a head."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {**SHAPES, "head.weight": (2, 4)}
    scale = torch.tensor([1e-3, 1.0, 300.0])
    return {
        name: (
            torch.randn(shape, generator=generator) * scale[torch.randint(0, 3, shape, generator=generator)]
        ).to(dtype)
        for name, shape in shapes.items()
    }


def tiny_delta(seed: int = 0, *, density: float = 0.4, head: bool = True, **facts: str | None) -> Delta:
    """A change of some entries of each tensor but the last, and a head."""
    generator = torch.Generator().manual_seed(seed + 100)
    changes = {}
    for name, shape in list(SHAPES.items())[:-1]:
        size = torch.Size(shape).numel()
        chosen = torch.rand(size, generator=generator) < density
        indices = chosen.nonzero().squeeze(-1).to(torch.int32)
        changes[name] = Change(shape, indices, torch.randn(len(indices), generator=generator))
    dense = {"head.weight": torch.randn(2, 4, generator=generator)} if head else {}
    return Delta(changes, dense, **{"base": "b" * 64, "vocabulary": "v" * 64, **facts})


def same_delta(first: Delta, second: Delta) -> bool:
    """Whether two deltas are equal to the bit."""
    return (
        first.changes.keys() == second.changes.keys()
        and first.dense.keys() == second.dense.keys()
        and all(
            first.changes[name].shape == second.changes[name].shape
            and torch.equal(first.changes[name].indices, second.changes[name].indices)
            and torch.equal(first.changes[name].values, second.changes[name].values)
            for name in first.changes
        )
        and all(torch.equal(first.dense[name], second.dense[name]) for name in first.dense)
        and (first.base, first.vocabulary) == (second.base, second.vocabulary)
        and dict(first.about) == dict(second.about)
    )
