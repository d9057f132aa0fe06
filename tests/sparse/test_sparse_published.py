from __future__ import annotations

import numpy as np
import pytest
import torch

from isogloss.core.errors import CheckpointError
from isogloss.sparse.published import FILE_NAME, load_published


def encoded(dense):
    """A sparse tensor as composable-sft writes it: steps between positions, the first coordinate fastest."""
    coordinates = dense.nonzero().T.numpy()
    multipliers = np.cumprod([1, *dense.shape[:-1]])
    positions = multipliers @ coordinates
    order = np.argsort(positions)
    steps = [positions[order][0], *(positions[order][1:] - positions[order][:-1]).tolist()]
    values = dense[dense != 0][torch.from_numpy(order)]
    return {"size": dense.size(), "index_steps": steps, "values": values}


def dense_of(change):
    flat = torch.zeros(torch.Size(change.shape).numel())
    flat[change.indices.long()] = change.values
    return flat.view(change.shape)


@pytest.fixture
def diffs():
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "bert.embeddings.word_embeddings.weight": (30, 7),
        "bert.encoder.layer.0.output.dense.bias": (11,),
        "bert.encoder.layer.0.cube": (3, 4, 5),
    }
    drawn = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: tensor * (tensor > 0.7) for name, tensor in drawn.items()}


def test_a_published_delta_is_read_as_it_was_meant(tmp_path, diffs):
    head = torch.randn(3, 7)
    parts = {
        "diffs": {name: encoded(tensor) for name, tensor in diffs.items()},
        "abs": {"classifier.weight": head, "bert.pooler.dense.bias": encoded(torch.tensor([0.0, 2.0]))},
        "block_sparses": {},
    }
    torch.save(parts, tmp_path / FILE_NAME)
    delta = load_published(tmp_path)
    assert (delta.base, delta.vocabulary) == (None, None)
    for name, tensor in diffs.items():
        change = delta.changes[name.removeprefix("bert.")]
        assert torch.equal(dense_of(change), tensor)
        assert (change.indices.diff() > 0).all()
    assert torch.equal(delta.dense["classifier.weight"], head)
    assert delta.dense["pooler.dense.bias"].tolist() == [0, 2]


def test_a_delta_written_whole_is_read_too(tmp_path, diffs):
    torch.save({"diffs": diffs}, tmp_path / FILE_NAME)
    delta = load_published(tmp_path / FILE_NAME, prefix="")
    assert all(torch.equal(dense_of(delta.changes[name]), tensor) for name, tensor in diffs.items())


class Malice:
    def __reduce__(self):
        return (print, ("run",))


def test_code_in_the_file_is_not_run(tmp_path, capsys):
    torch.save({"diffs": {"a": Malice()}}, tmp_path / FILE_NAME)
    with pytest.raises(CheckpointError, match="composable-sft"):
        load_published(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "parts",
    [
        {"weights": {}},
        [1, 2],
        {"diffs": {"a": {"size": (2,), "index_steps": [5], "values": torch.ones(1)}}},
        {"diffs": {"a": {"size": (2,), "index_steps": [0, 1], "values": torch.ones(1)}}},
        {"diffs": {"a": {"size": (4,), "index_steps": [2, -2, 3], "values": torch.ones(3)}}},
        {"diffs": {"a": {"size": (2,)}}},
    ],
)
def test_other_files_are_refused(tmp_path, parts):
    torch.save(parts, tmp_path / FILE_NAME)
    with pytest.raises(CheckpointError, match="composable-sft"):
        load_published(tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_published(tmp_path)
