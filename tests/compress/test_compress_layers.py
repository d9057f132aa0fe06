"""Shallower models: exact copies, per family; and the rules that choose layers."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from every_family import CAUSAL, EVERY, LAYERS, SEQ2SEQ, small_batch, small_model
from isogloss.compress.layers import keep_layers, layer_map, layered_config
from isogloss.core.errors import ModelError
from isogloss.models.anatomy import anatomy
from isogloss.models.outputs import run


@pytest.mark.parametrize("keep", [(1, 3), (0, 2), (2,), (0, 1, 2, 3)])
@pytest.mark.parametrize("model_type", EVERY)
def test_every_tensor_is_bit_equal_to_the_teachers(model_type, keep):
    teacher = small_model(model_type)
    student = keep_layers(teacher, keep, first_norm="copy")
    parts, tensors = anatomy(student), dict(teacher.named_parameters(remove_duplicate=False))
    assert len(parts.layers) == student.config.num_hidden_layers == len(keep)
    for name, tensor in student.named_parameters():
        place = parts.place(name)
        if place.layer is not None and not place.decoder:
            layer = 0 if "relative_attention_bias" in name else keep[place.layer]
            name = name.replace(f".{place.layer}.", f".{layer}.", 1)
        assert torch.equal(tensor, tensors[name]), name
        assert tensor.data_ptr() != tensors[name].data_ptr()


@pytest.mark.parametrize("model_type", EVERY)
@torch.no_grad()
def test_all_layers_kept_is_the_same_function_and_the_bottom_agrees_as_far_as_it_goes(model_type):
    teacher = small_model(model_type)
    batch = small_batch(teacher)
    same = keep_layers(teacher, range(LAYERS))
    assert torch.equal(same(**batch).logits, teacher(**batch).logits)
    bottom = keep_layers(teacher, (0, 1))
    ours = run(bottom, batch, hidden=(1, 2), attention=(1,))
    theirs = run(teacher, batch, hidden=(1, 2), attention=(1,))
    for index in (1, 2):
        torch.testing.assert_close(ours.hidden[index], theirs.hidden[index])
    torch.testing.assert_close(ours.attention[1], theirs.attention[1])


@pytest.mark.parametrize("model_type", [*EVERY])
@torch.no_grad()
def test_a_kept_layer_computes_what_it_computed_in_the_teacher(model_type):
    """Fed the teacher's input, student layer 1 (teacher layer 3) gives the teacher's output."""
    teacher = small_model(model_type)
    student = keep_layers(teacher, (1, 3))
    batch = small_batch(teacher)
    theirs = run(teacher, batch, hidden=(3, 4)).hidden
    into = anatomy(student).layers[1].register_forward_pre_hook(lambda _, args: (theirs[3], *args[1:]))
    ours = run(student, batch, hidden=(2,)).hidden
    into.remove()
    torch.testing.assert_close(ours[2], theirs[4])


@pytest.mark.parametrize("model_type", EVERY)
@torch.no_grad()
def test_a_student_survives_saving(model_type, tmp_path):
    teacher = small_model(model_type)
    student = keep_layers(teacher, (1, 2))
    student.save_pretrained(tmp_path)
    again = type(student).from_pretrained(tmp_path)
    batch = small_batch(teacher)
    assert torch.equal(again(**batch).logits, student(**batch).logits)


@pytest.mark.parametrize("model_type", [*CAUSAL, *SEQ2SEQ])
@torch.no_grad()
def test_a_student_generates_with_its_cache(model_type):
    both = {"decoder_layers": (1, 3)} if model_type in SEQ2SEQ else {}
    student = keep_layers(small_model(model_type), (1, 3), **both)
    ids = small_batch(student)["input_ids"][:1]
    settings = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None, "pad_token_id": 1}
    cached = student.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    plain = student.generate(ids, attention_mask=torch.ones_like(ids), use_cache=False, **settings)
    assert torch.equal(cached, plain)


@pytest.mark.parametrize("decoder_layers", [None, (2,)])
@torch.no_grad()
def test_stacks_of_different_depth_generate_too(decoder_layers, tmp_path):
    student = keep_layers(small_model("mt5"), (1, 3), decoder_layers=decoder_layers)
    student.save_pretrained(tmp_path)
    again = type(student).from_pretrained(tmp_path)
    ids = small_batch(student)["input_ids"][:1]
    assert again.generate(ids, max_new_tokens=3, eos_token_id=None).shape == (1, 4)


@pytest.mark.parametrize("model_type", SEQ2SEQ)
def test_decoder_layers_are_chosen_on_their_own(model_type):
    teacher = small_model(model_type)
    student = keep_layers(teacher, (1, 3), decoder_layers=(2,))
    assert (student.config.num_layers, student.config.num_decoder_layers) == (2, 1)
    ours, theirs = student.decoder.block[0].state_dict(), teacher.decoder.block[2].state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    bias = "layer.0.SelfAttention.relative_attention_bias.weight"
    assert torch.equal(ours[bias], teacher.decoder.block[0].state_dict()[bias])
    assert student(**small_batch(student)).logits.isfinite().all()


def test_kept_layers_keep_their_kind_of_attention():
    teacher = small_model("modernbert")
    assert teacher.config.layer_types == ["full_attention", *["sliding_attention"] * 2, "full_attention"]
    student = keep_layers(teacher, (1, 3))
    assert student.config.layer_types == ["sliding_attention", "full_attention"]
    assert [layer.attention_type for layer in student.model.layers] == student.config.layer_types


@torch.no_grad()
def test_folding_the_norm_comes_nearer_to_the_teachers_layer_than_leaving_it_out():
    teacher = small_model("modernbert")
    batch = small_batch(teacher)
    embedded = run(teacher, batch, hidden=(0,)).hidden[0]
    wanted = teacher.model.layers[2].attn.Wqkv(teacher.model.layers[2].attn_norm(embedded))

    def distance(first_norm):
        student = keep_layers(teacher, (2, 3), first_norm=first_norm)
        return (student.model.layers[0].attn.Wqkv(embedded) - wanted).square().mean()

    assert distance("fold") < 0.5 * distance("copy")


def test_folding_touches_one_projection_alone_and_only_when_the_first_layer_is_dropped():
    teacher = small_model("modernbert")
    folded, plain = (keep_layers(teacher, (1, 3), first_norm=way).state_dict() for way in ("fold", "copy"))
    assert [n for n in plain if not torch.equal(plain[n], folded[n])] == ["model.layers.0.attn.Wqkv.weight"]
    folded, plain = (keep_layers(teacher, (0, 3), first_norm=way).state_dict() for way in ("fold", "copy"))
    assert all(torch.equal(plain[n], folded[n]) for n in plain)


def test_the_teacher_is_left_alone_and_the_student_trains():
    teacher = small_model("bert").requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    student = keep_layers(teacher, (1, 3)).train()
    optimiser = torch.optim.SGD(student.parameters(), lr=0.1)
    student(**small_batch(student)).logits.square().mean().backward()
    optimiser.step()
    assert teacher.config.num_hidden_layers == LAYERS
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert not torch.equal(
        student.bert.encoder.layer[0].output.dense.weight, before["bert.encoder.layer.1.output.dense.weight"]
    )


def test_no_global_random_number_is_drawn():
    teacher = small_model("bert")
    before = torch.get_rng_state()
    keep_layers(teacher, (0,))
    assert torch.equal(torch.get_rng_state(), before)


def test_mode_precision_heads_and_a_missing_pooler_are_kept():
    teacher = small_model("bert", "label", num_labels=5).train().to(torch.bfloat16)
    student = keep_layers(teacher, (0,))
    assert (student.training, student.dtype, student.config.num_labels) == (True, torch.bfloat16, 5)
    assert torch.equal(student.classifier.weight, teacher.classifier.weight)
    assert keep_layers(small_model("bert", "base"), (0,)).pooler is None


@pytest.mark.parametrize("model_type", EVERY)
def test_dropout_can_be_set_for_the_student(model_type):
    teacher = small_model(model_type)
    student = keep_layers(teacher, (0, 1), dropout=0.3)
    assert all(getattr(student.config, key) == 0.3 for key in anatomy(student).family.dropout_keys)
    still = keep_layers(student, (0, 1), dropout=0.0).train()
    batch = small_batch(still)
    assert torch.equal(still(**batch).logits, still(**batch).logits)


def test_two_separate_vocabulary_tables_stay_separate():
    """transformers 5 calls every mT5 tied, and loads a checkpoint with two different tables as it is."""
    teacher = small_model("mt5")
    teacher.lm_head.weight = torch.nn.Parameter(torch.randn(50, 16))
    teacher.all_tied_weights_keys.pop("lm_head.weight")
    student = keep_layers(teacher, (0, 1))
    assert torch.equal(student.lm_head.weight, teacher.lm_head.weight)
    assert torch.equal(student.shared.weight, teacher.shared.weight)


def test_a_configuration_can_be_planned_without_weights():
    config = small_model("gemma3_text").config
    planned = layered_config(config, (1, 2), dropout=0.0)
    assert (planned.num_hidden_layers, planned.layer_types) == (2, config.layer_types[1:3])
    assert config.num_hidden_layers == LAYERS


@pytest.mark.parametrize(
    ("teacher_layers", "rule", "layers"),
    [
        (12, "every-2nd", (1, 3, 5, 7, 9, 11)),
        (12, "every-3rd", (2, 5, 8, 11)),
        (12, "every-4th", (3, 7, 11)),
        (12, "every-12th", (11,)),
        (22, "every-2nd", tuple(range(1, 22, 2))),
        (5, "every-2nd", (1, 3, 4)),
        (22, "every-3rd", (2, 5, 8, 11, 14, 17, 20, 21)),
        (7, "every-1st", tuple(range(7))),
        (22, "last-of-4-blocks", (4, 10, 15, 21)),
        (12, "last-of-4-blocks", (2, 5, 8, 11)),
        (6, "bottom-2", (0, 1)),
        (6, "top-2", (4, 5)),
        (6, [0, 5], (0, 5)),
    ],
)
def test_rules_choose_these_layers(teacher_layers, rule, layers):
    assert layer_map(teacher_layers, rule) == layers


@pytest.mark.parametrize(
    "rule",
    [
        "every-0th",
        "every-7th",
        "last-of-0-blocks",
        "last-of-7-blocks",
        "top-0",
        "top-7",
        "half",
        "",
        [],
        [1, 1],
        [3, 2],
        [-1],
        [6],
    ],
)
def test_rules_that_do_not_fit_are_refused(rule):
    with pytest.raises(ModelError) as caught:
        layer_map(6, rule)
    assert caught.value.fix


def test_a_rule_that_does_not_fit_is_answered_with_some_that_do():
    with pytest.raises(ModelError) as caught:
        layer_map(22, "every-23rd")
    assert "last-of-11-blocks" in caught.value.fix
    assert "from 1 to 22" in caught.value.wanted


@given(st.integers(1, 60), st.data())
def test_a_step_that_does_not_divide_still_ends_with_the_teachers_last_layer(layers, data):
    step = data.draw(st.integers(1, layers))
    kept = layer_map(layers, f"every-{step}th")
    assert kept[-1] == layers - 1
    assert len(kept) == -(-layers // step)
    assert kept[: layers // step] == tuple((i + 1) * step - 1 for i in range(layers // step))
    assert all(b - a <= step for a, b in itertools.pairwise((-1, *kept)))


@given(st.integers(1, 60), st.data())
def test_blocks_are_as_even_as_can_be(layers, data):
    blocks = data.draw(st.integers(1, layers))
    kept = layer_map(layers, f"last-of-{blocks}-blocks")
    sizes = [b - a for a, b in itertools.pairwise((-1, *kept))]
    assert (len(kept), kept[-1]) == (blocks, layers - 1)
    assert max(sizes) - min(sizes) <= 1
    if layers % blocks == 0:
        assert kept == layer_map(layers, f"every-{layers // blocks}th")


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_regular_map_is_bistils_formula(students, step):
    layers = layer_map(students * step, f"every-{step}th")
    assert layers == tuple((i + 1) * step - 1 for i in range(students))


@pytest.mark.parametrize("wrong", [(), (0, 0), (2, 1), (4,), (-1, 0)])
def test_layers_out_of_range_or_order_are_refused(wrong):
    with pytest.raises(ModelError, match="layers to keep"):
        keep_layers(small_model("bert"), wrong)


def test_layers_that_know_their_number_are_refused():
    with pytest.raises(ModelError, match="scale_attn_by_inverse_layer_idx"):
        keep_layers(small_model("gpt2", scale_attn_by_inverse_layer_idx=True), (0, 1))
