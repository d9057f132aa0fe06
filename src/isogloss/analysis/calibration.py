"""Whether each language is as sure as it is right, and whether it still tells items apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isogloss.analysis.panel import Array, Classes, Panel
from isogloss.analysis.vote import majority_vote
from isogloss.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Calibration:
    """How one language's confidence compares with how often it is right.

    Attributes:
        error: expected calibration error, in [0, 1]: the mean distance of confidence and accuracy over bins
            of equally many items.
        confidence: mean probability of its own choice.
        accuracy: share of items on which its choice is the target.
    """

    error: float
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Variety:
    """How much one language's answers differ from item to item; all 0 where it says the same of every item.

    Attributes:
        labels: entropy of its choices over all items, in nats: 0 when it always chooses one class.
        share: the same as a share of the logarithm of the number of classes, in [0, 1]; 0 with one class.
        marginal: entropy of its mean distribution, in nats. A model that is even over all classes on every
            item has the highest there is, so alone it shows only a collapse into one class.
        information: `marginal` minus the mean entropy of each item's distribution, in nats: what an answer
            says about the item. 0 for any constant answer, sure or even.
    """

    labels: float
    share: float
    marginal: float
    information: float


def calibration(
    panel: Panel, targets: Sequence[int] | Classes | None = None, *, bins: int = 10
) -> dict[str, Calibration]:
    """Compare each language's confidence with gold, or with the vote.

    Bins hold equally many items (Nguyen and O'Connor, 2015), for most confidences lie near 1. Items of equal
    confidence count as equally often right, so that their order changes nothing.

    Args:
        targets: (items,), the right class of each item; None for the majority vote.
        bins: at most one per item.

    Raises:
        DataError: not one class for each item, or no bins.
    """
    wanted = majority_vote(panel).classes if targets is None else _targets(panel, targets)
    if bins < 1:
        raise DataError(f"bins: {bins}", wanted="1 or more")
    confidences, right = panel.probabilities.max(axis=2), panel.choices == wanted
    return {
        language: Calibration(
            error=_calibration_error(confidence, hits.astype(np.float64), bins),
            confidence=float(confidence.mean()),
            accuracy=float(hits.mean()),
        )
        for language, confidence, hits in zip(panel.languages, confidences, right, strict=True)
    }


def variety(panel: Panel) -> dict[str, Variety]:
    """How much each language's answers differ from item to item: the measure of collapse."""
    classes = int(panel.possible.any(axis=0).sum())
    chosen = np.stack([np.bincount(row, minlength=panel.probabilities.shape[2]) for row in panel.choices])
    labels = _entropy(chosen / len(panel.ids))
    marginal = _entropy(panel.probabilities.mean(axis=1))
    information = np.maximum(marginal - _entropy(panel.probabilities).mean(axis=1), 0.0)
    highest = math.log(classes) if classes > 1 else math.inf
    return {
        language: Variety(
            float(labels[place]),
            min(float(labels[place]) / highest, 1.0),
            float(marginal[place]),
            float(information[place]),
        )
        for place, language in enumerate(panel.languages)
    }


def _targets(panel: Panel, targets: Sequence[int] | Classes) -> Classes:
    values = np.asarray(targets)
    classes = panel.probabilities.shape[2]
    fits = values.shape == (len(panel.ids),) and np.issubdtype(values.dtype, np.integer)
    if not fits or not ((values >= 0) & (values < classes)).all():
        raise DataError(
            f"targets of shape {values.shape} for {len(panel.ids)} items of {classes} classes",
            wanted=f"one whole number from 0 to {classes - 1} for each item",
            fix="restrict the panel to items with gold",
        )
    return values.astype(np.int64)


def _calibration_error(confidence: Array, right: Array, bins: int) -> float:
    levels, place, size = np.unique(confidence, return_inverse=True, return_counts=True)
    expected = (np.bincount(place, weights=right, minlength=levels.size) / size)[place]
    order = np.argsort(confidence)
    parts = np.array_split(confidence[order] - expected[order], min(bins, confidence.size))
    return sum(abs(float(part.sum())) for part in parts) / confidence.size


def _entropy(probabilities: Array) -> npt.NDArray[np.float64]:
    """In nats, over the last axis; 0 for a class of probability 0."""
    logs = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return np.maximum(-(probabilities * logs).sum(axis=-1), 0.0)
