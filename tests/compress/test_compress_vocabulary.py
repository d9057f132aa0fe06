"""Trimmed vocabularies: on the kept ids, the same scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from every_family import EVERY, MASKED, ROWS, small_batch, small_model
from isogloss.compress.layers import keep_layers
from isogloss.compress.vocabulary import keep_rows, largest_difference
from isogloss.core.errors import ModelError
from isogloss.models.anatomy import anatomy

SPECIAL = (0, 1, 2)


def ids(*kept):
    return np.array(kept, dtype=np.int64)


def translated(batch, kept):
    new = torch.full((ROWS,), -1)
    new[torch.from_numpy(kept)] = torch.arange(len(kept))
    return {key: new[value] if key.endswith("input_ids") else value for key, value in batch.items()}


@torch.no_grad()
def assert_same_scores(model, trimmed, kept):
    batch = small_batch(model, allowed=[int(i) for i in kept])
    full = model(**batch).logits[..., torch.from_numpy(kept)]
    torch.testing.assert_close(trimmed(**translated(batch, kept)).logits, full, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("model_type", EVERY)
def test_scores_on_kept_ids_are_the_full_models(model_type, tied):
    model = small_model(model_type, tie_word_embeddings=tied)
    kept = ids(*SPECIAL, 5, 9, 10, 33, 49)
    trimmed = keep_rows(model, kept)
    assert trimmed.config.vocab_size == trimmed.get_input_embeddings().num_embeddings == 8
    assert_same_scores(model, trimmed, kept)
    assert model.config.vocab_size == ROWS


@pytest.mark.parametrize("auto", ["language", "base"])
@pytest.mark.parametrize("model_type", EVERY)
def test_the_largest_difference_is_nothing_until_a_row_is_changed(model_type, auto):
    model = small_model(model_type, None if auto == "language" else "base")
    kept = ids(*SPECIAL, 5, 9, 10, 33, 49)
    trimmed = keep_rows(model, kept)
    rows = [[0, 4, 5, 2], [6]]
    assert largest_difference(model, trimmed, kept, rows) <= 1e-5
    trimmed.get_input_embeddings().weight.data[6, 0] += 1.0  # a norm would swallow a whole row moved alike
    assert largest_difference(model, trimmed, kept, rows) > 1e-3
    assert largest_difference(model, trimmed, kept, []) == 0


@settings(max_examples=15)
@given(st.sampled_from(EVERY), st.permutations(range(ROWS)), st.integers(0, ROWS - 3))
def test_any_kept_set_in_any_order_gives_the_same_scores(model_type, order, number):
    others = [row for row in order if row not in SPECIAL][:number]
    kept = ids(*[row for row in order if row in {*SPECIAL, *others}])
    model = small_model(model_type)
    assert_same_scores(model, keep_rows(model, kept), kept)


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta"])
@pytest.mark.parametrize("place", [0, 1, 4])
def test_positions_follow_the_padding_id(model_type, place):
    """RoBERTa's positions start after the padding id, so the table has to move with it."""
    model = small_model(model_type)
    kept = [0, 2, 7, 8, 9, 30]
    kept.insert(place, 1)
    trimmed = keep_rows(model, ids(*kept))
    assert trimmed.config.pad_token_id == place
    assert_same_scores(model, trimmed, ids(*kept))


@pytest.mark.parametrize("model_type", EVERY)
def test_special_ids_are_renumbered_everywhere(model_type):
    model = small_model(model_type)
    trimmed = keep_rows(model, ids(2, 40, 0, 1))
    config = trimmed.config
    assert (config.eos_token_id, config.bos_token_id, config.pad_token_id) == (0, 2, 3)
    if getattr(trimmed, "generation_config", None) is not None:
        assert trimmed.generation_config.eos_token_id in (0, None)
    if config.is_encoder_decoder:
        assert config.decoder_start_token_id == 3
    old = model.get_input_embeddings().padding_idx
    assert trimmed.get_input_embeddings().padding_idx == (None if old is None else 3)


def test_lists_of_ids_keep_what_is_left_of_them():
    model = small_model("llama", eos_token_id=[2, 30, 31])
    model.generation_config.suppress_tokens = [2, 45]
    trimmed = keep_rows(model, ids(0, 1, 2, 31))
    assert trimmed.config.eos_token_id == trimmed.generation_config.eos_token_id == [2, 3]
    assert trimmed.generation_config.suppress_tokens == [2]


def test_an_id_outside_the_vocabulary_is_dropped():
    """Configurations often carry the class's default ids, such as 50256, whatever their vocabulary."""
    model = small_model("gpt2", bos_token_id=50256, eos_token_id=50256)
    assert keep_rows(model, ids(0, 1)).config.eos_token_id is None


@pytest.mark.parametrize("model_type", EVERY)
def test_tied_stays_tied_and_every_parameter_but_the_rows_is_bit_equal(model_type):
    model = small_model(model_type)
    trimmed = keep_rows(model, ids(*SPECIAL, 20))
    was_tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert (trimmed.get_output_embeddings().weight is trimmed.get_input_embeddings().weight) == was_tied
    rows = anatomy(model).vocabulary_tensors()
    tensors = dict(model.named_parameters(remove_duplicate=False))
    for name, tensor in trimmed.named_parameters():
        expected = tensors[name][[0, 1, 2, 20]] if name in rows else tensors[name]
        assert torch.equal(tensor, expected), name


def test_the_newer_deberta_head_is_trimmed_too():
    model = small_model("deberta-v2", legacy=False)
    kept = ids(*SPECIAL, 11, 12)
    assert_same_scores(model, keep_rows(model, kept), kept)


def test_separate_tables_of_a_tied_class_are_both_trimmed():
    model = small_model("mt5")
    model.lm_head.weight = torch.nn.Parameter(torch.randn(ROWS, 16))
    model.all_tied_weights_keys.pop("lm_head.weight")
    kept = ids(*SPECIAL, 11, 12)
    trimmed = keep_rows(model, kept)
    assert_same_scores(model, trimmed, kept)


@pytest.mark.parametrize("model_type", EVERY)
@torch.no_grad()
def test_a_trimmed_and_shallow_model_survives_saving(model_type, tmp_path):
    student = keep_rows(keep_layers(small_model(model_type), (1, 3)), ids(*SPECIAL, 20, 30))
    student.save_pretrained(tmp_path)
    again = type(student).from_pretrained(tmp_path)
    batch = small_batch(student, allowed=[3, 4])
    assert torch.equal(again(**batch).logits, student(**batch).logits)


@pytest.mark.parametrize("auto", ["base", "tokens"])
@pytest.mark.parametrize("model_type", MASKED)
def test_a_model_without_a_vocabulary_head_is_trimmed(model_type, auto):
    model = small_model(model_type, auto)
    trimmed = keep_rows(model, ids(*SPECIAL, 20))
    assert trimmed.get_input_embeddings().num_embeddings == 4


def test_a_trimmed_model_trains():
    trimmed = keep_rows(small_model("bert"), ids(*SPECIAL, 20)).train()
    batch = small_batch(trimmed, allowed=[3])
    trimmed(**batch, labels=batch["input_ids"]).loss.backward()
    assert trimmed.get_input_embeddings().weight.grad.shape == (4, 16)


@pytest.mark.parametrize("wrong", [(), (0, 1, 2, 2), (0, 1, 2, 50), (-1, 0, 1, 2)])
def test_ids_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ModelError, match="rows to keep"):
        keep_rows(small_model("bert"), ids(*wrong))


def test_a_special_id_that_is_not_kept_is_refused_by_name():
    with pytest.raises(ModelError, match="without pad_token_id 1"):
        keep_rows(small_model("bert"), ids(0, 2, 5))
