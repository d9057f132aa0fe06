"""Random streams depend on (seed, name, position) and on nothing else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.seeds import derive, generator, uniforms


@given(st.integers(0, 2**31), st.lists(st.integers(0, 10**9), min_size=1, max_size=30))
def test_a_number_does_not_depend_on_which_others_are_drawn_with_it(seed, counters):
    together = uniforms(seed, "mixture", np.array(counters))
    alone = [uniforms(seed, "mixture", np.array([c]))[0] for c in counters]
    assert together.tolist() == alone


def test_numbers_are_uniform():
    values = uniforms(0, "mixture", range(200_000))
    counts, _ = np.histogram(values, bins=20, range=(0, 1))
    chi_square = ((counts - 10_000) ** 2 / 10_000).sum()
    assert chi_square < 43.8  # the 0.999 quantile for 19 degrees of freedom
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01


def test_names_seeds_and_lanes_give_unrelated_streams():
    streams = [
        uniforms(seed, name, range(20_000), lane=lane)
        for seed in (0, 1)
        for name in ("mixture", "mask")
        for lane in (0, 1)
    ]
    correlations = np.corrcoef(streams) - np.eye(len(streams))
    assert np.abs(correlations).max() < 0.03


def test_a_derived_seed_is_the_same_on_every_machine():
    assert derive(0, "dropout", 7) == 1805270906438068782


def test_joined_names_do_not_collide():
    assert derive(0, "ab", "c") != derive(0, "a", "bc")


def test_generators_repeat():
    assert (
        generator(1, "x").integers(1 << 30, size=4).tolist()
        == generator(1, "x").integers(1 << 30, size=4).tolist()
    )
