"""The scaling law: published numbers come out again, and known parameters are found."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.analysis.efficiency import by_size
from isogloss.analysis.scaling import PUBLISHED_UNIT, ScalingLaw, fit, fit_law
from isogloss.core.errors import DataError

T = PUBLISHED_UNIT
EN = ScalingLaw(a=0.0386839, b=0.2072533, c=0.0840653)
FR = ScalingLaw(a=0.0568637, b=0.1932749, c=0.1191905)

# Tokens seen (in T), perplexity, TEff, as the authors' notebook printed them.
CLONES = """
    50/50            .5 26.13 .887   .5 26.14 .885
    90/10            .9 22.46 1.000  .1 32.81 2.076
    70/30            .7 23.95 .927   .3 29.65 .936
    60/40            .6 24.97 .894   .4 27.63 .894
    ten-uniform      .1 35.54 1.689  .1 35.74 1.666
    ten-dominant     .5 24.57 1.153  .055555556 33.41 3.556
    0.1_0.9          .5 26.53 .834   .5 24.44 1.182
    0.0_1.0          .5 9.2e10 .047  .5 31.39 .471
    2x-50/50         1 23.35 .735    1 23.36 .733
    2x-90/10         1.8 20.06 1.004 .2 23.88 3.293
    2x-0.1_0.9       1 22.78 .835    1 20.42 1.598
    3x-50/50         1.5 22.17 .644  1.5 22.18 .643
    3x-90/10         2.7 19.03 .994  .3 22.27 3.141
    3x-0.1_0.9       1.5 21.50 .769  1.5 19.26 1.630
    steps-9312       .254913770 30.21 1.038  .254913770 30.25 1.033
    steps-7306       .2 32.18 1.095  .2 32.25 1.088
"""
BILINGUAL = """
    disjoint-.1      .9 22.47 .996   .1 31.89 1.054
    disjoint-.5      .5 26.44 .845   .5 19.39 .816
    disjoint-.9      .1 43.51 1.103  .9 16.45 .969
    disjoint-staged  .5 29.11 .596   .5 20.51 .661
    anchored-.1      .9 22.48 .996   .1 29.04 1.268
    anchored-.5      .5 25.97 .908   .5 19.01 .884
    anchored-.9      .1 39.51 1.331  .9 16.48 .959
    anchored-staged  .5 28.90 .611   .5 19.33 .826
    anchored-4stages .5 26.37 .855   .5 18.48 .995
    anchored-.05-.65 .5 26.30 .863   .5 18.67 .953
    2x-anchored-.5   1 23.03 .788    1 16.90 .756
    2x-anchored-.1.9 1 26.13 .443    1 17.14 .705
"""


def rows(table, first, second):
    for line in table.strip().splitlines():
        name, *numbers = line.split()
        x1, p1, t1, x2, p2, t2 = map(float, numbers)
        yield pytest.param(first, x1, p1, t1, id=f"{name}-1")
        yield pytest.param(second, x2, p2, t2, id=f"{name}-2")


@pytest.mark.parametrize(
    ("law", "x", "perplexity", "teff"), [*rows(CLONES, EN, EN), *rows(BILINGUAL, EN, FR)]
)
def test_every_published_efficiency_follows_from_its_perplexity(law, x, perplexity, teff):
    """As exactly as two printed decimals of a perplexity tell: all 56 rows do."""
    most, least = (float(law.tokens(perplexity + shift)) / (x * T) for shift in (-0.005, 0.005))
    assert least - 0.0005 <= teff <= most + 0.0005


def test_monolingual_equivalents_are_the_published_ones():
    x = np.array([0.05, 1 / 18, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 1, 2, 3])
    published = [82.7, 73.3, 46.0, 33.3, 29.1, 26.8, 25.4, 22.5, 22.0, 19.8, 18.8]
    assert EN.perplexity(x * T).round(1).tolist() == published


@pytest.mark.parametrize(
    ("law", "runs", "floor"),
    [
        (EN, {0.1: 48.36, 0.5: 25.31, 1: 21.93}, [0.92, 1.01, 1.03]),
        (FR, {0.1: 34.06, 0.5: 18.41, 1: 16.02}, [0.94, 1.01, 1.01]),
    ],
)
def test_the_monolingual_runs_themselves_score_what_is_published(law, runs, floor):
    found = [float(law.tokens(perplexity)) / (x * T) for x, perplexity in runs.items()]
    assert np.round(found, 2).tolist() == floor


@pytest.mark.parametrize("law", [EN, FR])
def test_tokens_and_perplexity_are_each_others_inverse(law):
    tokens = np.geomspace(0.03, 40, 30) * T
    assert law.tokens(law.perplexity(tokens)) == pytest.approx(tokens, rel=1e-9)


@pytest.mark.parametrize("law", [EN, FR])
@pytest.mark.parametrize("count", [3, 5, 19])
def test_a_law_is_found_from_its_own_points(law, count):
    tokens = np.geomspace(0.05, 4, count) * T
    found = fit_law(tokens, law.perplexity(tokens))
    assert (found.a, found.b, found.c) == pytest.approx((law.a, law.b, law.c), rel=1e-5)


def test_the_unit_changes_nothing_but_a():
    tokens = np.geomspace(1e5, 1e8, 8)
    law = ScalingLaw(a=0.1, b=0.3, c=0.2, unit=1e6)
    perplexities = law.perplexity(tokens * 10)
    one, other = (fit_law(tokens * 10, perplexities, unit=unit) for unit in (1e6, 1e9))
    assert (one.b, one.c) == pytest.approx((other.b, other.c), rel=1e-6)
    assert one.perplexity(3e7) == pytest.approx(other.perplexity(3e7), rel=1e-9)


@settings(max_examples=25)
@given(
    b=st.floats(0.1, 0.9),
    c=st.floats(0.03, 0.3),
    part=st.floats(0.2, 0.7),
    noise=st.floats(1e-5, 5e-3),
    seed=st.integers(0, 10_000),
)
def test_a_noisy_law_is_found_where_there_are_points(b, c, part, noise, seed):
    """Parameters trade off against each other; what they say within the fitted range does not."""
    law = ScalingLaw(a=part * c * 0.05**b, b=b, c=c, unit=1e9)
    tokens = np.repeat(np.geomspace(0.05, 4, 9) * 1e9, 3)
    observed = law.perplexity(tokens) * np.exp(noise * np.random.default_rng(seed).normal(size=27))
    found = fit_law(tokens, observed, unit=1e9)
    inside = np.geomspace(0.05, 4, 30) * 1e9
    assert np.abs(np.log(found.perplexity(inside) / law.perplexity(inside))).max() < 4 * noise
    assert found.a >= 0
    assert 0 < found.c <= 1


@pytest.mark.parametrize("resample", ["residuals", "runs"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(resample):
    tokens = np.repeat(np.geomspace(0.05, 4, 6) * T, 3)
    hits, trials = 0, 20
    for trial in range(trials):
        noise = np.random.default_rng(trial).normal(size=18) * 0.01
        found = fit(tokens, EN.perplexity(tokens) * np.exp(noise), draws=60, resample=resample, seed=trial)
        value = found.efficiency(float(EN.perplexity(0.8 * T)), 0.4 * T, level=0.9).teff
        hits += value.low <= 2.0 <= value.high
    assert 0.7 * trials <= hits <= trials


def test_a_fit_is_the_same_again():
    tokens = np.geomspace(0.05, 4, 6) * T
    observed = EN.perplexity(tokens) * [1.01, 0.99, 1.0, 1.005, 0.995, 1.0]
    one, other = (fit(tokens, observed, draws=20, seed=3) for _ in range(2))
    assert one.efficiency(25.0, T) == other.efficiency(25.0, T)


def test_what_lies_outside_the_fitted_runs_is_flagged():
    tokens = np.geomspace(0.1, 1, 6) * T
    found = fit(tokens, EN.perplexity(tokens), draws=5)
    assert found.efficiency(25.0, 0.5 * T).extrapolated == ()
    assert found.efficiency(20.0, 0.5 * T).extrapolated == ("mlte",)
    assert found.efficiency(25.0, 0.05 * T).extrapolated == ("mlpe",)
    assert found.efficiency(80.0, 3 * T).extrapolated == ("mlpe", "mlte")


def test_a_perplexity_beyond_the_asymptote_is_refused():
    tokens = np.geomspace(0.1, 1, 6) * T
    found = fit(tokens, EN.perplexity(tokens), draws=5)
    assert math.isinf(float(EN.tokens(EN.best)))
    with pytest.raises(DataError, match=r"goes no lower than 11\.9"):
        found.efficiency(11.0, T)


def test_resampled_laws_that_never_get_there_make_the_interval_endless():
    tokens = np.geomspace(0.1, 1, 5) * T
    wild = EN.perplexity(tokens) * np.exp([0.05, -0.05, 0.06, -0.04, 0.02])
    found = fit(tokens, wild, draws=100)
    near = found.curve.best * 1.02
    value = found.efficiency(near, T).mlte
    assert math.isinf(value.high)
    assert value.low < value.value


def test_three_runs_fit_exactly_and_so_have_no_interval():
    tokens = [0.1 * T, 0.5 * T, T]
    found = fit(tokens, [48.36, 25.31, 21.93])
    assert found.curve.perplexity(tokens) == pytest.approx([48.36, 25.31, 21.93], rel=1e-6)
    assert math.isnan(found.efficiency(26.0, T).teff.low)
    assert np.isnan(found.left_out).all()


def test_seeds_of_the_observed_run_widen_its_interval():
    tokens = np.repeat(np.geomspace(0.1, 1, 5) * T, 2)
    observed = EN.perplexity(tokens) * np.exp(0.002 * np.random.default_rng(0).normal(size=10))
    found = fit(tokens, observed, draws=200)
    one, three = found.efficiency(26.0, 0.5 * T), found.efficiency([25.5, 26.0, 26.51], 0.5 * T)
    assert three.teff.high - three.teff.low > 1.5 * (one.teff.high - one.teff.low)
    assert three.teff.value == pytest.approx(one.teff.value, rel=1e-3)


def test_leaving_a_size_out_leaves_out_all_its_seeds():
    tokens = np.repeat(np.geomspace(0.1, 1, 4) * T, 2)
    observed = EN.perplexity(tokens)
    observed[2:4] *= 1.2
    found = fit(tokens, observed, draws=2)
    assert found.sizes.shape == (4,)
    assert found.left_out[1] == pytest.approx(1 / 1.2 - 1, rel=1e-4)
    ragged = tokens * np.tile([1, 1.0003], 4)  # a text's last row is short, in some seeds
    assert fit(ragged, observed, draws=2).left_out == pytest.approx(found.left_out, rel=1e-2, abs=1e-3)


def test_three_lengths_a_hair_apart_are_no_three_sizes():
    with pytest.raises(DataError, match="3 sizes"):
        fit([T, 1.0002 * T, 1.0004 * T], [22.1, 22.0, 21.9])


def test_a_size_spans_a_per_cent_and_no_chain_of_them():
    sizes = by_size([100, 103.6, 100.9, 101.8, 102.7])
    assert [np.flatnonzero(size).tolist() for size in sizes] == [[0, 2], [3, 4], [1]]


def test_a_law_of_the_least_exponent_overflows_in_silence():
    assert math.isinf(float(ScalingLaw(1.0, 0.01, 0.05, 1e9).tokens(20.0001)))


@pytest.mark.parametrize(
    ("tokens", "perplexities"),
    [
        ([1, 2], [3, 2]),
        ([1, 1, 2, 2], [3, 3, 2, 2]),
        ([1, 2, 3], [3, 2]),
        ([1, 2, 3], [3, 2, 1]),
        ([0, 2, 3], [4, 3, 2]),
        ([1, 2, 3], [4, float("nan"), 2]),
        ([], []),
        ([1, 2, 3], [2, 3, 4]),
    ],
)
def test_runs_that_give_no_law_are_refused(tokens, perplexities):
    with pytest.raises(DataError):
        fit_law(tokens, perplexities)


@pytest.mark.parametrize(("perplexity", "tokens"), [(0.9, T), ([], T), (25.0, 0), (float("nan"), T)])
def test_observations_that_cannot_be_are_refused(perplexity, tokens):
    sizes = np.geomspace(0.1, 1, 5) * T
    with pytest.raises(DataError):
        fit(sizes, EN.perplexity(sizes), draws=2).efficiency(perplexity, tokens)
