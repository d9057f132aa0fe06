"""Fewer or smaller heads of a model that is made narrower.

Heads can be left out. Where they must together be as wide as the model, they can also become smaller:

- Values and outputs: the product of value and output matrix is replaced by the nearest of lower rank, on the
  values that calibration text makes.
- Queries and keys: their scores are replaced likewise. Where rotary positions turn them in pairs of
  coordinates, each pair at its own frequency, a smaller head has the frequencies of its size: of each it
  keeps the pair whose frequency is nearest. Half the size has every second frequency of the whole, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from isogloss.compress.heads import block_rows
from isogloss.compress.observe import Batch, Reader, observe
from isogloss.models.anatomy import Anatomy
from isogloss.models.matrices import Weights, head_size, inside, key_heads, layer_matrices, module_inside


class AttentionCut(NamedTuple):
    """What to multiply the matrices of one layer by.

    Attributes:
        query, key, value: before the outputs of these.
        output: behind the inputs of the output matrix.
    """

    query: Float[Tensor, "inner wide_inner"]
    key: Float[Tensor, "key_inner wide_key_inner"]
    value: Float[Tensor, "key_inner wide_key_inner"]
    output: Float[Tensor, "wide_inner inner"]


def attention_cuts(
    parts: Anatomy, config: Any, batches: Sequence[Batch], kept: Int64[Tensor, "layers kept"] | None
) -> list[AttentionCut] | None:
    """The cut of every layer; None where all heads stay as they are.

    Args:
        config: of the narrower model.
        batches: read only if heads become smaller.
        kept: heads to keep, as `keep_heads` takes them; None keeps all.
    """
    size, smaller = head_size(parts.config), head_size(config)
    if kept is None and smaller == size:
        return None
    if kept is None:
        heads = int(parts.config.num_attention_heads)
        kept = torch.arange(heads).expand(len(parts.layers), heads)
    if smaller == size:
        return [_chosen(parts, groups) for groups in kept]
    moments = _moments(parts, batches)
    return [_cut(parts, layer, moments[layer], stay, smaller) for layer, stay in enumerate(kept)]


def _chosen(parts: Anatomy, groups: Int64[Tensor, " groups"]) -> AttentionCut:
    """Some heads as they are."""
    size, device = head_size(parts.config), parts.embedding.weight.device
    shared = int(parts.config.num_attention_heads) // key_heads(parts.config)

    def rows(heads: Tensor, number: int) -> Tensor:
        return torch.eye(number * size, dtype=torch.float64)[block_rows(heads.cpu(), size)].to(device)

    query = rows(block_rows(groups.cpu(), shared), int(parts.config.num_attention_heads))
    key = rows(groups, key_heads(parts.config))
    return AttentionCut(query, key, key, query.T)


class _Moments(NamedTuple):
    """Second moments of each head's queries, keys and mixed values, [heads size size]."""

    query: Tensor
    key: Tensor
    mixed: Tensor


def _moments(parts: Anatomy, batches: Sequence[Batch]) -> list[_Moments]:
    names, heads = layer_matrices(parts.family.name), int(parts.config.num_attention_heads)
    size = head_size(parts.config)
    zeros = [torch.zeros(3, heads, size, size, dtype=torch.float64) for _ in parts.layers]
    inputs: dict[nn.Module, Reader] = {}
    outputs: dict[nn.Module, Reader] = {}
    for layer, sums in enumerate(zeros):
        moments = _Moments(*sums)
        inputs[module_inside(parts, layer, names.output)] = _adder([(moments.mixed, 0, 1)])
        reading: dict[str, list[tuple[Tensor, int, int]]] = {}
        for block, into in ((names.query, moments.query), (names.key, moments.key)):
            reading.setdefault(block.path, []).append((into, block.number, block.of))
        for path, found in reading.items():
            outputs[module_inside(parts, layer, path)] = _adder(found)
    observe(parts.model, batches, inputs=inputs, outputs=outputs)
    return [_Moments(*sums) for sums in zeros]


def _adder(into: list[tuple[Tensor, int, int]]) -> Reader:
    """Add up the second moment of each head, for blocks of what a module returns."""

    def read(states: Tensor) -> None:
        for total, number, of in into:
            split = states.double().cpu().chunk(of, dim=-1)[number].unflatten(-1, (total.shape[0], -1))
            total += torch.einsum("thi,thj->hij", split, split)

    return read


def _cut(parts: Anatomy, layer: int, moments: _Moments, kept: Tensor, smaller: int) -> AttentionCut:
    names, size = layer_matrices(parts.family.name), head_size(parts.config)
    weight = Weights(parts).read(inside(parts, layer, names.output)).weight.double().cpu()
    rotary = parts.family.positions == "rotary"
    pieces = []
    for head in kept.tolist():
        columns = weight[:, head * size : (head + 1) * size]
        query, key = (
            (_nearest_frequencies(size, smaller),) * 2
            if rotary
            else _smaller_scores(moments.query[head], moments.key[head], smaller)
        )
        # Scores are divided by the root of the head's size, which is smaller now.
        rescale = (smaller / size) ** 0.25 if _scaled(parts.config) else 1.0
        value, output = _smaller_values(moments.mixed[head], columns, smaller)
        pieces.append((query * rescale, key * rescale, value, output))
    heads = int(parts.config.num_attention_heads)
    query, key, value, output = (
        _spread([piece[i] for piece in pieces], kept, heads, across=i < 3) for i in range(4)
    )
    device = parts.embedding.weight.device
    return AttentionCut(query.to(device), key.to(device), value.to(device), output.to(device))


def _scaled(config: Any) -> bool:
    return bool(getattr(config, "scale_attn_weights", True))


def _spread(pieces: list[Tensor], kept: Tensor, heads: int, *, across: bool) -> Tensor:
    """One matrix from a piece for each kept head, at its old columns (`across`) or rows."""
    smaller, size = pieces[0].shape if across else pieces[0].T.shape
    whole = torch.zeros(len(pieces) * smaller, heads * size, dtype=torch.float64)
    for place, (head, piece) in enumerate(zip(kept.tolist(), pieces, strict=True)):
        block = piece if across else piece.T
        whole[place * smaller : (place + 1) * smaller, head * size : (head + 1) * size] = block
    return whole if across else whole.T


def _nearest_frequencies(size: int, smaller: int) -> Float[Tensor, "{smaller} {size}"]:
    """Pair i of a head turns at base^(-2i / size); for each of the smaller head, the pair nearest to that."""
    pairs = torch.arange(smaller // 2) * size // smaller
    return torch.eye(size, dtype=torch.float64)[torch.cat([pairs, pairs + size // 2])]


def _smaller_scores(
    query: Float[Tensor, "size size"], key: Float[Tensor, "size size"], smaller: int
) -> tuple[Float[Tensor, "{smaller} size"], Float[Tensor, "{smaller} size"]]:
    """What takes queries and keys with these second moments to smaller ones with the nearest scores."""
    (root_q, inverse_q), (root_k, inverse_k) = _root(query), _root(key)
    left, strength, right = torch.linalg.svd(root_q @ root_k)
    strength = strength[:smaller].sqrt()[:, None]
    return strength * (left[:, :smaller].T @ inverse_q), strength * (right[:smaller] @ inverse_k)


def _smaller_values(
    mixed: Float[Tensor, "size size"], output: Float[Tensor, "hidden size"], smaller: int
) -> tuple[Float[Tensor, "{smaller} size"], Float[Tensor, "size {smaller}"]]:
    """What takes values to smaller ones, and the output matrix to one for them, with the nearest results."""
    root, inverse = _root(mixed)
    leading = torch.linalg.svd(root @ output.T, full_matrices=False).U[:, :smaller]
    into, back = leading.T @ inverse, root @ leading
    # Values of unit size would do as well; the value matrix shall keep its size.
    size = into.norm() / smaller**0.5
    return into / size, back * size


def _root(moment: Float[Tensor, "size size"]) -> tuple[Tensor, Tensor]:
    """The symmetric square root, and its inverse where it has one."""
    values, vectors = torch.linalg.eigh(moment)
    values = values.clamp(min=0).sqrt()
    usable = values > 1e-6 * values[-1]
    inverse = torch.where(usable, 1 / values.clamp(min=1e-300), 0.0)
    return vectors * values @ vectors.T, vectors * inverse @ vectors.T
