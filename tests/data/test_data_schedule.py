from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from isogloss.core.errors import RecipeError
from isogloss.data.adaptive import floored, moved, within_budget
from isogloss.data.mixture import Mixture, tempered_shares
from isogloss.data.schedule import Schedule, Stages, timeline_of
from isogloss.data.timeline import Timeline

SIZES = {"en-Latn": 10_000, "sw-Latn": 100}
THREE = {**SIZES, "tr-Latn": 1_000}
READ = TypeAdapter(Schedule).validate_python


def timeline(told, *, steps=100, sizes=SIZES):
    return timeline_of(READ(told), sizes, steps=steps)


def test_the_short_form_gives_equal_stages_and_what_is_left_over_to_the_last():
    found = timeline("0.1_0.9_0.5", steps=11)
    assert found.starts.tolist() == [0, 3, 6]
    assert found.shares[:, 1].tolist() == pytest.approx([0.1, 0.9, 0.5])
    assert found.mean(11)["sw-Latn"] == pytest.approx((3 * 0.1 + 3 * 0.9 + 5 * 0.5) / 11)


def test_the_short_form_of_many_languages_is_the_share_of_all_but_the_first_together():
    assert timeline("0.6", sizes=THREE).at(0) == pytest.approx(
        {"en-Latn": 0.4, "sw-Latn": 0.3, "tr-Latn": 0.3}
    )


@pytest.mark.parametrize("lengths", [{"steps": (30, 70)}, {"fraction": (0.3, 0.7)}])
def test_stages_are_as_long_as_they_say(lengths):
    [(key, values)] = lengths.items()
    stages = [{"shares": {"eng": 1, "swa": share}, key: value} for share, value in zip((0, 1), values)]  # noqa: B905
    found = timeline({"kind": "stages", "stages": stages})
    assert found.starts.tolist() == [0, 30]
    assert found.at(29) == {"en-Latn": 1.0, "sw-Latn": 0.0}
    assert found.at(30) == found.at(99) == {"en-Latn": 0.5, "sw-Latn": 0.5}


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("steps", [1, 7, 100, 12_345])
def test_a_glide_begins_and_ends_where_it_says_and_spends_the_middle(kind, steps):
    ends = {"start": {"eng": 9, "swa": 1}, "end": {"eng": 1, "swa": 1}}
    found = timeline({"kind": kind, **ends}, steps=steps)
    assert found.mean(steps) == pytest.approx({"en-Latn": 0.7, "sw-Latn": 0.3})
    if steps >= 100:
        assert found.at(0)["en-Latn"] == pytest.approx(0.9, abs=0.01)
        assert found.at(steps - 1)["en-Latn"] == pytest.approx(0.5, abs=0.01)
        assert (np.diff(found.shares[:, 0]) < 0).all()
        assert len(found.starts) <= 1000


def test_half_a_cosine_is_slow_at_both_ends():
    ends = {"start": {"eng": 1, "swa": 0}, "end": {"eng": 0, "swa": 1}}
    linear, cosine = (timeline({"kind": kind, **ends}) for kind in ("linear", "cosine"))
    assert cosine.at(10)["sw-Latn"] < linear.at(10)["sw-Latn"]
    assert cosine.at(90)["sw-Latn"] > linear.at(90)["sw-Latn"]


def test_an_annealed_temperature_flattens_and_lets_languages_in_when_their_time_comes():
    found = timeline({"kind": "annealed", "alpha": [1, 0], "enters": {"tur": 0.605}}, steps=200, sizes=THREE)
    assert found.at(0) == pytest.approx({**tempered_shares(SIZES, alpha=0.9975), "tr-Latn": 0.0}, abs=1e-6)
    assert found.at(120)["tr-Latn"] == 0
    assert found.at(121)["tr-Latn"] > 0.1
    assert found.at(199) == pytest.approx(dict.fromkeys(THREE, 1 / 3), abs=0.01)


def test_a_budget_that_a_schedule_spends_is_accepted_and_one_it_does_not_is_refused():
    half = {"eng": 1, "swa": 1}
    timeline({"kind": "stages", "stages": "0.1_0.9", "budget": half})
    timeline({"kind": "stages", "stages": "0.1_0.9", "budget": half}, steps=101)
    with pytest.raises(RecipeError, match=r"sw-Latn 40\.0% instead of 50\.0%"):
        timeline({"kind": "stages", "stages": "0.1_0.7", "budget": half})
    with pytest.raises(RecipeError, match="no corpus"):
        timeline({"kind": "stages", "stages": "0.1_0.9", "budget": {"eng": 1, "fra": 1}})


def test_an_adaptive_schedule_begins_with_its_budget_or_evenly():
    assert (
        timeline({"kind": "adaptive", "every": 10, "budget": {"eng": 3, "swa": 1}}).at(0)["sw-Latn"] == 0.25
    )
    assert timeline({"kind": "adaptive", "every": 10}).at(0)["sw-Latn"] == 0.5


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ("0.1_1.9", "numbers from 0 to 1"),
        ("half", "numbers from 0 to 1"),
        ({"kind": "stages", "stages": []}, "at least 1"),
        (
            {"kind": "stages", "stages": [{"shares": {"eng": 1}, "steps": 3}, {"shares": {"eng": 1}}]},
            "of all",
        ),
        ({"kind": "stages", "stages": [{"shares": {"eng": 1}, "fraction": 0.5}]}, "sum to 0.5"),
        ({"kind": "annealed", "enters": {"eng": 1.0}}, "below 1"),
        ({"kind": "adaptive", "shares": {"eng": 1}, "budget": {"eng": 1}}, "begins with the budget"),
        ({"kind": "adaptive", "by": "tokens"}, "counts sequences"),
        ({"kind": "cosine", "start": {"eng": 1}}, "end"),
        ({"kind": "sudden"}, "sudden"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(told, complaint):
    with pytest.raises(ValidationError, match=complaint):
        READ(told)


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({"kind": "stages", "stages": [{"shares": {"eng": 1, "swa": 1}, "steps": 99}]}, "training of 100"),
        ("_".join(["0.5"] * 101), "at least one step"),
        ({"kind": "annealed", "enters": {"eng": 0.1, "swa": 0.2}}, "no language to begin with"),
        ({"kind": "linear", "start": {"eng": 1}, "end": {"eng": 1}}, "no share for sw-Latn"),
        ({"kind": "adaptive", "signal": "agreement"}, "at least three languages"),
        ({"kind": "adaptive", "floor": 0.2, "budget": {"eng": 9, "swa": 1}}, "lower the floor"),
    ],
)
def test_a_schedule_that_does_not_fit_the_training_is_refused(told, complaint):
    with pytest.raises(RecipeError, match=complaint):
        timeline(told)


def test_the_short_form_needs_two_languages():
    with pytest.raises(RecipeError, match="at least two languages"):
        timeline("0.5", sizes={"en-Latn": 1})


def test_stages_know_where_they_begin():
    schedule = READ("0.1_0.9_0.5")
    assert isinstance(schedule, Stages)
    assert schedule.starts(11) == (0, 3, 6)


CHANGING = Timeline.of(
    [(0, {"a": 1, "b": 0}), (50, {"a": 1, "b": 3}), (50_000, {"a": 0, "b": 1}), (80_001, {"a": 1, "b": 1})]
)


def test_each_draw_follows_the_shares_in_force_at_it_and_is_counted():
    mixture = Mixture(CHANGING, seed=3)
    languages, positions = mixture.draws(0, 100_000)
    assert not languages[:50].any()
    assert languages[50:50_000].mean() == pytest.approx(0.75, abs=0.01)
    assert languages[50_000:80_001].all()
    assert languages[80_001:].mean() == pytest.approx(0.5, abs=0.01)
    for language in (0, 1):
        assert positions[languages == language].tolist() == list(range((languages == language).sum()))
    assert mixture.drawn(40, 90_000).tolist() == np.bincount(languages[40:90_000]).tolist()
    again = Mixture(CHANGING, seed=3)
    for start, stop in [(79_990, 80_010), (10, 60), (49_000, 99_999)]:
        assert np.array_equal(again.draws(start, stop)[0], languages[start:stop])
        assert np.array_equal(again.draws(start, stop)[1], positions[start:stop])


@given(
    changes=st.lists(st.tuples(st.integers(0, 60_000), st.floats(0, 1)), max_size=5).map(sorted),
    looks=st.lists(st.integers(0, 70_000), max_size=5),
)
def test_shares_decided_on_the_way_draw_what_they_would_have_drawn_if_known_before(changes, looks):
    """Whatever was looked at between the decisions, up to where the next one begins."""
    pieces = {0: 0.5} | dict(changes)
    shares = {first: {"a": share, "b": 1 - share} for first, share in pieces.items()}
    known = Mixture(Timeline.of(sorted(shares.items())), seed=1, texts={"b": "a"})
    mixture = Mixture(shares[0], seed=1, texts={"b": "a"})
    for first in sorted(shares):
        for look in looks:
            mixture.draws(max(0, min(look, first) - 30), min(look, first))
        mixture.change(first, shares[first])
    for look in (*looks, 65_000):
        for mine, its in zip(mixture.draws(look, look + 40), known.draws(look, look + 40), strict=True):
            assert np.array_equal(mine, its)
    assert mixture.timeline.mean(70_000) == pytest.approx(known.timeline.mean(70_000))


def test_factors_turn_shares_of_tokens_into_shares_of_sequences():
    found = CHANGING.weighed({"a": 1 / 10, "b": 1 / 30})
    assert found.at(50) == pytest.approx({"a": 0.5, "b": 0.5})
    assert found.at(60_000) == {"a": 0.0, "b": 1.0}
    assert CHANGING.scaled(4).starts.tolist() == [0, 200, 200_000, 320_004]


LANGUAGES = st.integers(2, 6)


@given(data=st.data(), languages=LANGUAGES, rate=st.floats(0.01, 3))
def test_a_decision_moves_towards_the_signal_and_by_no_more_than_its_rate(data, languages, rate):
    signal = np.array(data.draw(st.lists(st.floats(-1e6, 1e6), min_size=languages, max_size=languages)))
    weights = moved(np.ones(languages), signal, rate=rate)
    assert weights.max() / weights.min() <= np.exp(2 * rate) * (1 + 1e-9)
    order = np.argsort(signal)
    assert (np.diff(weights[order]) >= -1e-9).all()


def test_signals_that_are_alike_move_nothing_and_no_weight_runs_away():
    assert moved(np.ones(3), np.full(3, 0.7), rate=1).tolist() == [1, 1, 1]
    assert moved(np.ones(2), np.zeros(2), rate=1).tolist() == [1, 1]
    weights = np.ones(2)
    for _ in range(50):
        weights = moved(weights, np.array([1.0, 0.0]), rate=1)
    assert weights[0] <= 20
    assert moved(weights, np.array([0.0, 1.0]), rate=1)[0] < weights[0]


@given(data=st.data(), languages=LANGUAGES)
def test_what_is_spent_is_never_more_than_what_is_left(data, languages):
    wished = floored(
        np.array(data.draw(st.lists(st.floats(0.001, 1), min_size=languages, max_size=languages))), floor=0.02
    )
    assert wished.min() >= 0.02 - 1e-12
    assert wished.sum() == pytest.approx(1)
    left = np.array(data.draw(st.lists(st.integers(0, 500), min_size=languages, max_size=languages)))
    draws = data.draw(st.integers(1, max(1, int(left.sum()))))
    if left.sum() < draws:
        return
    shares = within_budget(wished, left=left.astype(float), draws=draws)
    assert shares.sum() == pytest.approx(1)
    assert (shares * draws <= left + 1e-6).all()
    if (wished * draws <= left).all():
        assert shares == pytest.approx(wished)


def test_the_last_draws_spend_exactly_what_is_left():
    shares = within_budget(np.array([0.9, 0.1]), left=np.array([30.0, 70.0]), draws=100)
    assert shares == pytest.approx([0.3, 0.7])
