from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from isogloss.core.errors import RecipeError
from isogloss.sparse.tuned import SparselyTuned, distance


class Tied(nn.Module):
    """Embedding, a layer, a norm, and the embedding again as output."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embedding = nn.Embedding(12, 6)
            self.layer = nn.Linear(6, 6)
            self.norm = nn.LayerNorm(6)
            self.output = nn.Linear(6, 12, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, ids, *, times=1):
        return self.output(self.norm(self.layer(self.embedding(ids)))) * times


IDS = torch.tensor([[1, 2, 3, 11], [0, 2, 2, 5]])
ENTRIES = {
    "embedding.weight": torch.tensor([0, 7, 13, 40, 71], dtype=torch.int32),
    "layer.weight": torch.tensor([3, 35], dtype=torch.int32),
    "norm.weight": torch.tensor([], dtype=torch.int32),
}
DENSE = ("layer.bias",)


def loss(model, ids=IDS):
    return functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())


def test_it_gives_what_the_model_gives():
    plain, tuned = Tied(), SparselyTuned(Tied(), ENTRIES, dense=DENSE)
    assert torch.equal(tuned(IDS, times=3), plain(IDS, times=3))
    with torch.no_grad():
        assert torch.equal(tuned(IDS), plain(IDS))


def test_gradients_are_those_of_the_whole_model_at_the_entries():
    plain, tuned = Tied(), SparselyTuned(Tied(), ENTRIES, dense=DENSE)
    loss(plain).backward()
    loss(tuned).backward()
    for name in ("embedding.weight", "layer.weight"):
        wanted = plain.get_parameter(name).grad.view(-1)[ENTRIES[name].long()]
        assert torch.equal(tuned.by_name()[name].values.grad, wanted)
    tuned.release()
    assert tuned.model.layer.weight.grad is None
    assert torch.equal(tuned.model.layer.bias.grad, plain.layer.bias.grad)
    assert tuned.model.norm.weight.grad is None


def test_only_entries_and_dense_tensors_can_be_trained():
    tuned = SparselyTuned(Tied(), ENTRIES, dense=DENSE)
    trained = {name: p.numel() for name, p in tuned.named_parameters() if p.requires_grad}
    assert trained == {
        "entries.embedding/weight.values": 5,
        "entries.layer/weight.values": 2,
        "model.layer.bias": 6,
    }
    shapes = {name: tuple(tensor.shape) for name, tensor in tuned.tensors().items()}
    assert list(shapes.values()) == [(12, 6), (6, 6), (6,)]
    assert shapes.keys() == trained.keys()


def test_two_passes_before_one_backward_are_allowed():
    tuned = SparselyTuned(Tied(), ENTRIES)
    first, second = loss(tuned), loss(tuned, IDS.flip(1))
    (first + second).backward()
    alone = SparselyTuned(Tied(), ENTRIES)
    loss(alone).backward()
    loss(alone, IDS.flip(1)).backward()
    for name, entries in tuned.by_name().items():
        torch.testing.assert_close(entries.values.grad, alone.by_name()[name].values.grad)


def test_training_moves_the_entries_and_nothing_else_though_all_decay_and_have_momentum():
    tuned, before = SparselyTuned(Tied(), ENTRIES, dense=DENSE), Tied()
    trained = [p for p in tuned.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=0.1, weight_decay=0.5)
    for _ in range(4):
        optimiser.zero_grad()
        loss(tuned).backward()
        optimiser.step()
    tuned.release()
    for name, parameter in before.named_parameters():
        moved = (tuned.model.get_parameter(name) != parameter).view(-1).nonzero().squeeze(-1)
        wanted = ENTRIES.get(name, torch.arange(6) if name in DENSE else torch.tensor([]))
        assert moved.tolist() == wanted.tolist(), name


def test_entries_know_how_far_they_moved():
    tuned = SparselyTuned(Tied(), ENTRIES)
    with torch.no_grad():
        for entries in tuned.by_name().values():
            entries.values += 1.0
    found = tuned.by_name()
    assert found["layer.weight"].positions.tolist() == [3, 35]
    torch.testing.assert_close(found["layer.weight"].moved(), torch.ones(2))
    assert "norm.weight" not in found


def test_the_state_keeps_positions_and_no_start():
    names = set(SparselyTuned(Tied(), ENTRIES).state_dict())
    assert {"entries.layer/weight.values", "entries.layer/weight.positions"} <= names
    assert not any("start" in name for name in names)


def test_the_model_comes_back_as_it_was_made():
    tuned, plain = SparselyTuned(Tied(), ENTRIES, dense=DENSE), Tied()
    with torch.no_grad():
        tuned.by_name()["embedding.weight"].values += 1.0
    model = tuned.release()
    assert [type(module) for module in model.modules()] == [type(module) for module in plain.modules()]
    assert set(model.state_dict()) == set(plain.state_dict())
    assert model.output.weight is model.embedding.weight
    assert all(parameter.requires_grad for parameter in model.parameters())
    moved = (model.embedding.weight != plain.embedding.weight).view(-1).nonzero().squeeze(-1)
    assert moved.tolist() == ENTRIES["embedding.weight"].tolist()


def test_dense_gradients_are_dropped_as_soon_as_they_are_read():
    """Otherwise those of the whole model would be held at once, and memory would not fall."""
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
    tuned = SparselyTuned(model, {f"{i}.weight": torch.tensor([i]) for i in range(4)})
    order = []
    for place, layer in enumerate(model):
        layer.register_full_backward_hook(lambda *_, place=place: order.append(f"layer {place}"))
        tuned.by_name()[f"{place}.weight"].values.register_hook(
            lambda _, place=place: order.append(f"entries {place}")
        )
    tuned(torch.randn(2, 8, requires_grad=True)).sum().backward()
    places = [order.index(f"entries {place}") for place in range(4)]
    assert places[::-1] == sorted(places)
    assert places[3] < order.index("layer 2")


def test_a_tensor_that_is_not_contiguous_can_be_tuned():
    model = Tied()
    model.layer.weight.data = model.layer.weight.data.T.contiguous().T
    tuned = SparselyTuned(model, {"layer.weight": ENTRIES["layer.weight"]})
    plain = Tied()
    torch.testing.assert_close(tuned(IDS), plain(IDS))


def test_nothing_to_train_is_refused():
    with pytest.raises(RecipeError, match="no entry"):
        SparselyTuned(Tied(), {})


def test_the_distance_is_the_sum_of_absolute_differences_and_so_is_its_gradient():
    now = [torch.randn(4, 3, requires_grad=True), torch.randn(5, requires_grad=True)]
    start = [torch.zeros(4, 3), now[1].detach().clone()]
    whole = distance(list(zip(now, start, strict=True)))
    torch.testing.assert_close(whole, now[0].abs().sum())
    (3 * whole).backward()
    torch.testing.assert_close(now[0].grad, 3 * now[0].detach().sign())
    assert now[1].grad.tolist() == [0] * 5  # what has not moved is not pulled
