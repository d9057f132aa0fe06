from __future__ import annotations

import errno
import json
import os
import subprocess

import pytest
import torch
from tiny_training import (
    TinyBatches,
    TinyModel,
    same_bits,
    tiny_plan,
    tiny_run,
    tiny_step,
    weights_of,
)
from torch import nn

from isogloss.core.errors import CheckpointError, StorageError
from isogloss.training import checkpoints
from isogloss.training.loop import train
from isogloss.training.optimiser import adamw


def train_in(folder, *, model=None, **plan):
    model = model or TinyModel()
    with tiny_run(folder) as run:
        outcome = train(
            model,
            TinyBatches(),
            tiny_step,
            plan=tiny_plan(**{"checkpoint_every": 2, **plan}),
            run=run,
            phase="tiny",
            seed=0,
        )
    return weights_of(model), outcome


def names(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def moments(optimiser):
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    states = {str(place): optimiser.state[p] for place, p in enumerate(parameters) if p in optimiser.state}
    return {f"{place}.{field}": tensor for place, state in states.items() for field, tensor in state.items()}


@pytest.mark.parametrize("model", [TinyModel(), nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1))])
def test_what_is_saved_is_loaded_bit_for_bit(tmp_path, model):
    optimiser = adamw(model, tiny_plan())
    for parameter in list(model.parameters())[1:]:
        parameter.grad = torch.randn_like(parameter)
    optimiser.step()
    checkpoints.save(tmp_path / "a-1", model, optimiser, {"step": 1})

    torch.manual_seed(9)
    other = type(model)(*([] if isinstance(model, TinyModel) else [nn.Linear(3, 1), nn.BatchNorm1d(1)]))
    fresh = adamw(other, tiny_plan())
    assert checkpoints.load(tmp_path / "a-1", other, fresh) == {"step": 1}
    assert same_bits(weights_of(model), weights_of(other))
    assert same_bits(moments(optimiser), moments(fresh))


def test_tied_weights_are_saved_once_and_stay_tied(tmp_path):
    model = TinyModel()
    checkpoints.save(tmp_path / "a-1", model, adamw(model, tiny_plan()), {})
    saved = checkpoints.load_file(tmp_path / "a-1" / checkpoints.WEIGHTS)
    assert "embedding.weight" in saved
    assert "output.weight" not in saved
    other = TinyModel(seed=1)
    checkpoints.load_weights(tmp_path / "a-1", other)
    assert other.output.weight is other.embedding.weight
    assert torch.equal(other.output.weight, model.output.weight)


def test_a_transposed_parameter_keeps_its_layout_and_so_do_its_moments(tmp_path):
    def transposed():
        model = nn.Linear(3, 2)
        model.weight = nn.Parameter(torch.arange(6.0).reshape(3, 2).T)
        return model, adamw(model, tiny_plan())

    model, optimiser = transposed()
    model.weight.grad = torch.arange(6.0).reshape(3, 2).T.clone(memory_format=torch.preserve_format)
    optimiser.step()
    checkpoints.save(tmp_path / "a-1", model, optimiser, {})
    other, fresh = transposed()
    checkpoints.load(tmp_path / "a-1", other, fresh)
    assert other.weight.stride() == model.weight.stride() == fresh.state[other.weight]["exp_avg"].stride()
    assert torch.equal(fresh.state[other.weight]["exp_avg"], optimiser.state[model.weight]["exp_avg"])


def test_there_is_no_pickle_in_a_checkpoint(tmp_path):
    train_in(tmp_path)
    folder = tmp_path / "checkpoints" / "tiny-6"
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    json.loads((folder / "state.json").read_text())


@pytest.mark.parametrize("file", ["weights.safetensors", "optimiser.safetensors", "state.json"])
def test_a_flipped_byte_is_found_and_the_checkpoint_before_it_still_leads_to_the_same_weights(tmp_path, file):
    whole, _ = train_in(tmp_path / "whole", steps=8)
    train_in(tmp_path / "hurt", steps=8)
    damaged = tmp_path / "hurt" / "checkpoints" / "tiny-8" / file
    content = bytearray(damaged.read_bytes())
    content[-2] ^= 1
    damaged.write_bytes(content)
    (tmp_path / "hurt" / "status.json").unlink()
    with pytest.raises(CheckpointError, match=f"{file} is damaged") as caught:
        train_in(tmp_path / "hurt", steps=8)
    assert caught.value.exit_code == 2

    checkpoints.remove(damaged.parent)
    weights, outcome = train_in(tmp_path / "hurt", steps=8)
    assert outcome.resumed_from == 6
    assert same_bits(whole, weights)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    model = nn.Linear(3, 2)
    checkpoints.save(tmp_path / "a-1", model, adamw(model, tiny_plan()), {})
    with pytest.raises(CheckpointError, match="of another model"):
        checkpoints.load_weights(tmp_path / "a-1", nn.Linear(3, 3))
    frozen = nn.Linear(3, 2)
    frozen.bias.requires_grad_(False)
    with pytest.raises(CheckpointError, match="trained other parameters"):
        checkpoints.load(tmp_path / "a-1", frozen, adamw(frozen, tiny_plan()))


def test_a_best_checkpoint_that_is_gone_is_missed(tmp_path):
    with pytest.raises(CheckpointError, match="is gone"):
        checkpoints.load_weights(tmp_path / "tiny-3", nn.Linear(1, 1))


def test_the_newest_few_and_the_best_are_kept(tmp_path):
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.4, 0.5])
    with tiny_run(tmp_path) as run:
        train(
            TinyModel(),
            TinyBatches(),
            tiny_step,
            plan=tiny_plan(checkpoint_every=1, evaluate_every=1, keep_checkpoints=2),
            run=run,
            phase="tiny",
            seed=0,
            evaluate=lambda model: {"en-Latn": next(scores)},
        )
    assert names(tmp_path) == ["tiny-2", "tiny-5", "tiny-6"]


def test_phases_whose_names_begin_alike_are_kept_apart(tmp_path):
    for name in ("phase-1", "phase-10", "phase-warm-3", "phase-2.tmp-1234"):
        (tmp_path / name).mkdir()
    assert checkpoints.steps_saved(tmp_path, "phase") == [1, 10]
    assert checkpoints.steps_saved(tmp_path, "phase-warm") == [3]
    checkpoints.forget(tmp_path, "phase")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["phase-2.tmp-1234", "phase-warm-3"]


def test_a_full_disk_stops_with_one_message_and_the_checkpoint_before_it_goes_on(tmp_path, monkeypatch):
    whole, _ = train_in(tmp_path / "whole")
    real = os.fsync
    full = {"yes": False}

    def fsync(descriptor):
        full["yes"] |= "tiny-4.tmp-" in os.readlink(f"/proc/self/fd/{descriptor}")
        if full["yes"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(StorageError, match="the disk is full"):
        train_in(tmp_path / "hurt")
    monkeypatch.undo()
    assert names(tmp_path / "hurt") == ["tiny-2"]
    weights, outcome = train_in(tmp_path / "hurt")
    assert outcome.resumed_from == 2
    assert same_bits(whole, weights)


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 256 kB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk, and not everywhere")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_really_is_full_costs_nothing_that_was_saved(small_disk, tmp_path):
    whole, _ = train_in(tmp_path / "whole", steps=12)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(100 * 1024))
    with pytest.raises(StorageError, match="the disk is full"):
        train_in(small_disk, steps=12, keep_checkpoints=9)
    kept = names(small_disk)
    assert kept
    ballast.unlink()
    weights, outcome = train_in(small_disk, steps=12)
    assert f"tiny-{outcome.resumed_from}" == kept[-1]
    assert same_bits(whole, weights)
