"""How far a student parser is from its teacher, over heads and relations together.

A biaffine parser (Dozat and Manning 2017, arXiv 1611.01734) gives each word a distribution over heads, and
for each head one over relations; their product is a distribution over (head, relation). By the chain rule
KL(teacher || student) of the product is the divergence of the heads, plus that of the relations averaged as
the teacher draws the head: the product need not be made, and relations on heads that the teacher rules out
weigh nothing.

Example:
    >>> import torch
    >>> unsure = TreeScores(arcs=torch.zeros(1, 1, 2), relations=torch.zeros(1, 1, 2, 2))
    >>> sure = TreeScores(arcs=torch.tensor([[[30.0, 0.0]]]), relations=torch.zeros(1, 1, 2, 2))
    >>> arcs, relations = tree_kl(unsure, sure, torch.tensor([[True]]))
    >>> arcs.exp().tolist(), relations.tolist()
    ([[2.0]], [[0.0]])
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from isogloss.losses.logits import distillation_kl


@dataclass(frozen=True, slots=True)
class TreeScores:
    """What a parser says, before softmax.

    Attributes:
        arcs: score of each head of each word, the root first.
        relations: score of each relation of each word to each head.
    """

    arcs: Float[Tensor, "examples words heads"]
    relations: Float[Tensor, "examples words heads relations"]


def tree_kl(
    student: TreeScores,
    teacher: TreeScores,
    words: Bool[Tensor, "examples words"],
    *,
    temperature: float = 1.0,
    scaled: bool = True,
) -> tuple[Float[Tensor, "examples words"], Float[Tensor, "examples words"]]:
    """KL(teacher || student) of each word's heads, and of its relations, in nats and float32.

    Args:
        student: its scores; gradients flow here.
        teacher: its scores; detach or compute them without gradients.
        words: True at words, False at padding, which is nobody's head either whatever its scores are.
        temperature: above 0. It flattens the heads, and the relations given the head, each by itself; at
            other temperatures than 1 that is another distribution than the product flattened as a whole,
            in which a head with many likely relations would gain.
        scaled: multiply both by temperature squared.

    Returns:
        Two numbers per word, each at least 0 (up to rounding) and 0 at padding: the divergence of the heads;
        and that of the relations, averaged over heads with the teacher's (flattened) probabilities. At
        temperature 1 their sum is the divergence of the product.
    """
    heads = functional.pad(words, (1, 0), value=True)[:, None]
    real = words[..., None] & heads
    arcs = distillation_kl(student.arcs, teacher.arcs, allowed=real, temperature=temperature, scaled=scaled)
    likely = (teacher.arcs.float() / temperature).masked_fill(~real, torch.finfo(torch.float32).min)
    ours, theirs = (torch.where(real[..., None], one.relations, 0.0) for one in (student, teacher))
    relations = distillation_kl(ours, theirs, temperature=temperature, scaled=scaled)
    return arcs, (likely.softmax(-1) * relations).sum(-1)
