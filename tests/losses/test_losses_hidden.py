"""Masked hidden-state loss, against hand-computed values."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isogloss.losses.hidden import hidden_cosine, hidden_loss, hidden_mse

FORMS = ("mse", "cosine")


def test_the_value_is_the_hand_computed_one():
    student = torch.tensor([[[1.0, 2.0], [0.0, 0.0], [9.0, 9.0]]])
    teacher = torch.tensor([[[0.0, 0.0], [3.0, 1.0], [0.0, 0.0]]])
    real = torch.tensor([[True, True, False]])
    assert hidden_mse(student, teacher, real).tolist() == [[2.5, 5.0, 0.0]]
    assert hidden_loss([student, teacher], [teacher, teacher], real).tolist() == [3.75, 0.0]


def test_without_padding_it_is_torchs_mse():
    student, teacher = torch.randn(2, 3, 5, 8)[:, :3]
    real = torch.ones(3, 5, dtype=torch.bool)
    torch.testing.assert_close(
        hidden_loss([student], [teacher], real)[0], torch.nn.functional.mse_loss(student, teacher)
    )


@given(
    st.integers(0, 5), st.integers(1, 6), st.sampled_from(FORMS), st.sampled_from([4, 6]), st.integers(0, 100)
)
def test_padding_changes_neither_values_nor_gradients(padding, length, form, width, seed):
    draw = torch.Generator().manual_seed(seed)
    student = torch.randn(3, length, 4, generator=draw)
    teacher = torch.randn(3, length, width, generator=draw)
    basis = None if width == 4 else torch.randn(width, 4, generator=draw)
    real = torch.rand(3, length, generator=draw) < 0.7
    longer = [
        torch.nn.functional.pad(
            x.masked_fill(~real[..., None], torch.nan), (0, 0, 0, padding), value=torch.inf
        )
        for x in (student, teacher)
    ]
    mask = torch.nn.functional.pad(real, (0, padding))
    student.requires_grad_()
    longer[0].requires_grad_()
    got = hidden_loss([longer[0]], [longer[1]], mask, form=form, basis=basis)
    wanted = hidden_loss([student], [teacher], real, form=form, basis=basis)
    torch.testing.assert_close(got, wanted)
    (got + wanted).sum().backward()
    torch.testing.assert_close(longer[0].grad[:, :length], student.grad)
    assert not longer[0].grad[~mask].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("junk", [1e30, torch.inf, torch.nan])
def test_an_all_padding_batch_gives_zero_and_clean_gradients(junk, form):
    student = torch.full((2, 3, 4), junk, requires_grad=True)
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    loss = hidden_loss([student], [torch.zeros(2, 3, 4)], nothing, form=form).mean()
    loss.backward()
    assert loss.item() == 0
    assert student.grad.abs().sum().item() == 0


def test_gradients_reach_real_tokens_only():
    student = torch.randn(1, 2, 4, requires_grad=True)
    hidden_loss([student], [torch.zeros(1, 2, 4)], torch.tensor([[True, False]])).sum().backward()
    torch.testing.assert_close(student.grad[0, 0], student[0, 0].detach() * 2 / 4)
    assert student.grad[0, 1].tolist() == [0, 0, 0, 0]


def test_half_precision_is_summed_in_single():
    student = torch.full((1, 1, 64), 300.0, dtype=torch.float16)
    loss = hidden_loss([student], [torch.zeros_like(student)], torch.ones(1, 1, dtype=torch.bool))
    assert loss.item() == 90_000


def test_lists_of_different_length_are_our_own_mistake():
    state = torch.zeros(1, 1, 2)
    with pytest.raises(ValueError, match="shorter"):
        hidden_loss([state, state], [state], torch.ones(1, 1, dtype=torch.bool))


def test_the_cosine_is_the_hand_computed_one():
    student = torch.tensor([[[3.0, 4.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])
    teacher = torch.tensor([[[4.0, 3.0], [9.0, 0.0], [-2.0, 0.0], [0.0, 5.0]]])
    real = torch.tensor([[True, True, True, True]])
    wanted = torch.tensor([[1 / 25, 0.0, 2.0, 1.0]])
    torch.testing.assert_close(hidden_cosine(student, teacher, real), wanted)
    torch.testing.assert_close(hidden_loss([student], [teacher], real, form="cosine"), wanted.mean()[None])


@given(st.integers(1, 3), st.integers(1, 5), st.sampled_from(FORMS), st.integers(0, 100))
def test_it_is_zero_on_equals_never_negative_and_blind_to_order(batch, length, form, seed):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, batch, length, 4, generator=draw)
    real = torch.rand(batch, length, generator=draw) < 0.7
    loss = hidden_loss([student], [teacher], real, form=form)
    assert loss.item() > -1e-6
    assert abs(hidden_loss([teacher], [teacher], real, form=form).item()) < 1e-6
    order = torch.randperm(batch, generator=draw)
    turned = hidden_loss([student[order]], [teacher[order]], real[order], form=form)
    torch.testing.assert_close(turned, loss)


@given(st.floats(0.1, 10), st.integers(0, 100))
def test_the_cosine_leaves_length_free_and_pulls_across_it(factor, seed):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 2, 3, 4, generator=draw)
    real = torch.ones(2, 3, dtype=torch.bool)
    student.requires_grad_()
    loss = hidden_loss([student * factor], [teacher], real, form="cosine")
    torch.testing.assert_close(loss, hidden_loss([student], [teacher], real, form="cosine"))
    loss.sum().backward()
    assert (student.grad * student).sum(-1).abs().max() < 1e-5


def test_a_state_of_zeros_has_a_finite_cosine_and_gradient():
    student = torch.zeros(1, 1, 4, requires_grad=True)
    loss = hidden_loss([student], [torch.ones(1, 1, 4)], torch.ones(1, 1, dtype=torch.bool), form="cosine")
    loss.sum().backward()
    assert loss.item() == 1
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_a_narrow_student_is_compared_with_its_teacher_in_the_basis(form):
    draw = torch.Generator().manual_seed(0)
    teacher = torch.randn(2, 3, 8, generator=draw)
    basis = torch.linalg.qr(torch.randn(8, 4, generator=draw)).Q
    real = torch.ones(2, 3, dtype=torch.bool)
    student = (teacher @ basis).requires_grad_()
    loss = hidden_loss([student, student * -1], [teacher, teacher], real, form=form, basis=basis)
    assert abs(loss[0].item()) < 1e-6
    wanted = hidden_loss([student * -1], [teacher @ basis], real, form=form)
    torch.testing.assert_close(loss[1:], wanted)


def test_the_projection_is_computed_in_single_under_autocast():
    draw = torch.Generator().manual_seed(1)
    teacher, basis = torch.randn(1, 2, 8, generator=draw), torch.randn(8, 4, generator=draw)
    real = torch.ones(1, 2, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = hidden_loss([teacher @ basis], [teacher], real, basis=basis)
        exact = hidden_loss([(teacher.double() @ basis.double()).float()], [teacher], real, basis=basis)
    assert loss.item() > 1e-6 > exact.item()
