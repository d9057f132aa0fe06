"""Sparse tuning on text: from the recipe to the delta of a language."""

from __future__ import annotations

import pytest
import torch

import isogloss.methods.pretrain as pretrain_module
from isogloss.core.errors import ModelError, RecipeError
from isogloss.methods import deltas
from isogloss.methods.deltas import apply_deltas, read_delta, wardrobe
from isogloss.methods.planning import plan
from isogloss.models.anatomy import anatomy
from isogloss.models.backbone import load_model, load_tokenizer
from isogloss.models.portions import portions
from isogloss.sparse.delta import fingerprint
from isogloss.sparse.select import count
from isogloss.sparse.wardrobe import bytes_of_copies
from isogloss.vocab.fingerprint import fingerprint as vocabulary_fingerprint
from tiny_runs import FINETUNE, PRETRAIN, logged, ran, tiny

SECOND = {"steps": 4, "batch_size": 4, "learning_rate": 2e-3, "log_every": 1}


def recipe(model, *, corpora=("fra",), **sparse):
    return tiny(
        PRETRAIN,
        without=("architecture", "vocabulary", "mixture", "dev"),
        model=str(model),
        corpora={tag: "miniature/train:60" for tag in corpora},
        dev={"fra": "miniature/dev:8"},
        training__steps=3,
        sparse={"density": 0.05, "training": SECOND, **sparse},
    )


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    return ran(recipe(model), tmp_path_factory.mktemp("language"))


@pytest.fixture(scope="module")
def delta(run):
    return read_delta(run.folder / "deltas" / "fr-Latn.safetensors")


def states(folder):
    return load_model(folder, "masked").state_dict()


def test_the_delta_is_of_the_backbone_alone_and_of_exactly_its_size(delta, model):
    parts = portions(load_model(model, "base"))
    assert delta.entries == count(0.05, sum(tensor.numel() for tensor in parts.body.values()))
    assert delta.changes.keys() <= parts.body.keys()
    assert "embeddings.tok_embeddings.weight" in delta.changes
    assert not delta.dense
    assert (delta.about["language"], delta.about["heads"]) == ("fr-Latn", "frozen")
    assert delta.base == fingerprint(parts.base)
    assert delta.vocabulary == vocabulary_fingerprint(load_tokenizer(model))


def test_norms_heads_and_the_output_layer_s_table_stay_as_they_were(run, model):
    before, after = load_model(model, "masked"), load_model(run.folder / "model", "masked")
    table = anatomy(before).embedding.weight
    assert anatomy(before).lm_head.weight is table
    assert torch.equal(anatomy(after).lm_head.weight, table)
    assert not torch.equal(anatomy(after).embedding.weight, table)
    for portion in ("norms", "heads"):
        for name, tensor in getattr(portions(before), portion).items():
            assert torch.equal(getattr(portions(after), portion)[name], tensor), name


def test_put_on_the_model_it_was_learnt_on_it_gives_the_run_s_model_to_the_bit(run, model, tmp_path):
    apply_deltas(model, [run.folder / "deltas" / "fr-Latn.safetensors"], tmp_path / "out")
    wanted, found = states(run.folder / "model"), states(tmp_path / "out")
    assert wanted.keys() == found.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in wanted.items())


def test_a_model_wears_it_and_is_bare_again(run, model):
    bare, wearing = load_model(model, "masked"), load_model(model, "masked")
    places = {"fra": run.folder / "deltas" / "fr-Latn.safetensors", "eng": None}
    worn = wardrobe(wearing, load_tokenizer(model), places)
    worn.wear("fra")
    wanted = load_model(run.folder / "model", "masked").state_dict()
    assert all(torch.equal(wanted[name], tensor) for name, tensor in wearing.state_dict().items())
    worn.wear("eng")
    assert all(torch.equal(bare.state_dict()[name], tensor) for name, tensor in wearing.state_dict().items())


@pytest.mark.parametrize(
    ("copies", "free", "made"),
    [
        (None, 4, True),
        (None, 3, False),
        (None, None, False),
        (True, 0, True),
        (False, 100, False),
    ],
)
def test_copies_are_made_where_four_times_their_memory_is_free(run, model, monkeypatch, copies, free, made):
    wearing = load_model(model, "masked")
    path = run.folder / "deltas" / "fr-Latn.safetensors"
    size = bytes_of_copies(portions(wearing).base, {"fra": read_delta(path)})
    monkeypatch.setattr(deltas, "free_memory", lambda: free and free * size)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    worn = wardrobe(wearing, load_tokenizer(model), {"fra": path, "eng": None}, copies=copies)
    assert worn.copies is made


def test_both_phases_are_logged_with_their_ledgers(run):
    assert logged(run, "loss", phase="pretrain-full", split="train", step=3)
    assert logged(run, "loss", phase="pretrain", split="train", step=4)
    assert logged(run, "loss", phase="pretrain", split="dev", language="fr-Latn")
    assert logged(run, "pull", phase="pretrain")
    assert logged(run, "share", phase="pretrain-full")
    assert logged(run, "bits_per_byte", split="test", language="fr-Latn", step=4)
    assert (
        run.environment["delta"]["entries"] == read_delta(run.folder / "deltas/fr-Latn.safetensors").entries
    )


@pytest.mark.parametrize("stop_at", [2, 5, 8])
def test_a_stopped_run_ends_with_the_same_delta_bit_for_bit(delta, model, tmp_path, monkeypatch, stop_at):
    """Within the first phase, within the second, and at its last evaluation."""
    original, steps = pretrain_module.aligned_labels, []

    def stopping(labels, objective):
        steps.append(1)
        if len(steps) == stop_at:
            raise KeyboardInterrupt
        return original(labels, objective)

    monkeypatch.setattr(pretrain_module, "aligned_labels", stopping)
    with pytest.raises(KeyboardInterrupt):
        ran(recipe(model), tmp_path)
    again = read_delta(ran(recipe(model), tmp_path).folder / "deltas" / "fr-Latn.safetensors")
    assert again.about["selection"] == delta.about["selection"]
    assert all(
        torch.equal(change.values, again.changes[name].values) for name, change in delta.changes.items()
    )


def test_several_languages_share_a_delta_and_heads_can_be_trained(model, tmp_path):
    found = ran(recipe(model, corpora=("fra", "eng"), heads="dense", l1=0.0), tmp_path)
    shared = read_delta(found.folder / "deltas" / "en-Latn+fr-Latn.safetensors")
    assert shared.dense.keys() == portions(load_model(model, "masked")).heads.keys()
    after = anatomy(load_model(found.folder / "model", "masked"))
    assert after.lm_head.weight is after.embedding.weight


def test_a_task_is_learnt_from_the_model_it_leaves(run, tmp_path):
    tuned = ran(tiny(FINETUNE, model=str(run.folder / "model"), task="ner"), tmp_path)
    assert tuned.status["state"] == "finished"


def test_of_another_model_it_is_refused_with_its_language(run):
    with pytest.raises(ModelError, match="delta of fra"):
        wardrobe(
            load_model(run.folder / "model", "base"),
            load_tokenizer(run.folder / "model"),
            {"fra": run.folder / "deltas" / "fr-Latn.safetensors"},
        )


def test_a_plan_tells_the_steps_of_both_phases(model):
    rows = {row.what: row.value for row in plan(recipe(model))[0].rows}
    assert (rows["steps"], rows["steps, sparse"]) == ("3", "4")


def test_a_new_model_has_no_delta():
    with pytest.raises(RecipeError, match="give the model to go on from"):
        tiny(PRETRAIN, sparse={"density": 0.05})


def test_a_checkpoint_chosen_by_a_language_without_dev_is_refused(model, tmp_path):
    with pytest.raises(RecipeError, match=r"sparse\.training\.select"):
        ran(recipe(model, training={**SECOND, "select": "deu"}), tmp_path)
