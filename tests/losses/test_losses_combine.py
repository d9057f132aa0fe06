"""Weighted sums of losses, and means that padding cannot touch."""

from __future__ import annotations

import pytest
import torch

from isogloss.core.errors import UserError
from isogloss.losses.combine import combine, mean_over


def test_the_total_is_the_weighted_sum_of_means():
    combined = combine(
        {"hidden": torch.tensor([1.0, 2.0, 6.0]), "logits": torch.tensor(5.0)}, {"hidden": 2.0, "logits": 0.1}
    )
    assert combined.total.item() == pytest.approx(6.5)
    assert combined.log() == pytest.approx(
        {"loss": 6.5, "hidden": 3.0, "hidden/0": 1.0, "hidden/1": 2.0, "hidden/2": 6.0, "logits": 5.0}
    )


def test_a_part_without_a_weight_counts_once_and_zero_switches_one_off():
    combined = combine({"a": torch.tensor(2.0), "b": torch.tensor(3.0)}, {"b": 0.0})
    assert combined.total.item() == 2.0
    assert combined.log()["b"] == 3.0


def test_gradients_flow_to_every_part_and_the_log_holds_none():
    a, b = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor(1.0, requires_grad=True)
    combined = combine({"a": a * 1, "b": b * 1}, {"a": 4.0})
    combined.total.backward()
    assert (a.grad.tolist(), b.grad.item()) == ([2.0, 2.0], 1.0)
    assert not any(part.requires_grad for part in combined.parts.values())


def test_a_misspelt_weight_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="hiden") as caught:
        combine({"hidden": torch.tensor(1.0)}, {"hiden": 1.0})
    assert "did you mean 'hidden'?" in caught.value.fix


def test_a_mean_counts_what_its_weights_say():
    values = torch.tensor([[1.0, 4.0], [torch.nan, 10.0]])
    assert mean_over(values, torch.tensor([[1, 1], [0, 2]])).item() == 6.25
    assert mean_over(values, torch.tensor([[True, True], [False, False]])).item() == 2.5


def test_a_mean_over_nothing_is_zero_with_zero_gradients():
    values = torch.tensor([torch.inf, 1.0], requires_grad=True)
    mean = mean_over(values, torch.zeros(2, dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0
    assert values.grad.tolist() == [0, 0]
