from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.config import parse_document, to_yaml, validate
from isogloss.core.errors import RecipeError
from isogloss.training.plan import TrainingPlan


def test_a_plan_survives_being_written_and_read():
    plan = TrainingPlan(epochs=1.5, warmup=100, select="swh_Latn", patience=3, evaluate_every=10)
    assert validate(parse_document(to_yaml(plan)), TrainingPlan) == plan
    assert plan.select == "sw-Latn"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("learning_rate: 1e-3", "steps, epochs"),
        ("{steps: 3, epochs: 1}", "steps, epochs"),
        ("{steps: 10, warmup: 10}", "warmup"),
        ("{steps: 10, schedule: wsd, warmup: 0.5, decay: 0.6}", "warmup, decay"),
        ("{steps: 10, patience: 2}", "evaluate_every"),
        ("{steps: 10, patience: 2, evaluate_every: 1, select: last}", "select"),
        ("{steps: 10, select: swahilli}", "Swahili"),
        ("{steps: 10, select: deviation}", "equally bad"),
        ("{steps: 10, select: worst-0}", "worst-K"),
        ("{steps: 0}", "steps"),
        ("{steps: 10, clip: 0}", "clip"),
        ("{steps: 10, warmup: 1.5}", "warmup"),
        ("{steps: 10, patiance: 2}", "patience"),
    ],
)
def test_a_wrong_plan_is_refused_by_the_name_of_the_key(text, named):
    with pytest.raises(RecipeError) as caught:
        validate(parse_document(text), TrainingPlan)
    assert named in str(caught.value)


def test_epochs_become_steps_rounded_up():
    plan = TrainingPlan(epochs=1.1, accumulate=2)
    assert plan.total_steps(20) == 11
    assert plan.total_steps(21) == 12
    assert plan.total_steps(20, processes=2) == 6
    assert TrainingPlan(epochs=0.01).total_steps(3) == 1


@given(st.integers(1, 10_000), st.one_of(st.floats(0, 0.99), st.integers(0, 20_000)))
def test_the_warm_up_is_shorter_than_the_training(total, warmup):
    assert 0 <= TrainingPlan(epochs=1, warmup=warmup).warmup_steps(total) < total


def test_a_plan_is_read_without_torch():
    code = "import sys, isogloss.training.plan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("select", ["macro", "fair", "worst", "worst-3", "last"])
def test_a_checkpoint_may_be_chosen_by_all_languages(select):
    assert TrainingPlan(steps=10, select=select).select == select
