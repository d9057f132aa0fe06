from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from isogloss.core.errors import RecipeError
from isogloss.data.mixture import (
    Mixture,
    MixtureSpec,
    proportional_shares,
    tempered_shares,
    unimax_shares,
)
from isogloss.data.order import shuffled
from isogloss.data.timeline import fixed_shares

SHARES = {"en-Latn": 0.7, "sw-Latn": 0.2, "tr-Latn": 0.1}
TOKENS = {"en-Latn": 10_000, "sw-Latn": 100, "tr-Latn": 1_000}


def plainly(mixture: Mixture, stop: int) -> tuple[list[int], list[int]]:
    """The draws one by one, counting positions by hand."""
    seen = [0] * len(mixture.names)
    languages, positions = [], []
    for draw in range(stop):
        language = int(mixture.languages(draw, draw + 1)[0])
        languages.append(language)
        positions.append(seen[language])
        seen[language] += 1
    return languages, positions


def test_draws_in_any_stretch_equal_draws_one_by_one():
    languages, positions = plainly(Mixture(SHARES, seed=3), 3000)
    for start, stop in [(0, 3000), (2999, 3000), (17, 18), (500, 700), (5, 5)]:
        drawn, placed = Mixture(SHARES, seed=3).draws(start, stop)
        assert drawn.tolist() == languages[start:stop]
        assert placed.tolist() == positions[start:stop]


def test_draws_over_block_borders_and_out_of_order_agree_with_one_pass():
    one_pass = Mixture(SHARES, seed=1).draws(0, 150_000)
    jumping = Mixture(SHARES, seed=1)
    for start, stop in [(120_000, 150_000), (16_380, 16_390), (0, 40_000), (149_999, 150_000)]:
        drawn, placed = jumping.draws(start, stop)
        assert np.array_equal(drawn, one_pass[0][start:stop])
        assert np.array_equal(placed, one_pass[1][start:stop])


def test_another_seed_draws_otherwise_and_a_copied_mixture_the_same():
    mixture = Mixture(SHARES, seed=1)
    assert (mixture.languages(0, 200) != Mixture(SHARES, seed=2).languages(0, 200)).any()
    twin = copy.deepcopy(mixture)
    assert np.array_equal(twin.draws(100, 200), mixture.draws(100, 200))


def test_realised_shares_come_close_to_requested_ones():
    drawn = Mixture(SHARES, seed=0).languages(0, 200_000)
    assert np.bincount(drawn) / 200_000 == pytest.approx(list(SHARES.values()), abs=0.005)


def test_a_language_with_share_nought_is_never_drawn():
    for shares in ({"a": 0.0, "b": 1.0, "c": 0.0}, {"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 0.0, "c": 2.0}):
        drawn = set(Mixture(shares, seed=0).languages(0, 5000).tolist())
        assert drawn == {index for index, share in enumerate(shares.values()) if share}


def test_tempered_shares_follow_the_formula_and_their_ends_are_proportional_and_uniform():
    half = tempered_shares({"a": 4, "b": 16}, alpha=0.5)
    assert half == pytest.approx({"a": 1 / 3, "b": 2 / 3})
    assert tempered_shares(TOKENS, alpha=0) == pytest.approx(dict.fromkeys(TOKENS, 1 / 3))
    assert tempered_shares(TOKENS, alpha=1) == proportional_shares(TOKENS)
    assert proportional_shares(TOKENS)["tr-Latn"] == pytest.approx(1_000 / 11_100)


def test_unimax_is_uniform_while_no_language_reaches_its_cap():
    assert unimax_shares(TOKENS, budget=300, max_epochs=1) == pytest.approx(dict.fromkeys(TOKENS, 1 / 3))


def test_unimax_gives_what_small_languages_cannot_use_to_large_ones():
    shares = unimax_shares(TOKENS, budget=6_000, max_epochs=2)
    assert shares == pytest.approx(
        {"en-Latn": 3_800 / 6_000, "sw-Latn": 200 / 6_000, "tr-Latn": 2_000 / 6_000}
    )


@given(
    tokens=st.lists(st.integers(1, 10**9), min_size=1, max_size=8),
    max_epochs=st.floats(0.5, 8),
    filled=st.floats(0.01, 0.99),
)
def test_unimax_never_passes_the_cap_and_never_favours_a_smaller_language(tokens, max_epochs, filled):
    sizes = {str(i): count for i, count in enumerate(tokens)}
    budget = max(1, int(sum(tokens) * max_epochs * filled))
    if int(sum(tokens) * max_epochs) < budget:
        return
    shares = unimax_shares(sizes, budget=budget, max_epochs=max_epochs)
    assert sum(shares.values()) == pytest.approx(1)
    for language, share in shares.items():
        assert share * budget <= sizes[language] * max_epochs * (1 + 1e-9) + 1e-6
        assert all(share >= shares[o] - 1e-9 for o in sizes if sizes[o] <= sizes[language])


def test_a_budget_above_every_cap_is_refused():
    with pytest.raises(RecipeError, match="epochs of all languages hold 11,100"):
        unimax_shares(TOKENS, budget=20_000, max_epochs=1)


@pytest.mark.parametrize("shares", [{"a": -1.0, "b": 2.0}, {"a": 0.0}, {}, {"a": float("nan")}])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(RecipeError, match="shares"):
        fixed_shares(shares)


def test_a_language_without_tokens_is_refused():
    with pytest.raises(RecipeError, match="no tokens for sw-Latn"):
        tempered_shares({"en-Latn": 5, "sw-Latn": 0}, alpha=0.5)


@given(size=st.integers(1, 300), seed=st.integers(0, 2**40), epoch=st.integers(0, 50))
def test_each_epoch_of_the_order_holds_every_item_once(size, seed, epoch):
    positions = np.arange(epoch * size, (epoch + 1) * size)
    assert sorted(shuffled(seed, "x", positions, size=size).tolist()) == list(range(size))


def test_the_order_of_a_position_does_not_depend_on_what_else_is_asked():
    together = shuffled(7, "x", np.arange(1000), size=333)
    assert [int(shuffled(7, "x", np.array([p]), size=333)[0]) for p in range(1000)] == together.tolist()
    assert shuffled(7, "x", np.array([], dtype=np.int64), size=333).tolist() == []


def test_epochs_names_and_seeds_have_different_orders():
    orders = [
        tuple(shuffled(seed, name, np.arange(size) + size * epoch, size=size))
        for size in (50, 4096)
        for seed in (0, 1)
        for name in "ab"
        for epoch in (0, 1)
    ]
    assert len(set(orders)) == len(orders)


def test_the_order_of_four_items_takes_all_24_forms_about_equally_often():
    forms = shuffled(0, "x", np.arange(4 * 24_000), size=4).reshape(-1, 4)
    counts = np.unique(forms, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert 800 < counts.min()
    assert counts.max() < 1200


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"kind": "fixed"}, {"en-Latn": 0.5, "sw-Latn": 0.5}),
        ({"kind": "fixed", "shares": {"sw-Latn": 3, "en-Latn": 1}}, {"en-Latn": 0.25, "sw-Latn": 0.75}),
        ({}, {"en-Latn": 0.2, "sw-Latn": 0.8}),
        ({"kind": "tempered", "alpha": 0.5}, {"en-Latn": 1 / 3, "sw-Latn": 2 / 3}),
        ({"kind": "unimax", "max_epochs": 2}, {"en-Latn": 0.2, "sw-Latn": 0.8}),
    ],
)
def test_a_recipe_resolves_to_shares_in_the_order_of_the_corpora(spec, expected):
    shares = MixtureSpec(**spec).resolve({"en-Latn": 4, "sw-Latn": 16}, budget=40)
    assert shares == pytest.approx(expected)
    assert list(shares) == ["en-Latn", "sw-Latn"]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"kind": "tempered"}, "needs alpha"),
        ({"kind": "unimax"}, "needs max_epochs"),
        ({"kind": "proportional", "alpha": 0.5}, "does not read alpha"),
        ({"kind": "fixed", "temperature": 3}, "temperature"),
    ],
)
def test_a_recipe_with_fields_of_another_kind_is_refused(spec, complaint):
    with pytest.raises(ValidationError, match=complaint):
        MixtureSpec(**spec)


def test_shares_for_other_languages_than_the_corpora_are_refused():
    with pytest.raises(ValidationError, match="unknown language 'sw-Latm'"):
        MixtureSpec(kind="fixed", shares={"sw-Latm": 1.0})
    with pytest.raises(ValidationError, match="the same language as swh"):
        MixtureSpec(kind="fixed", shares={"swh": 1.0, "sw": 2.0})
    with pytest.raises(RecipeError, match="no corpus"):
        MixtureSpec(kind="fixed", shares={"fr-Latn": 1.0}).resolve({"sw-Latn": 1}, budget=1)
    with pytest.raises(RecipeError, match="no share for sw-Latn"):
        MixtureSpec(kind="fixed", shares={"en-Latn": 1.0}).resolve({"en-Latn": 5, "sw-Latn": 1}, budget=1)
