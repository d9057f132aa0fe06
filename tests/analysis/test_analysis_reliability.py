from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.analysis.panel import Panel
from isogloss.analysis.reliability import dawid_skene
from isogloss.core.errors import DataError
from tiny_panels import panel, panels, simulated


def sure(*choices, classes=2):
    """A panel in which each language is wholly sure of its choices."""
    values = np.eye(classes)[np.array(choices)]
    return Panel(
        tuple(f"l{place}" for place in range(len(choices))), tuple(map(str, range(len(choices[0])))), values
    )


def test_one_round_is_as_computed_by_hand():
    jury = sure([0, 0, 1], [0, 1, 1], [0, 0, 0])
    found = dawid_skene(jury, smoothing=0, rounds=1)
    # Shares of the votes: class 0 has 1, 2/3 and 1/3 of the three items.
    assert found.prior.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert found.confusions[0].tolist() == [pytest.approx([5 / 6, 1 / 6]), pytest.approx([1 / 3, 2 / 3])]
    assert found.confusions[1].tolist() == [pytest.approx([1 / 2, 1 / 2]), pytest.approx([0, 1])]
    assert found.confusions[2].tolist() == [pytest.approx([1, 0]), pytest.approx([1, 0])]
    zero, one = 2 / 3 * 5 / 6 * 1 / 2, 1 / 3 * 1 / 3 * 1
    assert found.posteriors[1, 0] == pytest.approx(zero / (zero + one))


@given(panels(), st.sampled_from([0.0, 0.3, 1.0, 10.0]))
def test_the_objective_never_falls(found, smoothing):
    trace = dawid_skene(found, smoothing=smoothing, rounds=30, tolerance=0).trace
    assert all(after >= before - 1e-9 * abs(before) - 1e-9 for before, after in itertools.pairwise(trace))


@given(panels(), st.sampled_from([0.0, 1.0]))
def test_everything_found_is_a_distribution(found, smoothing):
    belief = dawid_skene(found, smoothing=smoothing)
    assert np.allclose(belief.posteriors.sum(axis=1), 1)
    assert np.allclose(belief.confusions.sum(axis=2), 1)
    assert belief.prior.sum() == pytest.approx(1)
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in belief.reliabilities.values())


def test_true_accuracies_and_confusions_are_recovered():
    accuracies = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    jury, truth = simulated(accuracies, items=2000, classes=3)
    found = dawid_skene(jury)
    true = (jury.choices == truth).mean(axis=1)
    assert list(found.reliabilities.values()) == pytest.approx(true, abs=0.03)
    assert (found.posteriors.argmax(axis=1) == truth).mean() > 0.92
    first = [[np.mean(jury.choices[0][truth == k] == j) for j in range(3)] for k in range(3)]
    assert np.allclose(found.confusions[0], first, atol=0.04)


def test_reliable_languages_outvote_a_clueless_majority():
    jury, truth = simulated([0.95, 0.95, 0.34, 0.34, 0.34, 0.34, 0.34], items=800, classes=3)
    votes = (jury.choices[..., None] == np.arange(3)).sum(axis=0).argmax(axis=1)
    believed = dawid_skene(jury).posteriors.argmax(axis=1)
    assert (believed == truth).mean() > (votes == truth).mean() + 0.05


@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_perfect_agreement_is_perfect_reliability(smoothing):
    found = dawid_skene(sure([0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 1]), smoothing=smoothing)
    assert all(value > 0.9 for value in found.reliabilities.values())
    assert found.posteriors.argmax(axis=1).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_a_class_that_nobody_votes_for_does_no_harm(smoothing):
    found = dawid_skene(sure([0, 1, 0, 1], [0, 1, 1, 1], [0, 1, 0, 0], classes=3), smoothing=smoothing)
    assert np.isfinite(found.posteriors).all()
    assert np.isfinite(found.trace).all()
    assert (found.posteriors.argmax(axis=1) != 2).all()


def test_two_languages_and_one_item_are_enough():
    for jury in (sure([0, 1], [1, 1]), sure([0], [1]), panel(en=[[1.0]], sw=[[1.0]])):
        found = dawid_skene(jury)
        assert np.isfinite(list(found.reliabilities.values())).all()


def test_an_item_gets_no_class_that_it_lacks():
    jury = Panel.of(
        {
            "en": {"a": [0.9, 0.1], "b": [0.1, 0.2, 0.7]},
            "sw": {"a": [0.2, 0.8], "b": [0.1, 0.2, 0.7]},
        }
    )
    posteriors = dawid_skene(jury).posteriors
    assert posteriors[0, 2] == 0
    assert np.allclose(posteriors.sum(axis=1), 1)


def test_an_item_counted_twice_is_an_item_that_is_there_twice():
    jury, _ = simulated([0.9, 0.7, 0.5], items=30)
    counts = np.random.default_rng(0).integers(0, 3, 30)
    twice = np.repeat(np.arange(30), counts)
    repeated = Panel(jury.languages, tuple(map(str, range(len(twice)))), jury.probabilities[:, twice])
    here, there = dawid_skene(jury, counts=counts), dawid_skene(repeated)
    assert here.reliabilities == pytest.approx(there.reliabilities, abs=1e-4)


@given(panels(), st.permutations(range(4)))
def test_classes_are_only_names(found, order):
    order = [place for place in order if place < found.probabilities.shape[2]]
    renamed = Panel(found.languages, found.ids, found.probabilities[..., order])
    if _tied(found):
        return  # equal probabilities go to the lower number, so there names do matter
    here, there = dawid_skene(found), dawid_skene(renamed)
    assert here.reliabilities == pytest.approx(there.reliabilities, abs=1e-6)
    assert np.allclose(here.posteriors[:, order], there.posteriors, atol=1e-6)


def _tied(found):
    if found.probabilities.shape[2] == 1:
        return False
    highest = np.sort(found.probabilities, axis=2)[..., -2:]
    return bool((highest[..., 1] == highest[..., 0]).any())


def test_smoothing_below_nothing_is_refused():
    with pytest.raises(DataError, match="smoothing"):
        dawid_skene(sure([0], [1]), smoothing=-1)
