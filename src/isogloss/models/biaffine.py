"""The deep biaffine parser of Dozat and Manning (2017), over any encoder's hidden states."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_DROPOUT = 0.33
_ARC_SHARE, _MOST_ARC, _MOST_RELATION = 5 / 8, 500, 100


def projection_sizes(hidden: int) -> tuple[int, int]:
    """Widths of the arc and relation projections: the paper's 500 and 100 for its 800, smaller for less."""
    arc = max(16, min(_MOST_ARC, round(hidden * _ARC_SHARE)))
    return arc, max(16, min(_MOST_RELATION, arc // 2))


class BiaffineParser(nn.Module):
    """Scores of every arc and of every relation on it.

    A word is represented by its first subword's state; the root by a learnt vector that stands before the
    words as one more head.
    """

    def __init__(self, hidden: int, relations: int) -> None:
        super().__init__()
        arc, relation = projection_sizes(hidden)
        self.root = nn.Parameter(torch.empty(hidden))
        self.dropout = nn.Dropout(_DROPOUT)
        self.arc_dependent, self.arc_head = _project(hidden, arc), _project(hidden, arc)
        self.relation_dependent, self.relation_head = _project(hidden, relation), _project(hidden, relation)
        self.arc = nn.Linear(arc, arc)
        self.relation = nn.Parameter(torch.empty(relations, relation + 1, relation + 1))
        nn.init.normal_(self.root, std=0.02)
        nn.init.normal_(self.relation, std=(relation + 1) ** -0.5)

    def forward(
        self, words: Float[Tensor, "batch words hidden"], real: Int[Tensor, "batch words"]
    ) -> tuple[Float[Tensor, "batch words heads"], Float[Tensor, "batch words heads relations"]]:
        """Score arcs (eq. 2) and relations (eq. 3).

        Args:
            words: states of the words.
            real: 1 for words, 0 for padding.

        Returns:
            Arc scores over heads = words + 1, the root first, the lowest finite value for padded heads; and
            relation scores for every pair.
        """
        dependents = self.dropout(words)
        root = self.root.expand(len(words), 1, -1)
        heads = torch.cat([self.dropout(root), dependents], 1)
        arcs = _pairs(self.arc(self.arc_dependent(dependents)), self.arc_head(heads))
        padded = torch.cat([real.new_ones(len(real), 1), real], 1)[:, None] == 0
        arcs = arcs.masked_fill(padded, torch.finfo(arcs.dtype).min)
        return arcs, self._relations(self.relation_dependent(dependents), self.relation_head(heads))

    def _relations(
        self,
        dependents: Float[Tensor, "batch words size"],
        heads: Float[Tensor, "batch heads size"],
    ) -> Float[Tensor, "batch words heads relations"]:
        one_d, one_h = dependents.new_ones(*dependents.shape[:2], 1), heads.new_ones(*heads.shape[:2], 1)
        left, right = torch.cat([dependents, one_d], -1), torch.cat([heads, one_h], -1)
        mixed = torch.einsum("bwi,rij->bwrj", left, self.relation.to(left.dtype))
        return torch.einsum("bwrj,bhj->bwhr", mixed, right)


def _project(hidden: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden, size), nn.LeakyReLU(0.1), nn.Dropout(_DROPOUT))


def _pairs(
    dependents: Float[Tensor, "batch words size"], heads: Float[Tensor, "batch heads size"]
) -> Float[Tensor, "batch words heads"]:
    return dependents @ heads.transpose(1, 2)
