from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import DataError
from isogloss.data.records import LabelExample, TagsExample
from isogloss.evaluate.disparity import Measures, aligned, disparity, disparity_changes, disparity_estimates
from isogloss.evaluate.items import Item, items, items_by_id
from isogloss.evaluate.predictions import LabelPrediction, TagsPrediction


def scored(accuracies, *, items=200, seed=0, shared=True, common=0.0):
    """0 or 1 per item; `common` of the difficulty is the item's, whatever the language."""
    random = np.random.default_rng(seed)
    hard = random.random(items)
    return {
        language: {
            f"{'' if shared else language}{place}": Item(float(value < accuracy), 1.0)
            for place, value in enumerate(np.where(random.random(items) < common, hard, random.random(items)))
        }
        for language, accuracy in accuracies.items()
    }


ACCURACIES = {"en": 0.9, "de": 0.8, "tr": 0.6, "sw": 0.4}


def test_worst_languages_and_the_floor_are_as_computed_by_hand():
    scores = {"en": 0.9, "sw": 0.5, "tr": 0.7, "de": 0.8}
    found = disparity(scores, worst=2, floor=0.8)
    assert found.worst_mean == pytest.approx(0.6)
    assert found.beyond_floor == 0.5
    assert disparity(scores).beyond_floor is None
    assert disparity(scores, worst=9).worst_mean == pytest.approx(0.725)
    lower = disparity({"en": 10.0, "sw": 30.0, "tr": 20.0}, worst=2, floor=15.0, higher_is_better=False)
    assert (lower.worst_mean, lower.beyond_floor) == (25.0, pytest.approx(2 / 3))


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), min_size=2), st.booleans())
def test_estimates_and_plain_numbers_agree(accuracies, higher):
    data = {
        language: {"0": Item(value, 1.0), "1": Item(value / 2, 3.0)} for language, value in accuracies.items()
    }
    source = next(iter(data))
    measures = Measures(source=source, worst=2, floor=0.3, higher_is_better=higher)
    scores = {language: value * 0.625 for language, value in accuracies.items()}
    plain = disparity(scores, source=source, worst=2, floor=0.3, higher_is_better=higher)
    found = {name: one.value for name, one in disparity_estimates(data, measures, draws=5).items()}
    assert found["mean"] == pytest.approx(plain.macro_average)
    assert found["gap"] == pytest.approx(plain.gap)
    assert found["deviation"] == pytest.approx(plain.deviation)
    assert found["worst_mean"] == pytest.approx(plain.worst_mean)
    assert found["transfer_gap"] == pytest.approx((1 if higher else -1) * plain.source_lead)
    if all(abs(score - 0.3) > 1e-9 for score in scores.values()):
        assert found["beyond_floor"] == pytest.approx(plain.beyond_floor)


@pytest.mark.parametrize("shared", [True, False])
def test_intervals_hold_what_is_measured_where_languages_truly_differ(shared):
    data = scored(ACCURACIES, shared=shared)
    assert aligned(data) is shared
    found = disparity_estimates(data, Measures(source="en", floor=0.7), draws=300)
    assert set(found) == {"mean", "gap", "deviation", "worst_mean", "transfer_gap", "beyond_floor"}
    assert all(one.low <= one.value <= one.high for one in found.values())
    assert 0.3 < found["gap"].low < found["gap"].high < 0.7


def test_what_is_hard_in_every_language_cancels():
    together = scored(ACCURACIES, common=0.9)
    apart = {
        language: {f"{language}-{name}": item for name, item in found.items()}
        for language, found in together.items()
    }
    joint, separate = (
        disparity_estimates(data, Measures(source="en"))["transfer_gap"] for data in (together, apart)
    )
    assert joint.value == separate.value
    assert joint.high - joint.low < 0.8 * (separate.high - separate.low)


def test_the_spread_of_equal_languages_may_be_nothing():
    equal = scored({f"l{place}": 0.6 for place in range(20)})
    found = disparity_estimates(equal, Measures())
    assert found["deviation"].value > 0.02
    assert found["deviation"].low == 0.0
    assert found["gap"].low == 0.0


def test_a_change_is_paired():
    before = scored(ACCURACIES)
    after = {
        language: {
            name: Item(max(item.score, float(language == "sw" and int(name) % 3 == 0)), 1.0)
            for name, item in found.items()
        }
        for language, found in before.items()
    }
    found = disparity_changes(before, dict(reversed(after.items())), Measures(source="en"))
    for name in ("gap", "deviation", "transfer_gap"):
        assert found[name].low <= found[name].value <= found[name].high < 0
    assert found["worst_mean"].low > 0
    same = disparity_changes(before, before, Measures(source="en"))
    assert all(one == (0, 0, 0) for one in same.values())


def test_a_change_is_the_difference_of_both_and_its_own_opposite_backwards():
    before, after = scored(ACCURACIES), scored({**ACCURACIES, "sw": 0.6}, seed=1)
    measures = Measures(source="en", floor=0.5)
    there, back = disparity_changes(before, after, measures), disparity_changes(after, before, measures)
    old, new = disparity_estimates(before, measures), disparity_estimates(after, measures)
    for name, change in there.items():
        assert change.value == pytest.approx(new[name].value - old[name].value)
        assert change == pytest.approx((-back[name].value, -back[name].high, -back[name].low))


def test_the_order_of_languages_and_items_changes_nothing_but_chance():
    data = scored(ACCURACIES, shared=False)
    turned = dict(reversed(data.items()))
    measures = Measures(source="en", floor=0.5)
    here, there = disparity_estimates(data, measures), disparity_estimates(turned, measures)
    for name, one in here.items():
        assert one == pytest.approx(there[name])


def test_what_cannot_be_compared_is_refused():
    data = scored({"en": 0.9, "sw": 0.5}, items=5)
    with pytest.raises(DataError, match="no language"):
        disparity_estimates({}, Measures())
    with pytest.raises(DataError, match="sw has no item scores"):
        disparity_estimates({**data, "sw": {}}, Measures())
    with pytest.raises(DataError, match="'xx' was not scored"):
        disparity_estimates(data, Measures(source="xx"))
    with pytest.raises(DataError, match="sw was scored in one"):
        disparity_changes(data, {"en": data["en"]}, Measures())
    fewer = {**data, "sw": dict(list(data["sw"].items())[1:])}
    with pytest.raises(DataError, match="item '0' in sw"):
        disparity_changes(data, fewer, Measures())


def test_one_language_and_one_item_have_no_spread():
    found = disparity_estimates({"en": {"0": Item(1.0, 1.0)}}, Measures(source="en"))
    assert found["gap"] == (0, 0, 0)
    assert "transfer_gap" not in found


def test_twenty_languages_take_no_time():
    data = scored({f"l{place}": 0.5 for place in range(20)}, items=204)
    other = scored({f"l{place}": 0.6 for place in range(20)}, items=204)
    start = time.perf_counter()
    disparity_changes(data, other, Measures(source="l0"))
    assert time.perf_counter() - start < 2


def test_items_by_id_are_those_of_items_with_names():
    examples = [
        LabelExample(name, "en-Latn", "A cow.", None, gold)
        for name, gold in (("a", "x"), ("b", None), ("c", "y"))
    ]
    predictions = [LabelPrediction(name, "x", (0.9, 0.1)) for name in "abc"]
    found = items_by_id("accuracy", examples, predictions, "en-Latn")
    assert found == {"a": Item(1.0, 1.0), "c": Item(0.0, 1.0)}
    assert list(found.values()) == items("accuracy", examples, predictions, "en-Latn")
    assert items_by_id("macro_f1", examples, predictions, "en-Latn") == {}
    with pytest.raises(DataError, match="the id 'a'"):
        items_by_id("accuracy", [examples[0]] * 2, [predictions[0]] * 2, "en-Latn")


def test_a_sentence_without_spans_keeps_its_place_and_weighs_nothing():
    example = TagsExample("a", "en-Latn", ("cow",), ("O",))
    prediction = TagsPrediction("a", ("O",))
    assert items_by_id("span_f1", [example], [prediction], "en-Latn") == {"a": Item(0.0, 0.0)}
    assert items("span_f1", [example], [prediction], "en-Latn") == []
