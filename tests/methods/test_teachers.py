"""Weights of teachers in a consensus, and teachers found by the source."""

from __future__ import annotations

import math

import numpy as np
import pytest

from isogloss.analysis.panel import Panel
from isogloss.core.errors import RecipeError
from isogloss.methods.teachers import TeacherRule

LANGUAGES = ("en-Latn", "fr-Latn", "sw-Latn", "yo-Latn")


def panel(agreeing=(1.0, 0.7, 0.5, 0.2), items=40, classes=4):
    """Languages that say what the first says of so many of the items, and another class of the others."""
    said = np.arange(items) % classes
    rows = np.full((len(LANGUAGES), items, classes), 0.1 / (classes - 1))
    for number, share in enumerate(agreeing):
        own = np.where(np.arange(items) < share * items, said, (said + number) % classes)
        rows[number, np.arange(items), own] = 0.9
    return Panel(LANGUAGES, tuple(map(str, range(items))), rows)


def test_the_source_is_its_own_best_judge_and_others_are_judged_by_it():
    found = TeacherRule(selector="source").choose(panel(), seed=0, source="en-Latn")
    assert found.selection.scores == pytest.approx(
        {"en-Latn": 1.0, "fr-Latn": 0.7, "sw-Latn": 0.5, "yo-Latn": 0.2}
    )
    assert found.languages == ("en-Latn", "fr-Latn")


def test_the_source_selects_nothing_without_a_source():
    with pytest.raises(RecipeError, match=r"source: eng"):
        TeacherRule(selector="source").choose(panel(), seed=0)


def test_a_teacher_weighs_the_log_odds_of_being_right():
    whole = panel()
    found = TeacherRule(selector="source").choose(whole, seed=0, source="en-Latn")
    expected = [math.log(0.99 * 3 / 0.01), math.log(0.7 * 3 / 0.3)]
    assert found.weights.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("selector", ["confidence", "reliability", "all"])
def test_every_teacher_has_a_weight_above_nothing(selector):
    whole = panel()
    found = TeacherRule(selector=selector).choose(whole, seed=0)
    assert len(found.weights) == len(found.languages)
    assert (found.weights > 0).all()


def test_beliefs_are_the_teachers_own_in_the_order_they_teach():
    whole = panel()
    found = TeacherRule(teachers=("fra", "eng"), draws=10).choose(whole, seed=0)
    places = [LANGUAGES.index(tag) for tag in found.languages]
    assert np.allclose(found.beliefs().exp().numpy(), whole.probabilities[places], atol=1e-6)


def test_a_class_that_an_item_lacks_is_believed_in_by_nobody():
    rows = np.array([[[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]], [[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]]])
    whole = Panel(LANGUAGES[:2], ("1", "2"), rows)
    found = TeacherRule(teachers=("fra",), draws=10).choose(whole, seed=0)
    told = found.beliefs()
    assert told.isfinite().all()
    assert told[0, 0, 2] == told.min()
    assert told[0, 0, 1] > told[0, 0, 2]
