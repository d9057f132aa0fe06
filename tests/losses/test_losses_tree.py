"""Heads and relations of a student parser and its teacher, against the product made in full."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isogloss.losses.combine import mean_over
from isogloss.losses.tree import TreeScores, tree_kl

LOWEST = torch.finfo(torch.float32).min


def parser(draw, examples, words, relations):
    arcs = torch.randn(examples, words, words + 1, generator=draw) * 2
    return TreeScores(arcs, torch.randn(examples, words, words + 1, relations, generator=draw) * 2)


def leaves(one):
    return TreeScores(one.arcs.clone().requires_grad_(), one.relations.clone().requires_grad_())


def joint(scores, row, word, count):
    """Log-probability of every (head, relation) of one word of a sentence of `count` words, flat."""
    heads = scores.arcs[row, word, : count + 1].log_softmax(-1)
    return (heads[:, None] + scores.relations[row, word, : count + 1].log_softmax(-1)).flatten()


def sentences(lengths, width):
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def test_the_values_are_the_hand_computed_ones():
    """The teacher is sure of neither head; the two disagree about the relation on the second one alone."""
    teacher = TreeScores(
        torch.tensor([[[0.25, 0.75]]]).log(), torch.tensor([[[[0.5, 0.5], [0.9, 0.1]]]]).log()
    )
    student = TreeScores(torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[[0.5, 0.5], [0.5, 0.5]]]]).log())
    arcs, relations = tree_kl(student, teacher, torch.tensor([[True]]))
    assert arcs.item() == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5), abs=1e-6)
    on_second = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    assert relations.item() == pytest.approx(0.75 * on_second, abs=1e-6)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 4), st.integers(0, 100))
def test_the_sum_is_the_divergence_of_the_product(lengths, relations, seed):
    draw = torch.Generator().manual_seed(seed)
    width = max(lengths)
    student, teacher = (parser(draw, len(lengths), width, relations) for _ in range(2))
    words = sentences(lengths, width)
    total = sum(tree_kl(student, teacher, words))
    for row, count in enumerate(lengths):
        for word in range(count):
            ours, theirs = (joint(one, row, word, count) for one in (student, teacher))
            wanted = (theirs.exp() * (theirs - ours)).sum()
            torch.testing.assert_close(total[row, word], wanted, atol=1e-5, rtol=1e-4)
        assert not total[row, count:].any()


def test_temperature_flattens_each_factor_and_its_square_scales():
    draw = torch.Generator().manual_seed(0)
    student, teacher = (parser(draw, 2, 3, 4) for _ in range(2))
    words = sentences([3, 2], 3)
    flat = [TreeScores(one.arcs / 2, one.relations / 2) for one in (student, teacher)]
    wanted = tree_kl(*flat, words)
    got = tree_kl(student, teacher, words, temperature=2.0, scaled=False)
    torch.testing.assert_close(got, wanted)
    scaled = tree_kl(student, teacher, words, temperature=2.0)
    torch.testing.assert_close(scaled, tuple(4 * one for one in wanted))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(0, 3), st.integers(0, 100))
def test_padding_changes_neither_values_nor_gradients(lengths, padding, seed):
    draw = torch.Generator().manual_seed(seed)
    width = max(1, *lengths)
    both = [parser(draw, len(lengths), width, 3) for _ in range(2)]
    words = sentences(lengths, width)
    pad = torch.nn.functional.pad
    real = words[..., None] & pad(words, (1, 0), value=True)[:, None]
    spoilt = []
    for one in both:
        arcs = one.arcs.masked_fill(~real, torch.nan)
        relations = one.relations.masked_fill(~real[..., None], torch.inf)
        spoilt.append(
            TreeScores(
                pad(arcs, (0, padding, 0, padding), value=LOWEST),
                pad(relations, (0, 0, 0, padding, 0, padding), value=torch.nan),
            )
        )
    student, longer = leaves(both[0]), leaves(spoilt[0])
    wanted = tree_kl(student, both[1], words)
    got = tree_kl(longer, spoilt[1], pad(words, (0, padding)))
    torch.testing.assert_close([one[:, :width] for one in got], list(wanted))
    sum(one.sum() for one in got).backward()
    sum(one.sum() for one in wanted).backward()
    torch.testing.assert_close(longer.arcs.grad[:, :width, : width + 1], student.arcs.grad)
    torch.testing.assert_close(longer.relations.grad[:, :width, : width + 1], student.relations.grad)
    assert longer.relations.grad.isfinite().all()


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.floats(0.3, 4), st.integers(0, 100))
def test_it_is_zero_on_equals_and_never_negative(examples, width, relations, temperature, seed):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = (parser(draw, examples, width, relations) for _ in range(2))
    words = sentences([width] * examples, width)
    assert all(one.min() > -1e-4 for one in tree_kl(student, teacher, words, temperature=temperature))
    same = tree_kl(teacher, teacher, words, temperature=temperature)
    assert all(one.abs().max() < 1e-4 for one in same)


def test_scores_that_were_masked_at_the_lowest_number_stay_finite_at_any_temperature():
    draw = torch.Generator().manual_seed(1)
    student, teacher = (parser(draw, 1, 3, 2) for _ in range(2))
    for one in (student, teacher):
        one.arcs[..., 3] = LOWEST
    words = sentences([2], 3)
    for temperature in (0.25, 1.0, 8.0):
        ours = leaves(student)
        losses = tree_kl(ours, teacher, words, temperature=temperature)
        sum(one.sum() for one in losses).backward()
        assert all(one.isfinite().all() for one in losses)
        assert ours.arcs.grad.isfinite().all()
        assert not ours.arcs.grad[..., 3].any()


def test_relations_on_heads_that_the_teacher_rules_out_weigh_nothing():
    draw = torch.Generator().manual_seed(2)
    student, teacher = (parser(draw, 1, 2, 3) for _ in range(2))
    teacher.arcs[0, :, 1] = -200.0
    ours = leaves(student)
    tree_kl(ours, teacher, sentences([2], 2))[1].sum().backward()
    assert not ours.relations.grad[0, :, 1].any()
    assert ours.relations.grad[0, :, 0].any()
    assert ours.arcs.grad is None  # the heads are drawn by the teacher alone


def test_a_batch_without_words_gives_zero_and_clean_gradients():
    nothing = TreeScores(torch.full((2, 1, 2), torch.nan), torch.full((2, 1, 2, 3), torch.nan))
    student, words = leaves(nothing), torch.zeros(2, 1, dtype=torch.bool)
    arcs, relations = tree_kl(student, nothing, words)
    (mean_over(arcs, words) + mean_over(relations, words)).backward()
    assert not torch.cat([arcs, relations]).any()
    assert not student.arcs.grad.any()
    assert not student.relations.grad.any()


def test_half_precision_is_computed_in_single():
    draw = torch.Generator().manual_seed(3)
    half = [
        TreeScores(one.arcs.bfloat16(), one.relations.bfloat16())
        for one in (parser(draw, 2, 3, 4) for _ in range(2))
    ]
    words = sentences([3, 1], 3)
    got = tree_kl(*half, words)
    wanted = tree_kl(*(TreeScores(one.arcs.float(), one.relations.float()) for one in half), words)
    torch.testing.assert_close(got, wanted)
