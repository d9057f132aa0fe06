"""What a model says about an example: one frozen record per kind, with the example's id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class LabelPrediction:
    """The most probable label, and the probability of each, in the model's order."""

    id: str
    label: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ChoicePrediction:
    """The best alternative's position, and the probability of each."""

    id: str
    choice: int
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GapPrediction:
    """The best candidate, and each one's log-probability in nats.

    Masked and encoder-decoder models: the mean over the candidate's tokens. Causal models: the sum over the
    text from where the candidates first differ to its end; what they all begin with adds the same to each.
    """

    id: str
    best: str
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TagsPrediction:
    """One tag per word."""

    id: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TreePrediction:
    """A single-rooted tree: heads (1-based, 0 for the root) and relations, one per word."""

    id: str
    heads: tuple[int, ...]
    relations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpanPrediction:
    """The best answer, where it starts in the context, and its log-probability in its window.

    "" at 0 when the context is empty.
    """

    id: str
    text: str
    start: int
    score: float


@dataclass(frozen=True, slots=True)
class TextPrediction:
    """Minus the log-probability of a text in nats, over how many tokens and UTF-8 bytes.

    For masked and encoder-decoder models each token is scored once, with one in seven hidden at a time, so
    the number compares models of that sort with each other and not with causal ones.
    """

    id: str
    nats: float
    tokens: int
    n_bytes: int


Prediction: TypeAlias = (
    LabelPrediction
    | ChoicePrediction
    | GapPrediction
    | TagsPrediction
    | TreePrediction
    | SpanPrediction
    | TextPrediction
)
