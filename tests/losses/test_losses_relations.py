"""MiniLMv2 relations between tokens, against plain autograd and hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isogloss.losses.relations import Projections, relation_loss

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
