"""Between monolingual runs: what was seen comes out again, and nothing is said beyond it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.analysis.interpolation import interpolate
from isogloss.analysis.scaling import ScalingLaw, fit
from isogloss.core.errors import DataError

SIZES = [1e5, 2e5, 4e5, 8e5]
PERPLEXITIES = [100.0, 60.0, 40.0, 20.0]
falling = st.lists(st.floats(1.5, 500.0), min_size=2, max_size=8, unique=True).map(
    lambda found: sorted(found, reverse=True)
)


def test_half_the_way_in_the_logarithms_of_both():
    curve = interpolate(SIZES, PERPLEXITIES).curve
    assert float(curve.perplexity(math.sqrt(2) * 1e5)) == pytest.approx(math.sqrt(100 * 60))
    assert float(curve.tokens(math.sqrt(40 * 20))) == pytest.approx(math.sqrt(2) * 4e5)


@given(falling)
def test_the_runs_themselves_are_on_the_curve_both_ways(perplexities):
    sizes = 1e5 * 2.0 ** np.arange(len(perplexities))
    curve = interpolate(sizes, perplexities).curve
    assert curve.perplexity(sizes) == pytest.approx(perplexities)
    apart = np.diff(np.log(perplexities), prepend=np.inf) < -1e-6
    assert curve.tokens(perplexities)[apart] == pytest.approx(sizes[apart], rel=1e-3)
    assert (curve.tokens([curve.best, curve.worst]) > 0).all()


@given(falling, st.floats(0, 1))
def test_tokens_and_perplexity_are_each_others_inverse(perplexities, place):
    sizes = 1e5 * 2.0 ** np.arange(len(perplexities))
    curve = interpolate(sizes, perplexities).curve
    wanted = curve.worst ** (1 - place) * curve.best**place
    assert float(curve.perplexity(curve.tokens(wanted))) == pytest.approx(wanted, rel=1e-6)


def test_no_law_follows_a_drop_that_the_runs_show():
    """Half of the tokens that this perplexity takes by itself: worth twice them."""
    before, after = ScalingLaw(0.05, 0.1, 0.07, 1e6), ScalingLaw(0.02, 0.4, 0.06, 1e6)
    tokens = np.array([1e5, 2e5, 4e5, 8e5, 1.6e6, 3.2e6])
    perplexities = np.where(tokens < 1e6, before.perplexity(tokens), after.perplexity(tokens))
    by_law, between = fit(tokens, perplexities, draws=2), interpolate(tokens, perplexities)
    seen = float(perplexities[-1])
    assert between.efficiency(seen, 1.6e6).teff.value == pytest.approx(2)
    assert abs(math.log(by_law.efficiency(seen, 1.6e6).teff.value / 2)) > 0.15


def test_what_lies_outside_the_runs_is_refused_or_said_not_to_be_known():
    found = interpolate(SIZES, PERPLEXITIES)
    with pytest.raises(DataError, match="goes no lower than 20"):
        found.efficiency(19.0, 4e5)
    with pytest.raises(DataError, match="goes no higher than 100"):
        found.efficiency(101.0, 4e5)
    short = found.efficiency(50.0, 0.5e5)
    assert short.extrapolated == ("mlpe",)
    assert math.isnan(short.mlpe.value)
    assert short.teff.value > 4


def test_a_run_of_the_largest_size_is_within_it_though_its_last_row_was_short():
    found = interpolate([*SIZES, 1.6e6, 1.604e6], [*PERPLEXITIES, 10.0, 10.0])
    assert found.sizes.shape == (5,)
    assert found.efficiency(12.0, 1.604e6).extrapolated == ()
    assert float(found.mlpe(1.604e6).value) == pytest.approx(10)


def test_seeds_that_cross_are_drawn_together():
    """The larger size came out worse by chance: one perplexity for both, and the fewest tokens of it."""
    found = interpolate([1e5, 2e5, 4e5, 8e5], [100.0, 50.0, 52.0, 20.0])
    middle = math.sqrt(50 * 52)
    assert found.curve.perplexity([2e5, 3e5, 4e5]) == pytest.approx([middle] * 3)
    assert float(found.curve.tokens(middle)) == pytest.approx(2e5)


@given(st.lists(st.floats(2.0, 500.0), min_size=2, max_size=8), st.floats(0, 1))
def test_the_inverse_holds_where_sizes_cross_too(perplexities, place):
    sizes = 1e5 * 2.0 ** np.arange(len(perplexities))
    try:
        curve = interpolate(sizes, perplexities).curve
    except DataError:  # longer runs are no better
        return
    wanted = curve.worst ** (1 - place) * curve.best**place
    assert float(curve.perplexity(curve.tokens(wanted))) == pytest.approx(wanted, rel=1e-6)


def test_after_a_plateau_the_curve_falls_from_its_end():
    curve = interpolate([1e6, 2e6, 4e6, 8e6], [40, 30, 31, 20]).curve
    assert 4e6 < float(curve.tokens(30.3)) < 4.2e6
    ends = interpolate([1e6, 2e6, 4e6, 8e6], [40, 41, 20, 21]).curve
    assert ends.tokens([ends.worst, ends.best]) == pytest.approx([1e6, 4e6])


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    sizes = np.repeat(SIZES, 3)
    hits, trials = 0, 60
    for trial in range(trials):
        noise = np.random.default_rng(trial).normal(size=12) * 0.02
        found = interpolate(sizes, np.repeat(PERPLEXITIES, 3) * np.exp(noise), draws=200, seed=trial)
        value = found.efficiency(30.0, 2e5, level=0.9).teff
        hits += value.low <= float(interpolate(SIZES, PERPLEXITIES).curve.tokens(30.0)) / 2e5 <= value.high
    assert 0.8 * trials <= hits <= trials


def test_one_run_of_each_size_has_no_interval():
    assert math.isnan(interpolate(SIZES, PERPLEXITIES).efficiency(30.0, 1e5).teff.low)


def test_leaving_a_size_out_asks_its_neighbours():
    off = interpolate(SIZES, PERPLEXITIES).left_out
    assert np.isnan(off[[0, -1]]).all()
    assert off[1] == pytest.approx(math.sqrt(100 * 40) / 60 - 1)


@pytest.mark.parametrize(
    ("tokens", "perplexities"),
    [([1e5], [3]), ([1e5, 1.005e5], [3, 2]), ([1e5, 2e5], [2, 3]), ([1e5, 2e5], [3, 1]), ([], [])],
)
def test_runs_that_give_no_curve_are_refused(tokens, perplexities):
    with pytest.raises(DataError):
        interpolate(tokens, perplexities)
