"""Training on the rows in use gives what training on all of them gives, and leaves the others alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from isogloss.compress.rows import FewerRows, rows_to_keep
from isogloss.data.encode import encode
from isogloss.data.features import collate
from isogloss.data.labels import inventory
from isogloss.data.pieces import padding_id
from isogloss.evaluate.predict import predict
from isogloss.models.anatomy import anatomy
from isogloss.models.portions import portions
from isogloss.models.tasks import build_task_model
from isogloss.models.ties import untie
from isogloss.sparse.delta import Change, Delta, apply, fingerprint
from isogloss.training.optimiser import adamw
from isogloss.training.plan import TrainingPlan
from tiny_examples import EXAMPLES
from tiny_models import DECODERS, ENCODERS, FAMILIES, STYLES, tiny_model, tiny_tokenizer

LANGUAGE_MODELS = {
    **dict.fromkeys(ENCODERS, AutoModelForMaskedLM),
    **dict.fromkeys(DECODERS, AutoModelForCausalLM),
    "mt5": AutoModelForSeq2SeqLM,
}
HEADS_ELSEWHERE = ("label", "choice", "tags", "tree", "span")


def setting(kind, family):
    """A model, its tokenizer, and features of half of the tiny examples."""
    tokenizer = tiny_tokenizer(STYLES[family])
    auto = LANGUAGE_MODELS[family] if kind in ("text", "gap") else AutoModel
    model = build_task_model(kind, tiny_model(family, auto, tokenizer), labels=inventory(EXAMPLES[kind]))
    features = encode(
        kind, EXAMPLES[kind][:4], tokenizer, labels=model.labels, max_length=64, objective=model.objective
    )
    return model, tokenizer, features


def ids_of(features):
    for feature in features:
        yield from feature.rows
        if feature.kind in ("gap", "text"):
            yield [label for label in feature.labels or () if label >= 0]
        yield [entry.token for entry in feature.entries]
        for _, said in feature.decoder:
            yield said


def kept_for(model, tokenizer, features):
    return rows_to_keep(model.config, tokenizer, [*ids_of(features), [padding_id(tokenizer)]])


def learn(model, features, pad, steps=4, **plan):
    plan = TrainingPlan(steps=steps, learning_rate=1e-2, weight_decay=0.1, **plan)
    optimiser = adamw(model.train(), plan)
    for step in range(steps):
        optimiser.zero_grad()
        torch.manual_seed(step)
        model(collate(features[step % 2 :: 2], pad)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", HEADS_ELSEWHERE)
def test_without_a_head_over_the_vocabulary_the_trained_model_is_the_same(kind, family):
    model, tokenizer, features = setting(kind, family)
    pad = padding_id(tokenizer)
    wanted = learn(copy.deepcopy(model), features, pad).state_dict()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = model.config.to_dict()
    rows = FewerRows(model, kept_for(model, tokenizer, features))
    assert anatomy(model).embedding.num_embeddings == len(rows.kept) < len(tokenizer)
    learn(model, features, pad)
    rows.put_back()
    found = model.state_dict()
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    table = anatomy(model).embedding.weight
    others = np.setdiff1d(np.arange(len(table)), rows.kept)
    name = next(name for name, parameter in model.named_parameters() if parameter is table)
    assert torch.equal(table[others], before[name][others])
    assert not torch.equal(table, before[name])
    assert model.config.to_dict() == config


@pytest.mark.parametrize("family", FAMILIES)
def test_under_a_head_over_the_vocabulary_other_rows_are_as_they_were_to_the_bit(family):
    model, tokenizer, features = setting("text", family)
    before = copy.deepcopy(model)
    rows = FewerRows(model, kept_for(model, tokenizer, features))
    loss = model(collate(features, padding_id(tokenizer))).loss
    assert loss < before(collate(features, padding_id(tokenizer))).loss
    learn(model, features, padding_id(tokenizer))
    rows.put_back()
    whole, old = anatomy(model.model), anatomy(before.model)
    others = np.setdiff1d(np.arange(len(tokenizer)), rows.kept)
    for name in whole.vocabulary_tensors():
        was, now = (dict(m.named_parameters(remove_duplicate=False))[name] for m in (old.model, whole.model))
        assert torch.equal(now[others], was[others])
        assert not torch.equal(now, was)
    assert (whole.lm_head is None or whole.lm_head.weight is whole.embedding.weight) == (
        old.lm_head is None or old.lm_head.weight is old.embedding.weight
    )
    if family in (*DECODERS, "mt5"):
        assert model.model.generation_config.to_dict() == before.model.generation_config.to_dict()
    model(collate(features, padding_id(tokenizer))).loss.backward()


@pytest.mark.parametrize("family", ["xlm-roberta", "gpt2", "mt5"])
@pytest.mark.parametrize("kind", EXAMPLES)
def test_while_rows_are_aside_predictions_are_those_over_the_rows_in_use(kind, family):
    model, tokenizer, _ = setting(kind, family)
    wanted = predict(model, tokenizer, EXAMPLES[kind])
    everything = encode(
        kind, EXAMPLES[kind], tokenizer, labels=model.labels, max_length=64,
        objective=model.objective, purpose="predict",
    )  # fmt: skip
    rows = FewerRows(model, kept_for(model, tokenizer, everything))
    found = predict(model, tokenizer, EXAMPLES[kind])
    if kind in HEADS_ELSEWHERE:
        assert [repr(one)[:40] for one in found] == [repr(one)[:40] for one in wanted]
    elif kind == "text":
        assert all(now.nats < was.nats for now, was in zip(found, wanted, strict=True))
    rows.put_back()
    assert predict(model, tokenizer, EXAMPLES[kind]) == wanted


def test_an_id_without_a_row_is_an_error_or_is_stood_in_for():
    model, tokenizer, features = setting("text", "bert")
    kept = kept_for(model, tokenizer, features)
    other = int(np.setdiff1d(np.arange(len(tokenizer)), kept)[0])
    batch = {"input_ids": torch.tensor([[2, other, 3]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    strict = FewerRows(copy.deepcopy(model), kept)
    with pytest.raises(IndexError):
        strict._model(batch)
    ordinary = np.setdiff1d(kept, tokenizer.all_special_ids)
    lenient = FewerRows(model, kept, stand_ins=ordinary)
    seen = lenient._renumber(model, (batch,))[0]["input_ids"][0, 1]
    assert kept[seen] in ordinary


@pytest.mark.parametrize("family", [*ENCODERS, *DECODERS])
@pytest.mark.parametrize("parted", [False, True])
def test_a_delta_learnt_on_some_rows_fits_the_whole_model(family, parted):
    model, tokenizer, features = setting("text", family)
    if parted:
        untie(model)
    whole = copy.deepcopy(model)
    rows = FewerRows(model, kept_for(model, tokenizer, features))
    parts = portions(model)
    changes = {
        name: Change(tuple(tensor.shape), torch.tensor([0, tensor.numel() - 1]), torch.tensor([0.5, -0.25]))
        for name, tensor in parts.body.items()
    }
    delta = Delta(changes, {name: tensor.detach() + 1 for name, tensor in parts.heads.items()})
    lifted = rows.lift(delta)
    assert lifted.base == fingerprint(portions(whole).base)
    apply(delta, parts.all)
    rows.put_back()
    apply(lifted, portions(whole).all)
    wanted = model.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in whole.state_dict().items())


def test_what_the_model_cannot_do_without_is_always_kept():
    for family in FAMILIES:
        tokenizer = tiny_tokenizer(STYLES[family])
        config = tiny_model(family, AutoModel, tokenizer).config
        kept = rows_to_keep(config, tokenizer, [[7, 7, len(tokenizer) + 3]])
        assert set(tokenizer.all_special_ids) | {7} <= set(kept.tolist())
        assert kept.tolist() == sorted(set(kept.tolist()))
        assert kept[-1] < config.vocab_size
