"""From arc scores to dependency trees: the best tree with exactly one root, found exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating[Any]]
Heads = npt.NDArray[np.int64]


def decode_trees(arcs: Scores, lengths: Sequence[int]) -> list[list[int]]:
    """The highest-scoring single-rooted tree of each sentence.

    Where every word's best head already makes such a tree, that is the answer, and the whole batch is checked
    for it at once; the others go through Chu-Liu/Edmonds.

    Args:
        arcs: batch by words by words + 1; entry [b, i, j] scores word j (1-based; 0 is the root) as head of
            word i + 1. Logits or log-probabilities: a constant per word changes nothing.
        lengths: words of each sentence; what lies beyond is not read.

    Returns:
        The head of each word, 1-based, 0 for the root.
    """
    batch, width = arcs.shape[0], arcs.shape[1]
    scores = np.array(arcs, dtype=np.float64)
    counts = np.asarray(lengths, dtype=np.int64).reshape(batch)
    words = np.arange(width)
    scores[:, words, words + 1] = -np.inf
    scores[np.broadcast_to(np.arange(width + 1) > counts[:, None, None], scores.shape)] = -np.inf
    greedy = scores.argmax(-1) if width else np.zeros((batch, 0), dtype=np.int64)
    good = _single_rooted(greedy, words < counts[:, None])
    return [
        (greedy[b, :n] if good[b] else best_tree(scores[b, :n, : n + 1])).tolist()
        for b, n in enumerate(counts)
    ]


def _single_rooted(heads: Heads, real: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which rows of heads are trees with one root, by following all heads in ever longer jumps."""
    batch, width = heads.shape
    above = np.concatenate([np.zeros((batch, 1), dtype=np.int64), np.where(real, heads, 0)], axis=1)
    for _ in range(width.bit_length()):
        above = np.take_along_axis(above, above, axis=1)
    roots: npt.NDArray[np.bool_] = ((heads == 0) & real).sum(1) <= 1
    return roots & (above == 0).all(1)


def best_tree(scores: Scores) -> Heads:
    """The best single-rooted tree of one sentence, by Chu-Liu/Edmonds.

    All arcs from the root are lowered by more than any tree could make up for with its other arcs, so the
    best arborescence has as few of them as it can, one (Stanojević and Cohen, 2021).

    Args:
        scores: words by words + 1, as in `decode_trees`; -inf where there can be no arc.

    Returns:
        The head of each word, 1-based, 0 for the root.
    """
    n = scores.shape[0]
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    square = np.full((n + 1, n + 1), -np.inf)
    square[1:] = scores
    np.fill_diagonal(square, -np.inf)
    finite = square[np.isfinite(square)]
    square[:, 0] -= (n + 1) * (float(finite.max() - finite.min()) + 1.0)
    return _arborescence(square)[1:]


def _arborescence(scores: Scores) -> Heads:
    """The best arborescence over all nodes from node 0; `scores` is dependents by heads. Entry 0 is 0."""
    heads = scores.argmax(1)
    heads[0] = 0
    cycle = _cycle(heads)
    if cycle is None:
        return heads
    kept = np.ones(len(heads), dtype=bool)
    kept[cycle] = False
    outside = np.flatnonzero(kept)
    smaller, leaving, entering = _contract(scores, heads, cycle, outside)
    return _expand(heads, _arborescence(smaller), cycle, outside, leaving, entering)


def _cycle(heads: Heads) -> Heads | None:
    """The nodes of one cycle, in order, or None."""
    colour = [0] * len(heads)
    colour[0] = 1
    for start in range(1, len(heads)):
        node, path = start, []
        while not colour[node]:
            colour[node] = start + 1
            path.append(node)
            node = int(heads[node])
        if path and colour[node] == start + 1:
            return np.asarray(path[path.index(node) :])
    return None


def _contract(scores: Scores, heads: Heads, cycle: Heads, outside: Heads) -> tuple[Scores, Heads, Heads]:
    """The graph with the cycle as its last node.

    Returns:
        The smaller scores; for each outside node, which of the cycle would be its head; for each outside
        node, which of the cycle it would take over as its head.
    """
    k = len(outside)
    smaller = np.full((k + 1, k + 1), -np.inf)
    smaller[:k, :k] = scores[np.ix_(outside, outside)]
    out = scores[np.ix_(outside, cycle)]
    gain = scores[np.ix_(cycle, outside)] - scores[cycle, heads[cycle]][:, None]
    smaller[:k, k], smaller[k, :k] = out.max(1), gain.max(0)
    return smaller, cycle[out.argmax(1)], cycle[gain.argmax(0)]


def _expand(
    heads: Heads, small: Heads, cycle: Heads, outside: Heads, leaving: Heads, entering: Heads
) -> Heads:
    k = len(outside)
    full = heads.copy()
    into_cycle = small[:k] == k
    full[outside] = np.where(into_cycle, leaving, outside[np.minimum(small[:k], k - 1)])
    broken = entering[small[k]]
    full[broken] = outside[small[k]]
    full[0] = 0
    return full
