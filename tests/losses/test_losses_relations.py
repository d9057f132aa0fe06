"""MiniLMv2 relations between tokens, against plain autograd and hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import ModelError
from isogloss.losses import relations as module
from isogloss.losses.attention import attention_loss, real_pairs
from isogloss.losses.relations import Projections, possible_heads, relation_loss

KINDS = ("qq", "kk", "vv", "qk")


def vectors(draw, batch, length, heads, size):
    return Projections(*torch.randn(3, batch, heads, length, size, generator=draw))


def leaves(one):
    return Projections(*(getattr(one, name).clone().requires_grad_() for name in ("query", "key", "value")))


def plainly(student, teacher, real, *, relations, heads, causal=False):
    """The paper's formula, one example after the other, on its real tokens alone."""

    def log_maps(model, name, row):
        sides = {"q": model.query, "k": model.key, "v": model.value}
        cut = []
        for letter in name:
            wide = sides[letter][row].transpose(0, 1).flatten(1)[real[row]]
            cut.append(wide.unflatten(1, (heads, -1)).transpose(0, 1))
        maps = cut[0] @ cut[1].mT / math.sqrt(cut[0].shape[-1])
        if causal:
            maps = maps.masked_fill(torch.ones_like(maps).triu(1).bool(), -torch.inf)
        return maps.log_softmax(-1)

    losses = {}
    for name in relations:
        total = torch.zeros(())
        for row in range(len(real)):
            ours, theirs = log_maps(student, name, row), log_maps(teacher, name, row)
            gap = torch.where(theirs.isfinite(), theirs - ours, 0.0)
            total = total + (theirs.exp() * gap).sum()
        losses[name] = total / max(1, int(real.sum())) / heads
    return losses


def gradients(loss, student):
    names = ("query", "key", "value")
    found = torch.autograd.grad(loss, [getattr(student, name) for name in names], allow_unused=True)
    return dict(zip(names, found, strict=True))


def test_the_value_is_the_hand_computed_one():
    """One relation head of size 1: relations of the second token are softmax([0, 1])."""
    student = Projections(*torch.zeros(3, 1, 1, 2, 1))
    teacher = Projections(*torch.tensor([0.0, 1.0])[None, None, :, None].expand(3, 1, 1, 2, 1))
    p = math.e / (1 + math.e)
    second = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    both = torch.ones(1, 2, dtype=torch.bool)
    got = relation_loss(student, teacher, both, relations=("qq",), heads=1)
    assert got["qq"].item() == pytest.approx(second / 2, abs=1e-6)
    backward = -(math.log(2 * p) + math.log(2 * (1 - p))) / 2
    turned = relation_loss(teacher, student, both, relations=("qq",), heads=1)
    assert turned["qq"].item() == pytest.approx(backward / 2, abs=1e-6)


@given(st.integers(1, 3), st.integers(1, 6), st.sampled_from([1, 2, 4]), st.booleans(), st.integers(0, 100))
def test_values_and_gradients_are_those_of_the_plain_formula(batch, length, heads, causal, seed):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = leaves(vectors(draw, batch, length, 2, 4)), vectors(draw, batch, length, 4, 5)
    real = torch.rand(batch, length, generator=draw) < 0.7
    options = {"relations": KINDS, "heads": heads, "causal": causal}
    got, wanted = (f(student, teacher, real, **options) for f in (relation_loss, plainly))
    for name in KINDS:
        torch.testing.assert_close(got[name], wanted[name], atol=1e-5, rtol=1e-4)
        if wanted[name].requires_grad and real.any():
            ours, theirs = gradients(got[name], student), gradients(wanted[name], student)
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)


@given(st.integers(0, 4), st.integers(1, 5), st.booleans(), st.sampled_from([torch.nan, torch.inf, 1e30]))
def test_padding_changes_neither_values_nor_gradients(padding, length, causal, junk):
    draw = torch.Generator().manual_seed(padding + 10 * length)
    real = torch.rand(3, length, generator=draw) < 0.7
    both = [vectors(draw, 3, length, 2, 4) for _ in range(2)]
    spoilt = []
    for model in both:
        sides = (getattr(model, name) for name in ("query", "key", "value"))
        masked = [side.masked_fill(~real[:, None, :, None], junk) for side in sides]
        longer = [torch.nn.functional.pad(side, (0, 0, 0, padding), value=junk) for side in masked]
        spoilt.append(Projections(*longer))
    options = {"relations": KINDS, "heads": 2, "causal": causal}
    student, longer = leaves(both[0]), leaves(spoilt[0])
    wanted = relation_loss(student, both[1], real, **options)
    got = relation_loss(longer, spoilt[1], torch.nn.functional.pad(real, (0, padding)), **options)
    torch.testing.assert_close(got, wanted)
    ours = gradients(sum(got.values()), longer)
    theirs = gradients(sum(wanted.values()), student)
    for name in ours:
        torch.testing.assert_close(ours[name][:, :, :length], theirs[name])
        assert not ours[name][:, :, length:].any()


@given(st.integers(1, 3), st.integers(1, 5), st.booleans(), st.integers(0, 100))
def test_it_is_zero_on_equals_never_negative_and_blind_to_order(batch, length, causal, seed):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = vectors(draw, batch, length, 2, 4), vectors(draw, batch, length, 2, 4)
    real = torch.rand(batch, length, generator=draw) < 0.8
    options = {"relations": KINDS, "heads": 4, "causal": causal}
    losses = relation_loss(student, teacher, real, **options)
    assert all(loss.item() > -1e-6 for loss in losses.values())
    same = relation_loss(teacher, teacher, real, **options)
    assert all(abs(loss.item()) < 1e-6 for loss in same.values())
    order = torch.randperm(batch, generator=draw)
    turned = [
        Projections(*(getattr(one, name)[order] for name in ("query", "key", "value")))
        for one in (student, teacher)
    ]
    torch.testing.assert_close(relation_loss(*turned, real[order], **options), losses)


def test_different_relations_are_told_apart():
    draw = torch.Generator().manual_seed(0)
    student, teacher = vectors(draw, 2, 4, 2, 4), vectors(draw, 2, 4, 2, 4)
    losses = relation_loss(student, teacher, torch.ones(2, 4, dtype=torch.bool), relations=KINDS, heads=2)
    assert list(losses) == list(KINDS)
    assert all(loss.item() > 0.01 for loss in losses.values())


def test_queries_with_keys_in_the_attention_heads_are_the_attention_maps():
    """Where relation heads are attention heads, qk is the divergence of the maps that attention computes."""
    draw = torch.Generator().manual_seed(1)
    student, teacher = vectors(draw, 2, 5, 3, 4), vectors(draw, 2, 5, 3, 4)
    real = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    apart = ~real[:, None, None, :]
    maps = [
        (one.query @ one.key.mT / 2).masked_fill(apart, -torch.inf).softmax(-1) for one in (student, teacher)
    ]
    wanted = attention_loss([maps[0]], [maps[1]], real_pairs(real), form="kl")[0]
    got = relation_loss(student, teacher, real, relations=("qk",), heads=3)["qk"]
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("length", [1, 3])
def test_an_all_padding_batch_gives_zero_and_clean_gradients(length):
    student = Projections(*(torch.full((2, 2, length, 4), torch.nan, requires_grad=True) for _ in range(3)))
    teacher = Projections(*torch.full((3, 2, 2, length, 4), torch.inf))
    losses = relation_loss(
        student, teacher, torch.zeros(2, length, dtype=torch.bool), relations=KINDS, heads=4
    )
    assert all(loss.item() == 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert not any(getattr(student, name).grad.any() for name in ("query", "key", "value"))


def test_key_heads_that_serve_several_query_heads_are_related_to_each_of_them():
    draw = torch.Generator().manual_seed(2)
    query, key = (torch.randn(1, heads, 4, 3, generator=draw) for heads in (4, 2))
    grouped = Projections(query, key, key)
    repeated = Projections(query, key.repeat_interleave(2, dim=1), key.repeat_interleave(2, dim=1))
    teacher, real = vectors(draw, 1, 4, 4, 3), torch.ones(1, 4, dtype=torch.bool)
    got = relation_loss(grouped, teacher, real, relations=("qk", "vv"), heads=2)
    wanted = relation_loss(repeated, teacher, real, relations=("qk",), heads=2)
    torch.testing.assert_close(got["qk"], wanted["qk"])


def test_a_number_of_heads_that_does_not_divide_both_widths_is_refused_with_those_that_do():
    narrow, wide = Projections(*torch.zeros(3, 1, 2, 3, 6)), Projections(*torch.zeros(3, 1, 4, 3, 5))
    with pytest.raises(ModelError) as caught:
        relation_loss(narrow, wide, torch.ones(1, 3, dtype=torch.bool), heads=5)
    assert caught.value.got == "5 relation heads for vectors of width 12 and 20"
    assert caught.value.wanted == "a number that divides each width: 1, 2, 4"
    assert caught.value.fix == "take 4 relation heads"
    assert possible_heads(384, 768, 1024) == [1, 2, 4, 8, 16, 32, 64, 128]


def test_the_maps_are_made_a_few_at_a_time(monkeypatch, largest_tensor):
    draw = torch.Generator().manual_seed(3)
    student, teacher = leaves(vectors(draw, 4, 32, 2, 8)), vectors(draw, 4, 32, 4, 8)
    options = {"relations": ("qq",), "heads": 16}
    real = torch.ones(4, 32, dtype=torch.bool)
    at_once = gradients(relation_loss(student, teacher, real, **options)["qq"], student)["query"]
    monkeypatch.setattr(module, "_AT_ONCE", 3 * 32 * 32)
    with largest_tensor() as largest:
        loss = relation_loss(student, teacher, real, **options)["qq"]
        loss.backward()
    assert largest.entries == 4 * 32 * 4 * 8  # the teacher's vectors; all maps are 16 times as many
    torch.testing.assert_close(student.query.grad, at_once)


def test_half_precision_is_computed_in_single_and_so_under_autocast():
    draw = torch.Generator().manual_seed(4)
    whole = [vectors(draw, 2, 6, 2, 4) for _ in range(2)]
    half = [Projections(*(getattr(one, n).bfloat16() for n in ("query", "key", "value"))) for one in whole]
    again = [Projections(*(getattr(one, n).float() for n in ("query", "key", "value"))) for one in half]
    real = torch.ones(2, 6, dtype=torch.bool)
    wanted = relation_loss(*again, real, relations=KINDS, heads=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = relation_loss(*half, real, relations=KINDS, heads=2)
    torch.testing.assert_close(got, wanted)
    student = leaves(half[0])
    relation_loss(student, half[1], real, relations=("qq",), heads=2)["qq"].backward()
    assert student.query.grad.dtype == torch.bfloat16
