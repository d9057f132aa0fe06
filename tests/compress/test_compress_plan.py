"""Plans from budgets: exact bytes, the best that fits, and a message where nothing does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some
from safetensors.torch import save_file

from every_family import EVERY, language_head, small_model
from isogloss.compress.plan import (
    PREFERENCES,
    Block,
    Limits,
    Line,
    blocks_of,
    candidates,
    choose,
    planned_config,
)
from isogloss.core.errors import UserError
from isogloss.models.backbone import empty_model
from isogloss.models.storage import header_bytes, stored_bytes
from isogloss.vocab.curve import VocabularySize

SIZES = [
    VocabularySize(1000 * 2**step, {"de-Latn": 1 - 0.1 / 10**step, "sw-Latn": 1 - 0.05 / 9**step}, 30_000)
    for step in range(5)
]


def small_config(model_type="bert"):
    return small_model(model_type).config


def all_of(config, auto="masked", *, storages=("fp32",), lines=True, blocks=None):
    blocks = blocks or blocks_of(config)
    line = {block: Line(0.001, 0.002 * block.feedforward / 24) for block in blocks} if lines else None
    found = candidates(config, auto, vocabularies=SIZES, blocks=blocks, storages=storages, lines=line)
    return list(found)


@pytest.mark.parametrize("model_type", EVERY)
@pytest.mark.parametrize("storage", ["fp32", "bf16", "int8"])
def test_bytes_are_those_of_a_model_really_built(model_type, storage):
    config, auto = small_config(model_type), language_head(model_type)
    for one in all_of(config, auto, storages=(storage,))[:: len(SIZES) + 1]:
        built = planned_config(config, layers=one.layers, block=one.block, vocabulary=one.vocabulary.size)
        model = empty_model(built, auto)
        assert one.weight_bytes == stored_bytes(model, storage) + header_bytes(model)


def test_a_file_is_no_larger_than_planned(tmp_path):
    config = small_config()
    one = all_of(config)[0]
    built = planned_config(config, layers=one.layers, block=one.block, vocabulary=one.vocabulary.size)
    model = empty_model(built, "masked")
    save_file({name: tensor.detach() for name, tensor in model.named_parameters()}, tmp_path / "weights")
    assert 0.9 < (tmp_path / "weights").stat().st_size / one.weight_bytes <= 1


FOUND = all_of(small_config(), storages=("fp32", "bf16", "int8"))


@given(some.integers(0, 300_000), some.integers(0, 300_000), some.floats(0, 0.02), some.floats(0, 0.02))
def test_more_budget_never_gives_a_worse_plan(disk, more, latency, later):
    def plan(limits):
        try:
            return choose(FOUND, limits).chosen.rank[:-1]
        except UserError:
            return ()

    assert plan(Limits(disk, latency, 0.0)) <= plan(Limits(disk + more, latency + later, 0.0))


@given(some.integers(0, 300_000), some.floats(0, 0.02), some.floats(0.9, 1))
def test_what_is_chosen_fits_and_nothing_that_fits_ranks_higher(disk, latency, coverage):
    limits = Limits(disk, latency, coverage)
    fitting = [one for one in FOUND if one.fits(limits)]
    if not fitting:
        with pytest.raises(UserError, match="no student fits: --"):
            choose(FOUND, limits)
        return
    found = choose(FOUND, limits)
    assert found.chosen.disk <= disk
    assert found.chosen.latency <= latency
    assert found.chosen.vocabulary.least_kept >= coverage
    assert found.chosen.rank == max(one.rank for one in fitting)
    for other in found.others:
        assert other.fits(limits)
        assert any(other.qualities[key] > found.chosen.qualities[key] for key in other.qualities)


def test_without_limits_the_plan_is_the_teacher():
    chosen = choose(FOUND, Limits()).chosen
    assert all(chosen.qualities[quality] == 1 for quality, _ in PREFERENCES if quality != "coverage")
    assert chosen.vocabulary == SIZES[-1]


def test_what_comes_first_in_the_table_is_never_given_up_for_what_comes_later():
    roomy = choose(FOUND, Limits()).chosen.disk
    for disk in range(110_000, roomy, 10_000):
        chosen = choose(FOUND, Limits(disk=disk)).chosen
        fitting = [one for one in FOUND if one.fits(Limits(disk=disk))]
        for quality, enough in PREFERENCES:
            fitting = [one for one in fitting if one.qualities[quality] >= enough] or fitting
            best = max(min(one.qualities[quality], enough) for one in fitting)
            assert min(chosen.qualities[quality], enough) == best
            fitting = [one for one in fitting if min(one.qualities[quality], enough) == best]


@pytest.mark.parametrize(
    ("limits", "got", "fix"),
    [
        (Limits(disk=1000), "--disk 0.001MB, where .* MB \\(1 layer, 2,000 pieces, int8\\)", "allow --disk"),
        (Limits(latency=0.001), "--latency 1ms, where .* ms \\(1 layer\\)", "allow --latency"),
        (Limits(coverage=1.0), "--coverage 1, where 0.9999", "allow --coverage"),
        (Limits(disk=1000, latency=0.001), "--disk .*; --latency", ", and allow --latency"),
        (Limits(disk=90_000, coverage=0.9999), "--disk .*; --coverage", ", or allow --coverage"),
    ],
)
def test_what_cannot_be_had_is_named_with_what_can(limits, got, fix):
    with pytest.raises(UserError, match=got) as refused:
        choose(FOUND, limits)
    assert fix in refused.value.fix


def test_what_the_advice_says_is_enough():
    with pytest.raises(UserError) as refused:
        choose(FOUND, Limits(disk=1000))
    disk = float(refused.value.fix.split()[2].removesuffix("MB,")) * 1e6
    assert choose(FOUND, Limits(disk=round(disk))).chosen


def test_blocks_begin_with_the_teachers():
    blocks = blocks_of(small_config())
    assert blocks[0] == Block(16, 2, 24)
    assert all(block.feedforward < 24 for block in blocks[1:])
