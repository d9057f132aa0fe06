"""Whether languages pull a model's weights the same way: cosines of losses' gradients, tensor by tensor.

Gradients are met where they are made: a hook takes each tensor's gradient as soon as it is there, and drops
it. So beside the weights no more is held than one gradient of the whole model and one tensor of another; with
a sketch, one tensor alone.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from isogloss.core.errors import ModelError
from isogloss.core.seeds import derive
from isogloss.models.anatomy import Anatomy, Place, anatomy
from isogloss.models.matrices import Blocks, fused
from isogloss.models.modes import evaluating

Array: TypeAlias = npt.NDArray[np.float64]
Batch: TypeAlias = Mapping[str, Tensor]
Pair: TypeAlias = tuple[str, str]
Loss: TypeAlias = Callable[[Batch], Tensor]
Receive: TypeAlias = Callable[[int, Tensor], None]
"""Takes the number of a tensor and its gradient."""

GROUPS: dict[str, tuple[str, ...]] = {
    "attention": ("attention",),
    "feedforward": ("feedforward",),
    "norm": ("norm", "final_norm"),
    "embedding": ("embedding",),
    "positions": ("inputs",),
    "head": ("head",),
    "shared": ("shared",),
}
"""Kinds of tensors, and the parts of the anatomy that each is."""
ALL = "all"
_WHOLE = Blocks(1, 0)
_ROUNDING = 1e-6
"""A tensor's gradient that is smaller than this share of the largest tensor's is rounding alone."""


@dataclass(frozen=True, slots=True, eq=False)
class GradientCosines:
    """Cosines of gradients, for each item, pair of languages and tensor.

    Attributes:
        pairs: of languages.
        tensors: names of the trained tensors; a tied one once. One that holds several matrices counts as
            these, with numbers (`c_attn.weight[0]` is GPT-2's query): most architectures, and the paper's,
            keep them apart.
        places: where each belongs.
        cosines: (items, pairs, tensors); NaN where one of the two gradients is zero up to rounding, as that
            of the keys' bias is in most models: softmax does not see it, so its direction would be noise.
        error: standard deviation of one cosine through sketching at most; 0 for exact ones. The mean of many
            has less: each item's sketch is drawn anew.
    """

    pairs: tuple[Pair, ...]
    tensors: tuple[str, ...]
    places: tuple[Place, ...]
    cosines: Array
    error: float

    def by_group(self, pair: Pair) -> dict[str, Array]:
        """The mean over the tensors of each kind, and over all of them; (items,) each.

        Kinds that the model does not have are left out.
        """
        values = self.cosines[:, self.pairs.index(pair)]
        chosen = {name: [place.part in parts for place in self.places] for name, parts in GROUPS.items()} | {
            ALL: [True] * len(self.places)
        }
        return {name: _mean(values[:, mask]) for name, mask in chosen.items() if any(mask)}

    def by_layer(self, pair: Pair) -> dict[int, Array]:
        """The mean over the tensors of each layer, from 0; (items,) each. Of two stacks, the encoder's."""
        values = self.cosines[:, self.pairs.index(pair)]
        numbers = sorted({place.layer for place in self.places if place.layer is not None})
        return {
            number: _mean(values[:, [p.layer == number and not p.decoder for p in self.places]])
            for number in numbers
        }


def gradient_cosines(
    model: nn.Module,
    items: Iterable[Mapping[str, Batch]],
    *,
    loss: Loss,
    pairs: Sequence[Pair],
    sketch: int | None = None,
    seed: int = 0,
) -> GradientCosines:
    """Compare languages' gradients on the same items, one item after another.

    Exact cosines take, for each item, a backward pass for each language that comes first in a pair and one
    for each pair. With a sketch one for each language is enough.

    Gradients that the model holds are lost. It runs in evaluation mode: dropout would part two languages by
    chance.

    Args:
        model: holds a transformers model; its tensors that require gradients are compared.
        items: for each item the batch of each language.
        loss: of a batch; padding and what is not to be guessed must have no part in it.
        pairs: of languages.
        sketch: numbers to keep of each tensor's gradient: each entry is added to one of them, drawn at
            random, with a random sign (Charikar et al., 2002). Inner products are then right on average, and
            cosines off by a standard deviation of sqrt(2 / sketch) at most. None for exact cosines.
        seed: of the sketch.

    Raises:
        ModelError: no tensor requires a gradient.
    """
    parts = anatomy(model)
    trained = _trained(model, parts)
    if not trained:
        raise ModelError("no tensor of the model requires a gradient", fix="unfreeze what is to be compared")
    model.zero_grad(set_to_none=True)
    names = [name for one in trained for name in one.names]
    found = []
    with evaluating(model):
        for number, item in enumerate(items):
            if sketch is None:
                found.append(_exact(trained, item, loss, pairs))
            else:
                found.append(_sketched(trained, item, loss, pairs, sketch, derive(seed, "sketch", number)))
    return GradientCosines(
        tuple(pairs),
        tuple(names),
        tuple(parts.place(one.name) for one in trained for _ in one.names),
        np.stack(found) if found else np.empty((0, len(pairs), len(names))),
        0.0 if sketch is None else math.sqrt(2 / sketch),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Trained:
    """A parameter, and the number of the first of the matrices that it holds."""

    name: str
    tensor: Tensor
    first: int
    blocks: Blocks

    @property
    def names(self) -> list[str]:
        several = self.blocks.of > 1
        return [f"{self.name}[{number}]" for number in range(self.blocks.of)] if several else [self.name]


def _trained(model: nn.Module, parts: Anatomy) -> list[_Trained]:
    several, found, number = fused(parts), [], 0
    for name, tensor in model.named_parameters():
        if tensor.requires_grad:
            found.append(_Trained(name, tensor, number, several.get(name, _WHOLE)))
            number += found[-1].blocks.of
    return found


def _count(trained: Sequence[_Trained]) -> int:
    return sum(one.blocks.of for one in trained)


def _exact(
    trained: Sequence[_Trained], item: Mapping[str, Batch], loss: Loss, pairs: Sequence[Pair]
) -> Array:
    """Cosines of one item, (pairs, tensors): one language's gradient is kept, its partners' pass by."""
    products = np.full((len(pairs), _count(trained)), np.nan)
    norms = {language: np.zeros(_count(trained)) for pair in pairs for language in pair}
    for first in dict.fromkeys(pair[0] for pair in pairs):
        kept: dict[int, Tensor] = {}
        _backward(trained, loss, item[first], _kept(kept, norms[first]))
        for row, (one, other) in enumerate(pairs):
            if one == first:
                _backward(trained, loss, item[other], _compared(kept, products[row], norms[other]))
    return _cosines(products, norms, pairs)


def _kept(into: dict[int, Tensor], norms: Array) -> Receive:
    def keep(index: int, gradient: Tensor) -> None:
        into[index], norms[index] = gradient, _norm(gradient)

    return keep


def _compared(kept: Mapping[int, Tensor], products: Array, norms: Array) -> Receive:
    def compare(index: int, gradient: Tensor) -> None:
        norms[index] = _norm(gradient)
        if index in kept:
            products[index] = float((kept[index].float() * gradient.float()).sum())

    return compare


def _sketched(
    trained: Sequence[_Trained],
    item: Mapping[str, Batch],
    loss: Loss,
    pairs: Sequence[Pair],
    size: int,
    seed: int,
) -> Array:
    """Cosines of one item, (pairs, tensors), from a sketch of each language's gradient and its exact norm."""
    sketches: dict[str, dict[int, Tensor]] = {language: {} for pair in pairs for language in pair}
    norms = {language: np.zeros(_count(trained)) for language in sketches}
    for language, own in sketches.items():
        _backward(trained, loss, item[language], _folded(own, norms[language], size, seed))
    products = np.full((len(pairs), _count(trained)), np.nan)
    for row, (one, other) in enumerate(pairs):
        for index in sketches[one].keys() & sketches[other].keys():
            products[row, index] = float(sketches[one][index] @ sketches[other][index])
    return _cosines(products, norms, pairs)


def _folded(into: dict[int, Tensor], norms: Array, size: int, seed: int) -> Receive:
    def fold(index: int, gradient: Tensor) -> None:
        into[index], norms[index] = _fold(gradient, size, derive(seed, index)), _norm(gradient)

    return fold


def _fold(gradient: Tensor, size: int, seed: int) -> Tensor:
    """A count sketch, (size,); a tensor that is no larger stays as it is."""
    flat = gradient.flatten().float()
    if flat.numel() <= size:
        return flat
    draw = torch.Generator(gradient.device).manual_seed(seed)
    drawn = torch.randint(2 * size, flat.shape, generator=draw, device=gradient.device)
    signed = torch.where(drawn < size, flat, -flat)
    return torch.zeros(size, device=gradient.device).index_add_(0, drawn % size, signed)


def _backward(trained: Sequence[_Trained], loss: Loss, batch: Batch, receive: Receive) -> None:
    with _handed_over(trained, receive), torch.enable_grad():
        loss(batch).backward()


@contextlib.contextmanager
def _handed_over(trained: Iterable[_Trained], receive: Receive) -> Iterator[None]:
    """Give each gradient away as soon as it is whole, matrix by matrix with their numbers."""

    def hook_of(one: _Trained) -> Callable[[Tensor], None]:
        def hook(tensor: Tensor) -> None:
            assert tensor.grad is not None
            gradient, tensor.grad = tensor.grad, None
            for number, matrix in enumerate(gradient.chunk(*one.blocks)):
                receive(one.first + number, matrix)

        return hook

    handles = [one.tensor.register_post_accumulate_grad_hook(hook_of(one)) for one in trained]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _norm(gradient: Tensor) -> float:
    return float(torch.linalg.vector_norm(gradient, dtype=torch.float32))


def _cosines(products: Array, norms: Mapping[str, Array], pairs: Sequence[Pair]) -> Array:
    """(pairs, tensors)."""
    told = {language: np.where(own > _ROUNDING * own.max(), own, np.nan) for language, own in norms.items()}
    return np.stack([row / (told[a] * told[b]) for row, (a, b) in zip(products, pairs, strict=True)])


def _mean(values: Array) -> Array:
    """Over the last axis, without NaN; NaN where there is nothing else."""
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    total = np.where(there, values, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
