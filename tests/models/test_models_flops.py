"""Operations and bytes by arithmetic equal those of real models."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from every_family import EVERY, MASKED, SEQ2SEQ, small_model
from isogloss.models.flops import flops
from isogloss.models.sizes import sizes
from isogloss.models.storage import header_bytes, stored_bytes
from isogloss.models.tasks import build_task_model

NO_SUCH_HEAD = {("span", "gemma"), ("span", "gemma2"), ("span", "gemma3_text"), ("tokens", "gemma3_text")}
"""What transformers does not have."""


def counted(model, length, batch):
    ids = torch.randint(3, 50, (batch, length), generator=torch.Generator().manual_seed(0))
    ids[:, -1] = 2
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if getattr(model, "kind", None) == "tree":
        inputs["words"] = torch.arange(batch * length).reshape(batch, length)
    if getattr(model, "kind", None) == "choice":
        inputs["group"] = torch.arange(batch)
    model.requires_grad_(
        False
    )  # the counter follows gradients where it can, and stumbles over expanded parameters
    with FlopCounterMode(display=False) as counter:
        if hasattr(model, "kind"):
            model(inputs)
        elif model.config.is_encoder_decoder and type(model).__name__ != "T5EncoderModel":
            more = {} if "Classification" in type(model).__name__ else {"decoder_input_ids": ids}
            model(**inputs, **more)
        else:
            model(**inputs, **({} if model.config.model_type in MASKED else {"use_cache": False}))
    return counter.get_total_flops()


@pytest.mark.parametrize("model_type", EVERY)
@pytest.mark.parametrize(("length", "batch"), [(1, 1), (7, 3)])
def test_language_models_do_as_many_operations_as_torch_counts(model_type, length, batch):
    model = small_model(model_type, attn_implementation="eager")
    assert flops(model, length=length, batch=batch)["total"] == counted(model, length, batch)


@pytest.mark.parametrize("model_type", EVERY)
@pytest.mark.parametrize("auto", ["base", "label", "tokens", "span"])
def test_so_do_models_with_other_heads(model_type, auto):
    if (auto, model_type) in NO_SUCH_HEAD:
        return
    model = small_model(model_type, auto, attn_implementation="eager")
    found = flops(model, length=7, batch=2)
    assert found["total"] == counted(model, 7, 2)
    assert found["total"] == sum(found.values()) - found["total"]


@pytest.mark.parametrize("kind", ["tree", "choice", "label"])
def test_so_do_heads_of_ours(kind):
    base = small_model("xlm-roberta", "base", attn_implementation="eager")
    model = build_task_model(kind, base, labels=("a", "b", "c"), pooling="mean")
    model.model.set_attn_implementation("eager")
    assert flops(model, length=7, batch=2)["total"] == counted(model, 7, 2)


@pytest.mark.parametrize(
    "changes", [{"share_att_key": False}, {"pos_att_type": ["c2p"]}, {"position_buckets": -1}]
)
def test_deberta_counts_its_relative_positions(changes):
    model = small_model("deberta-v2", **changes)
    assert flops(model, length=9, batch=2)["total"] == counted(model, 9, 2)


@pytest.mark.parametrize("model_type", SEQ2SEQ)
def test_an_encoder_alone_is_counted_without_the_decoder(model_type):
    model = small_model(model_type, attn_implementation="eager")
    ids = torch.full((2, 7), 3)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.get_encoder()(input_ids=ids)
    found = flops(model, length=7, batch=2, decoder=False)
    assert found["total"] - found["head"] == counter.get_total_flops()


def test_no_weights_are_needed():
    with torch.device("meta"):
        empty = small_model("bert")
    assert flops(empty, length=8) == flops(small_model("bert"), length=8)


@pytest.mark.parametrize("model_type", EVERY)
def test_bytes_are_those_of_a_file(model_type, tmp_path):
    model = small_model(model_type)
    for storage, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16}.items():
        weights = {name: tensor.detach().to(dtype).clone() for name, tensor in model.named_parameters()}
        save_file(weights, tmp_path / "model.safetensors")
        size = (tmp_path / "model.safetensors").stat().st_size
        assert stored_bytes(model, storage) < size <= stored_bytes(model, storage) + header_bytes(model)


def test_int8_is_a_byte_an_entry_of_a_matrix_and_a_scale_a_row():
    model = torch.nn.Sequential(torch.nn.Embedding(10, 4), torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
    assert stored_bytes(model, "int8") == 10 * (4 + 5) + 3 * (4 + 5) + 4 * 3 + 4 * 6
    assert stored_bytes(small_model("bert"), "fp32") == 4 * sizes(small_model("bert"))["total"]
