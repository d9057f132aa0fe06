from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from isogloss.analysis.panel import Panel
from isogloss.core.errors import DataError
from tiny_panels import panel, panels

ROWS = {
    "en": {"a": [0.9, 0.1], "b": [0.2, 0.3, 0.5]},
    "sw": {"b": [0.1, 0.1, 0.8], "a": [0.5, 0.5]},
}


def test_a_panel_aligns_items_by_id_and_gives_missing_classes_nothing():
    found = Panel.of(ROWS)
    assert (found.languages, found.ids) == (("en", "sw"), ("a", "b"))
    assert found.probabilities.tolist() == [
        [[0.9, 0.1, 0], [0.2, 0.3, 0.5]],
        [[0.5, 0.5, 0], [0.1, 0.1, 0.8]],
    ]
    assert found.choices.tolist() == [[0, 2], [0, 2]]
    assert found.possible.tolist() == [[True, True, False], [True, True, True]]


def test_a_panel_cannot_be_changed_from_outside():
    values = np.full((2, 1, 2), 0.5)
    found = Panel(("en", "sw"), ("a",), values)
    values[:] = 7
    assert (found.probabilities == 0.5).all()
    with pytest.raises(ValueError):
        found.probabilities[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sw": {"a": [0.5, 0.5]}}, "sw has no 'b'"),
        ({"sw": {**ROWS["sw"], "c": [1.0]}}, "en has no 'c'"),
        (
            {"sw": {"a": [1.0], "b": [0.1, 0.1, 0.8]}},
            "'a' has different numbers of classes: 2 in en, 1 in sw",
        ),
        ({"sw": {"a": [0.5, 0.6], "b": [0.1, 0.1, 0.8]}}, r"item 'a' in sw are 0\.5, 0\.6"),
        ({"sw": {"a": [float("nan"), 0.6], "b": [0.1, 0.1, 0.8]}}, "item 'a' in sw are nan"),
        ({"sw": {"a": [1.5, -0.5], "b": [0.1, 0.1, 0.8]}}, "item 'a' in sw are 1.5, -0.5"),
    ],
)
def test_what_is_no_panel_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        Panel.of({**ROWS, **change})


@pytest.mark.parametrize(
    ("languages", "ids", "shape", "message"),
    [
        (("en",), ("a",), (1, 1, 2), "a panel of 1 languages"),
        (("en", "sw"), (), (2, 0, 2), "0 items"),
        (("en", "sw"), ("a",), (2, 2, 2), "shape"),
        (("en", "sw"), ("a",), (2, 1), "shape"),
        (("en", "en"), ("a",), (2, 1, 2), "language 'en' is in the panel twice"),
        (("en", "sw"), ("a", "a"), (2, 2, 2), "item 'a' is in the panel twice"),
    ],
)
def test_names_and_shapes_are_checked(languages, ids, shape, message):
    with pytest.raises(DataError, match=message):
        Panel(languages, ids, np.full(shape, 0.5))
    with pytest.raises(DataError, match="no item"):
        Panel.of({})


def test_sums_may_be_off_by_what_low_precision_costs():
    Panel(("en", "sw"), ("a",), np.full((2, 1, 2), 0.50004))
    with pytest.raises(DataError):
        Panel(("en", "sw"), ("a",), np.full((2, 1, 2), 0.5002))


@given(panels())
def test_a_panel_restricted_to_everything_is_itself(found):
    again = found.restricted(items=found.ids, languages=found.languages)
    assert again.languages == found.languages
    assert (again.probabilities == found.probabilities).all()
    assert (found.restricted().probabilities == found.probabilities).all()


def test_a_panel_can_be_restricted_and_reordered():
    found = Panel.of({**ROWS, "de": ROWS["sw"]}).restricted(items=["b"], languages=["de", "en"])
    assert (found.languages, found.ids) == (("de", "en"), ("b",))
    assert found.probabilities[1, 0].tolist() == [0.2, 0.3, 0.5]
    with pytest.raises(DataError, match="no language 'xx'"):
        found.restricted(languages=["de", "xx"])


def test_one_class_is_a_panel_too():
    assert panel(en=[[1.0]], sw=[[1.0]]).choices.tolist() == [[0], [0]]
