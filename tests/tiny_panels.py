"""Panels small enough to check by eye, and random ones."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from isogloss.analysis.panel import Panel


def panel(**languages):
    """From rows of probabilities per language; items are called q0, q1, ..."""
    values = np.array(list(languages.values()), dtype=np.float64)
    return Panel(tuple(languages), tuple(f"q{item}" for item in range(values.shape[1])), values)


def simulated(accuracies, *, items=300, classes=4, seed=0):
    """Languages that are right with given probabilities, independently; returns the panel and the truth."""
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=items)
    wrong = (truth + random.integers(1, classes, size=(len(accuracies), items))) % classes
    right = random.random((len(accuracies), items)) < np.array(accuracies)[:, None]
    choice = np.where(right, truth, wrong)
    values = np.full((*choice.shape, classes), 0.2 / classes)
    np.put_along_axis(values, choice[..., None], 0.8 + 0.2 / classes, axis=2)
    names = tuple(f"l{place}" for place in range(len(accuracies)))
    return Panel(names, tuple(f"q{item}" for item in range(items)), values), truth


@st.composite
def panels(draw, *, coarse=False):
    """Random panels; coarse ones have many equal probabilities."""
    languages, items = draw(st.integers(2, 5)), draw(st.integers(1, 6))
    classes = draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (languages, items, classes)
    values = random.integers(1, 4, shape) if coarse or draw(st.booleans()) else random.random(shape) + 1e-3
    values = values / values.sum(axis=2, keepdims=True)
    names = tuple(f"l{place}" for place in range(languages))
    return Panel(names, tuple(f"q{item}" for item in range(items)), values)
