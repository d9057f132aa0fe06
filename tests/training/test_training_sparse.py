"""The loop with a model of which only chosen entries are trained: it does not know, and need not."""

from __future__ import annotations

import pytest
import torch
from tiny_training import TinyBatches, TinyModel, measurements, same_bits, tiny_plan, tiny_run, tiny_step

from isogloss.sparse.tuned import SparselyTuned
from isogloss.training.loop import train
from isogloss.training.sparse import sparse_adamw

DENSE = ("output.bias",)


def tuned(*, dropout=0.1):
    """Every third entry of each matrix and of the tied embedding."""
    model = TinyModel(dropout=dropout)
    entries = {
        name: torch.arange(0, parameter.numel(), 3, dtype=torch.int32)
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and not name.startswith("unused")
    }
    return SparselyTuned(model, entries, dense=DENSE)


def trained(folder, model, *, kill_at=None, **plan):
    """The state after training; with `kill_at`, a process that stops after that step comes first."""

    def dying(inner, batch):
        if model.model.calls >= kill_at:
            raise KeyboardInterrupt
        return tiny_step(inner, batch)

    settings = tiny_plan(**{"steps": 8, "checkpoint_every": 3, "weight_decay": 0.1, **plan})
    options = {"plan": settings, "phase": "sparse", "seed": 0, "optimiser": sparse_adamw}
    with tiny_run(folder) as run:
        train(model, TinyBatches(), dying if kill_at else tiny_step, run=run, **options)
        return measurements(run)


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_entries_move_as_a_masked_dense_training_would_move_them(tmp_path, clip, accumulate):
    ours = tuned(dropout=0.0)
    plan = {"schedule": "constant", "warmup": 0, "precision": "fp32", "accumulate": accumulate, "clip": clip}
    trained(tmp_path, ours, steps=4, weight_decay=0.1, **plan)
    chosen = {name: entries.positions for name, entries in ours.by_name().items()}
    ours.release()
    masked = masked_training(TinyModel(dropout=0.0), chosen, steps=4, accumulate=accumulate, clip=clip)
    for name, parameter in masked.named_parameters():
        torch.testing.assert_close(ours.model.get_parameter(name), parameter, rtol=1e-4, atol=1e-5, msg=name)


def masked_training(model, chosen, *, steps, accumulate, clip):
    """Plain PyTorch: gradients masked before clipping, and frozen entries put back after each step."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    free = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in before.items()}
    for name, positions in chosen.items():
        free[name].view(-1)[positions.long()] = True
    for name in DENSE:
        free[name][:] = True
    decayed = [p for n, p in model.named_parameters() if p.ndim > 1 and "embedding" not in n]
    plain = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}], lr=1e-2
    )
    batches = TinyBatches()
    for number in range(steps):
        micros = [batches[number * accumulate + place] for place in range(accumulate)]
        parts = [tiny_step(model, batch) for batch in micros]
        total = sum(part["weight"] for part in parts)
        (sum(part["loss"] * part["weight"] for part in parts) / total).backward()
        for name, parameter in model.named_parameters():
            parameter.grad = None if parameter.grad is None else parameter.grad * free[name]
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        optimiser.zero_grad()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(torch.where(free[name], parameter, before[name]))
    return model


@pytest.mark.parametrize("kill_at", [2, 3, 7])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_stopped_training_ends_with_the_same_bits(tmp_path, kill_at, precision):
    whole, stopped, again = tuned(), tuned(), tuned()
    log = trained(tmp_path / "whole", whole, precision=precision)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "stopped", stopped, kill_at=kill_at, precision=precision)
    assert trained(tmp_path / "stopped", again, precision=precision) == log
    assert same_bits(whole.state_dict(), again.state_dict())
    assert all(
        torch.equal(a.start, b.start)
        for a, b in zip(whole.entries.values(), again.entries.values(), strict=True)
    )


def test_the_optimiser_has_state_for_the_entries_alone():
    model = tuned()
    optimiser = sparse_adamw(model, tiny_plan())
    tiny_step(model, TinyBatches()[0])["loss"].backward()
    optimiser.step()
    entries = (
        sum(entries.values.numel() for entries in model.by_name().values()) + model.model.output.bias.numel()
    )
    moments = [state["exp_avg"].numel() + state["exp_avg_sq"].numel() for state in optimiser.state.values()]
    assert sum(moments) == 2 * entries


def test_entries_decay_as_the_tensors_they_belong_to():
    decayed, free = sparse_adamw(tuned(), tiny_plan(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert "entries.layer/linear1/weight.values" in decayed["names"]
    assert set(free["names"]) == {"entries.embedding/weight.values", "model.output.bias"}
