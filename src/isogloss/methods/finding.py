"""One number about two languages of a model."""

from __future__ import annotations

from dataclasses import dataclass

from isogloss.core.resampling import Estimate

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One number about two languages.

    Attributes:
        metric: hidden_cosine, hidden_cosine_floor, hidden_cosine_chance, each also with `_centred`; cka;
            retrieval_accuracy, retrieval_mrr, each also with `_centred`; gradient_cosine; embedding_cosine,
            embedding_cosine_floor.
        value: with its interval over texts (over pieces for rows), NaN where there is none.
        languages: compared; retrieval looks for texts of the first among those of the second.
        layer: the number of a hidden state, or for gradients of a layer; None for a number over all.
        part: gradient_cosine: the kind of tensor; embedding_*: "input" or "output" rows.
        frequency: embedding_*: the least count of its bin; None over all pieces.
    """

    metric: str
    value: Estimate
    languages: Pair
    layer: int | None = None
    part: str | None = None
    frequency: float | None = None
