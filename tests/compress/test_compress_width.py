"""Narrower models: exact where they can be, and as near as may be elsewhere."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from every_family import LAYERS, language_head, small_batch, small_model
from isogloss.compress.attention import _nearest_frequencies, _smaller_scores, _smaller_values
from isogloss.compress.basis import basis_of, state_moment
from isogloss.compress.shape import narrow_config
from isogloss.compress.width import narrow
from isogloss.core.errors import DataError, ModelError
from isogloss.models.backbone import seeded
from isogloss.models.outputs import run

IN_FRONT = ("llama", "mistral", "qwen2", "qwen3", "gpt2")
LAYER_NORM = ("gpt2", "modernbert", "bert", "roberta", "xlm-roberta")
KNOWN = (*IN_FRONT, "modernbert", "bert", "roberta", "xlm-roberta")
TRAINED = ("bert", "modernbert", "gpt2", "llama")


def texts(model, number=6):
    """Batches with labels."""
    batches = [small_batch(model, seed=seed) for seed in range(number)]
    return [
        {**one, "labels": torch.where(one["attention_mask"] == 1, one["input_ids"], -100)} for one in batches
    ]


@torch.no_grad()
def states(model, batch):
    """Hidden states of all layers at real tokens, [layers + 1, tokens, width]."""
    hidden = run(model, batch, hidden=range(LAYERS + 1)).hidden
    return torch.stack([hidden[i][batch["attention_mask"] == 1] for i in range(LAYERS + 1)])


@pytest.fixture(scope="module", params=TRAINED)
def trained(request):
    """A model that has learnt that every token is followed by its successor, and batches of such text."""
    model = small_model(
        request.param, hidden_size=32, num_attention_heads=4, tie_word_embeddings=True
    ).train()
    batches = [following(model, seed) for seed in range(60)]
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    with seeded(0):
        for batch in batches:
            optimiser.zero_grad()
            model(**batch).loss.backward()
            optimiser.step()
    return model.eval(), [following(model, seed) for seed in range(100, 108)]


def following(model, seed):
    draw = torch.Generator().manual_seed(seed)
    start, step = (torch.randint(low, high, (8, 1), generator=draw) for low, high in ((0, 47), (1, 4)))
    ids = (start + step * torch.arange(12)) % 47 + 3
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}
    if language_head(model.config.model_type) == "masked":
        hidden = torch.rand(ids.shape, generator=draw) < 0.3
        batch["labels"] = torch.where(hidden, ids, -100)
        batch["input_ids"] = torch.where(hidden, 2, ids)
    return batch


@pytest.mark.parametrize("model_type", IN_FRONT)
@torch.no_grad()
def test_turning_all_directions_changes_no_score_where_norms_stand_in_front(model_type):
    model = small_model(model_type, tie_word_embeddings=False)
    turned = narrow(model, texts(model), width=16)
    batch = small_batch(model)
    wanted = model(**batch).logits[batch["attention_mask"] == 1]
    torch.testing.assert_close(
        turned.model(**batch).logits[batch["attention_mask"] == 1], wanted, atol=1e-5, rtol=1e-5
    )
    assert not torch.allclose(turned.basis, torch.eye(16), atol=0.1)


@pytest.mark.parametrize("model_type", IN_FRONT)
def test_turning_all_directions_turns_all_hidden_states(model_type):
    model = small_model(model_type, tie_word_embeddings=True)
    turned, batch = narrow(model, texts(model), width=16), small_batch(model)
    theirs = states(model, batch) @ turned.basis
    torch.testing.assert_close(states(turned.model, batch), theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"norm_bias": True}, {"norm_bias": True, "attention_bias": True}])
def test_a_modernbert_is_turned_exactly_but_for_its_embedding_norm(changes):
    model = small_model("modernbert", **changes)
    with torch.no_grad():
        model.model.embeddings.norm.weight.fill_(0.8)
        if changes:
            model.model.embeddings.norm.bias.fill_(0.0)
    turned, batch = narrow(model, texts(model), width=16), small_batch(model)
    theirs = states(model, batch) @ turned.basis
    torch.testing.assert_close(states(turned.model, batch), theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta"])
def test_a_model_with_even_norms_on_the_stream_is_turned_exactly(model_type):
    model = small_model(model_type)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" in name and "lm_head" not in name and "cls" not in name:
                parameter.fill_(0.7 if name.endswith("weight") else 0.0)
    turned, batch = narrow(model, texts(model), width=16), small_batch(model)
    theirs = states(model, batch) @ turned.basis
    torch.testing.assert_close(states(turned.model, batch), theirs, atol=1e-4, rtol=1e-4)


def apart(narrowed, model, batch):
    """How much of the hidden states is lost or wrong in the narrower model, of 1."""
    wanted = states(model, batch)
    made = states(narrowed.model, batch) @ narrowed.basis.T
    return float(((made - wanted).square().sum(-1) / wanted.square().sum(-1)).mean())


def test_the_error_falls_with_the_width(trained):
    model, batches = trained
    errors = [apart(narrow(model, batches, width=width), model, batches[0]) for width in (8, 16, 24, 32)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.03


def test_principal_directions_are_better_than_large_coordinates_and_than_random_directions(trained):
    model, batches = trained
    moment = state_moment(model, batches)
    ones = model.config.model_type in LAYER_NORM
    mixed = torch.randn(32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def error(of):
        basis = None if of is None else basis_of(of, 16, ones=ones)
        return apart(narrow(model, batches, width=16, basis=basis), model, batches[0])

    best = error(None)
    assert best < 0.9 * error(torch.diag(moment.diagonal()))
    assert best < 0.9 * error(mixed @ mixed.T)


def test_the_head_of_a_turned_model_still_knows_what_follows(trained):
    model, batches = trained
    turned = narrow(model, batches, width=32).model
    with torch.no_grad():
        before, after = model(**batches[0]).loss.item(), turned(**batches[0]).loss.item()
    assert after < before + 0.35


@pytest.mark.parametrize("model_type", KNOWN)
@pytest.mark.parametrize("tied", [True, False])
def test_a_narrower_model_is_an_ordinary_one_that_trains(model_type, tied, tmp_path):
    model = small_model(model_type, tie_word_embeddings=tied)
    narrowed = narrow(model, texts(model), width=8)
    smaller, batch = narrowed.model, texts(model)[0]
    config = narrow_config(model.config, width=8)
    assert smaller.config.to_dict() == config.to_dict()
    assert (config.hidden_size, narrowed.basis.shape) == (8, (16, 8))
    torch.testing.assert_close(narrowed.basis.T @ narrowed.basis, torch.eye(8), atol=1e-6, rtol=0)
    smaller.save_pretrained(tmp_path)
    again = type(smaller).from_pretrained(tmp_path)
    torch.testing.assert_close(again(**batch).logits, smaller(**batch).logits)
    assert (again.get_input_embeddings().weight is again.get_output_embeddings().weight) is tied
    smaller.train()(**batch).loss.backward()
    assert all(one.grad is None or one.grad.isfinite().all() for one in smaller.parameters())
    assert smaller.get_input_embeddings().weight.grad.abs().sum() > 0


@pytest.mark.parametrize("model_type", ["bert", "modernbert", "gpt2", "llama"])
def test_a_bare_model_becomes_narrower_too(model_type):
    model = small_model(model_type, "base", hidden_size=12, num_attention_heads=2, head_dim=6)
    narrowed, batch = narrow(model, texts(model), width=12), small_batch(model)
    theirs = model(**batch).last_hidden_state[batch["attention_mask"] == 1] @ narrowed.basis
    ours = narrowed.model(**batch).last_hidden_state[batch["attention_mask"] == 1]
    assert (ours - theirs).square().mean() < 0.1 * theirs.square().mean()


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "modernbert"])
@pytest.mark.parametrize(("width", "heads", "found"), [(8, None, 2), (12, None, 2), (8, 1, 1), (6, 1, 1)])
def test_heads_are_left_out_or_made_smaller_to_fill_the_width(model_type, width, heads, found):
    model = small_model(model_type, hidden_size=16, num_attention_heads=2)
    smaller = narrow(model, texts(model), width=width, heads=heads).model
    assert (smaller.config.hidden_size, smaller.config.num_attention_heads) == (width, found)
    assert smaller(**small_batch(model)).logits.isfinite().all()


def test_heads_that_cannot_share_out_the_width_are_left_out():
    config = small_model("bert", hidden_size=24, num_attention_heads=4).config
    assert narrow_config(config, width=18).num_attention_heads == 3
    assert narrow_config(config, width=20).num_attention_heads == 4
    config = small_model("modernbert", hidden_size=16, num_attention_heads=4).config
    assert narrow_config(config, width=12).num_attention_heads == 3


def test_a_llama_becomes_narrower_and_loses_heads_at_once():
    model = small_model("llama", num_attention_heads=4, num_key_value_heads=2, head_dim=6)
    smaller = narrow(model, texts(model), width=8, heads=2).model
    assert smaller.model.layers[0].self_attn.q_proj.weight.shape == (12, 8)
    assert smaller.model.layers[0].self_attn.k_proj.weight.shape == (6, 8)
    assert smaller(**small_batch(model)).logits.isfinite().all()


def test_smaller_heads_give_the_same_scores_and_values_where_there_was_room():
    draw = torch.Generator().manual_seed(0)
    narrow_q, narrow_k, narrow_v = torch.randn(3, 40, 3, generator=draw, dtype=torch.float64)
    wide_q, wide_k, wide_v = (
        part @ torch.randn(3, 8, generator=draw, dtype=torch.float64)
        for part in (narrow_q, narrow_k, narrow_v)
    )
    query, key = _smaller_scores(wide_q.T @ wide_q, wide_k.T @ wide_k, 3)
    torch.testing.assert_close((wide_q @ query.T) @ (wide_k @ key.T).T, wide_q @ wide_k.T)
    output = torch.randn(16, 8, generator=draw, dtype=torch.float64)
    value, into = _smaller_values(wide_v.T @ wide_v, output, 3)
    torch.testing.assert_close(wide_v @ value.T @ (output @ into).T, wide_v @ output.T)


def test_smaller_heads_are_the_nearest_of_their_rank():
    draw = torch.Generator().manual_seed(1)
    queries, keys = torch.randn(2, 60, 8, generator=draw, dtype=torch.float64)
    keys = keys * torch.arange(1, 9)
    query, key = _smaller_scores(queries.T @ queries, keys.T @ keys, 3)
    scores = queries @ keys.T
    left, sizes, right = torch.linalg.svd(scores)
    nearest = left[:, :3] * sizes[:3] @ right[:3]
    torch.testing.assert_close((queries @ query.T) @ (keys @ key.T).T, nearest)


def test_a_rotary_head_of_half_the_size_keeps_every_second_frequency():
    kept = _nearest_frequencies(8, 4).argmax(dim=1)
    assert kept.tolist() == [0, 2, 4, 6]
    frequencies = 10000.0 ** (-torch.arange(4) / 4)
    torch.testing.assert_close(frequencies[kept[:2]], 10000.0 ** (-torch.arange(2) / 2))


@given(st.integers(1, 12), st.data())
def test_a_basis_is_orthonormal_and_knows_the_direction_of_ones(large, data):
    width, rank = data.draw(st.integers(1, large)), data.draw(st.integers(0, large))
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    factors = torch.randn(large, rank, generator=draw, dtype=torch.float64)
    for ones in (False, True):
        basis = basis_of(factors @ factors.T, width, ones=ones)
        torch.testing.assert_close(basis.T @ basis, torch.eye(width, dtype=torch.float64))
        if ones:
            there = torch.full((large,), large**-0.5, dtype=torch.float64)
            here = torch.full((width,), width**-0.5, dtype=torch.float64)
            torch.testing.assert_close(there @ basis, here)


def test_the_first_directions_hold_the_most():
    moment = torch.diag(torch.tensor([1.0, 5.0, 3.0, 2.0], dtype=torch.float64))
    assert basis_of(moment, 2, ones=False).tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]


def test_padding_has_no_say():
    model = small_model("bert")
    batch = small_batch(model)
    longer = {name: torch.nn.functional.pad(tensor, (0, 4)) for name, tensor in batch.items()}
    torch.testing.assert_close(state_moment(model, [longer]), state_moment(model, [batch]))


def test_the_same_text_makes_the_same_model_and_no_random_number_is_drawn():
    model = small_model("bert").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    first, *_, second = (narrow(model, texts(model), width=6) for _ in range(5))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.basis, second.basis)
    weights = second.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in first.model.state_dict().items())
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("model_type", "sizes"),
    [
        ("bert", {"width": 0}),
        ("bert", {"width": 17}),
        ("bert", {"width": 15}),
        ("bert", {"width": 12, "heads": 1}),
        ("bert", {"width": 8, "heads": 3}),
        ("modernbert", {"width": 6, "heads": 2}),
        ("llama", {"width": 15}),
        ("llama", {"width": 8, "heads": 4}),
        ("deberta-v2", {"width": 8}),
        ("mt5", {"width": 8}),
        ("gemma3_text", {"width": 8}),
    ],
)
def test_sizes_that_cannot_be_are_refused_with_what_to_do(model_type, sizes):
    with pytest.raises(ModelError) as caught:
        narrow_config(small_model(model_type).config, **sizes)
    assert "student.width" in caught.value.fix


def test_a_head_for_a_task_and_no_text_are_refused():
    model = small_model("bert", "label", num_labels=3)
    with pytest.raises(ModelError, match=r"BertForSequenceClassification .* with bert.pooler"):
        narrow(model, texts(model), width=8)
    with pytest.raises(DataError, match="no calibration text"):
        narrow(small_model("bert"), [], width=8)
