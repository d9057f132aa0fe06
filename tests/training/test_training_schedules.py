from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.training.plan import TrainingPlan
from isogloss.training.schedules import schedule


def factors(total, **plan):
    course = schedule(TrainingPlan(steps=total, **plan), total)
    return [course(step) for step in range(total)]


def test_a_constant_rate_is_reached_in_equal_steps():
    assert factors(6, schedule="constant", warmup=4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_without_warm_up_the_first_step_has_the_full_rate():
    assert factors(4, schedule="linear", warmup=0) == [1.0, 0.75, 0.5, 0.25]


def test_linear_falls_towards_its_final_fraction():
    assert factors(6, schedule="linear", warmup=2, final=0.2) == pytest.approx([0.5, 1.0, 1.0, 0.8, 0.6, 0.4])


def test_cosine_is_halfway_at_half_time():
    course = factors(5, schedule="cosine", warmup=1, final=0.5)
    expected = [1.0, 1.0, 0.75 + 0.25 * math.sqrt(0.5), 0.75, 0.75 - 0.25 * math.sqrt(0.5)]
    assert course == pytest.approx(expected)


def test_wsd_is_stable_until_its_fall():
    course = factors(10, schedule="wsd", warmup=0.2, decay=0.4)
    assert course == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_a_single_step_has_the_full_rate():
    assert factors(1, schedule="cosine", warmup=0.5) == [1.0]


@given(
    st.sampled_from(["constant", "linear", "cosine", "wsd"]),
    st.integers(1, 200),
    st.floats(0, 0.7),
    st.floats(0, 1),
)
def test_every_factor_is_above_nothing_and_at_most_one_and_never_rises_after_the_warm_up(
    name, total, warmup, final
):
    course = factors(total, schedule=name, warmup=warmup, final=final)
    warm = TrainingPlan(steps=total, warmup=warmup).warmup_steps(total)
    assert all(0 < factor <= 1 for factor in course)
    assert all(
        later <= earlier + 1e-12 for earlier, later in zip(course[warm:], course[warm + 1 :], strict=False)
    )
