"""Maximum-weight matching of tokens by scipy against networkx, which the authors' code uses.

One similarity of 256 x 256 tokens, uniform in [0, 1), on one thread. Both must find the same total weight.
The plain side is the search alone, without building its graph.

    python benchmarks/matching.py
"""

from __future__ import annotations

import networkx as nx
import numpy as np
from harness import Contest, compare

from isogloss.analysis.alignment import matching

TOKENS, ROUNDS = 256, 2


def main() -> None:
    """Check the weights, then time both sides in turn."""
    similarity = np.random.default_rng(0).random((TOKENS, TOKENS))
    graph = nx.Graph()
    graph.add_weighted_edges_from(
        (row, TOKENS + column, similarity[row, column]) for row in range(TOKENS) for column in range(TOKENS)
    )
    ours = similarity[matching(similarity)].sum()
    plain = sum(graph.edges[pair]["weight"] for pair in nx.max_weight_matching(graph))
    assert abs(ours - plain) < 1e-9 * plain, (ours, plain)
    print(f"total weight: ours {ours:.9f}, networkx {plain:.9f}")
    contest = Contest("matching", lambda: matching(similarity), lambda: nx.max_weight_matching(graph))
    facts = {"tokens": TOKENS, "networkx": nx.__version__, "total_weight": ours}
    compare("matching", [contest], rounds=ROUNDS, facts=facts)


if __name__ == "__main__":
    main()
