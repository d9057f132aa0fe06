"""Sparse fine-tuning, from the recipe to a delta that makes the model again."""

from __future__ import annotations

import pytest
import torch

import isogloss.methods.task as task_module
from isogloss.core.errors import ModelError, RecipeError
from isogloss.methods.deltas import apply_deltas, export_model, read_delta
from isogloss.methods.planning import plan
from isogloss.models.backbone import load_model, load_tokenizer
from isogloss.models.portions import portions
from isogloss.models.tasks import build_task_model, load_task_model
from isogloss.sparse.delta import apply, fingerprint
from isogloss.sparse.select import count
from isogloss.vocab.fingerprint import fingerprint as vocabulary_fingerprint
from tiny_runs import DISTIL, FINETUNE, logged, ran, tiny

SPARSE = {"density": 0.05, "training": {"steps": 5, "batch_size": 8, "learning_rate": 1e-3, "log_every": 1}}


def recipe(model, task="ner", **sparse):
    return tiny(FINETUNE, model=str(model), task=task, sparse={**SPARSE, **sparse})


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    return ran(recipe(model), tmp_path_factory.mktemp("sparse"))


@pytest.fixture(scope="module")
def delta(run):
    return read_delta(run.folder / "deltas" / "ner.safetensors")


def body_size(model):
    return sum(tensor.numel() for tensor in portions(load_model(model, "base")).body.values())


def test_the_delta_has_exactly_as_many_entries_as_the_density_says(delta, model):
    assert delta.entries == count(0.05, body_size(model))


def test_the_delta_knows_what_it_was_learnt_on(delta, model):
    assert delta.base == fingerprint(portions(load_model(model, "masked")).base)
    assert delta.vocabulary == vocabulary_fingerprint(load_tokenizer(model))
    assert (delta.about["task"], delta.about["kind"]) == ("ner", "tags")


def test_the_model_is_its_start_with_the_delta_on_it_to_the_bit(run, delta, model):
    learnt, _ = load_task_model(run.folder / "model")
    again = build_task_model("tags", model, labels=learnt.labels, pooling="mean", seed=7)
    apply(delta, portions(again).all)
    wanted = learnt.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in again.state_dict().items())


def test_only_entries_of_the_delta_moved(run, delta, model):
    before = portions(load_model(model, "base")).base
    after = portions(load_task_model(run.folder / "model")[0]).base
    for name, tensor in before.items():
        moved = (tensor != after[name]).view(-1).nonzero().squeeze(-1)
        allowed = delta.changes[name].indices.long() if name in delta.changes else torch.tensor([])
        assert torch.isin(moved, allowed).all(), name


def test_both_phases_are_logged(run):
    assert logged(run, "loss", phase="finetune-full", step=3)
    assert logged(run, "loss", phase="finetune", step=5)
    assert logged(run, "span_f1", split="test", language="fr-Latn", step=5)
    assert run.environment["delta"]["entries"] == run.environment["delta"]["of"] // 20


def test_exported_it_is_the_model_of_the_run(run, model, tmp_path):
    export_model(model, [run.folder / "deltas" / "ner.safetensors"], tmp_path / "out")
    first, second = (load_task_model(folder)[0] for folder in (run.folder / "model", tmp_path / "out"))
    assert first.labels == second.labels
    wanted = first.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in second.state_dict().items())


def test_applied_to_a_language_model_it_leaves_that_one_s_head_alone(run, delta, model, tmp_path):
    left = apply_deltas(model, [run.folder / "deltas" / "ner.safetensors"], tmp_path / "out")
    assert set(left) == set(delta.dense)
    before, after = (load_model(folder, "masked") for folder in (model, tmp_path / "out"))
    heads = portions(before).heads
    assert all(torch.equal(heads[name], tensor) for name, tensor in portions(after).heads.items())
    assert not all(torch.equal(t, portions(after).body[n]) for n, t in portions(before).body.items())


def test_on_another_model_it_is_refused(run, tmp_path):
    path = run.folder / "deltas" / "ner.safetensors"
    with pytest.raises(ModelError, match="learnt on another model"):
        export_model(run.folder / "model", [path], tmp_path / "out")


@pytest.mark.parametrize("stop_at", [2, 5, 7])
def test_a_stopped_run_ends_with_the_same_delta_bit_for_bit(delta, model, tmp_path, monkeypatch, stop_at):
    """Within the first phase, within the second, and just before its end."""
    original, steps = task_module.task_step, []

    def stopping(inner, batch):
        steps.append(1)
        if len(steps) == stop_at:
            raise KeyboardInterrupt
        return original(inner, batch)

    monkeypatch.setattr(task_module, "task_step", stopping)
    wanted = recipe(model)
    with pytest.raises(KeyboardInterrupt):
        ran(wanted, tmp_path)
    again = read_delta(ran(wanted, tmp_path).folder / "deltas" / "ner.safetensors")
    assert again.about["selection"] == delta.about["selection"]
    for name, change in delta.changes.items():
        assert torch.equal(change.values, again.changes[name].values)
    assert all(torch.equal(value, again.dense[name]) for name, value in delta.dense.items())


@pytest.mark.parametrize("within", ["layer", "part", "tensor"])
def test_within_groups_the_number_is_exact_too(model, tmp_path, within):
    found = read_delta(ran(recipe(model, within=within), tmp_path).folder / "deltas" / "ner.safetensors")
    parts = portions(load_model(model, "base"))
    assert found.entries == count(0.05, body_size(model))
    group = {"layer": parts.layers, "part": parts.parts, "tensor": {name: name for name in parts.body}}[
        within
    ]
    sizes, chosen = {}, {}
    for name, tensor in parts.body.items():
        sizes[group[name]] = sizes.get(group[name], 0) + tensor.numel()
        entries = found.changes[name].indices.numel() if name in found.changes else 0
        chosen[group[name]] = chosen.get(group[name], 0) + entries
    assert all(abs(chosen[name] - 0.05 * size) <= 1 for name, size in sizes.items())


def test_norms_are_trained_whole_when_asked_and_frozen_otherwise(delta, model, tmp_path):
    norms = portions(load_model(model, "base")).norms.keys()
    dense = read_delta(
        ran(recipe(model, norms="dense"), tmp_path).folder / "deltas" / "ner.safetensors"
    ).dense
    assert norms <= dense.keys()
    assert not norms & delta.dense.keys()


def test_a_pull_towards_the_start_is_logged_and_keeps_the_delta_short(delta, model, tmp_path):
    pulled = ran(recipe(model, l1=3000.0), tmp_path)
    assert logged(pulled, "pull", phase="finetune-full")
    assert logged(pulled, "pull", phase="finetune")
    short = read_delta(pulled.folder / "deltas" / "ner.safetensors")

    def length(of):
        return sum(float(change.values.abs().sum()) for change in of.changes.values())

    assert length(short) < length(delta)


@pytest.mark.parametrize("task", ["topic", "parsing", "qa", "cloze", "copa"])
def test_every_kind_of_task_can_be_tuned_sparsely(model, tmp_path, task):
    more = {"train__eng": "miniature/train:150"} if task == "topic" else {}
    settings = {"sparse": {"density": 0.05}, "training__steps": 2, **more}
    found = ran(tiny(FINETUNE, model=str(model), task=task, **settings), tmp_path)
    base = "masked" if task == "cloze" else "base"
    assert read_delta(found.folder / "deltas" / f"{task}.safetensors").entries == count(
        0.05, sum(tensor.numel() for tensor in portions(load_model(model, base)).body.values())
    )


def test_a_student_s_second_phase_can_be_sparse(model, tmp_path):
    task = {key: value for key, value in FINETUNE.items() if key != "method"} | {
        "task": "ner",
        "sparse": SPARSE,
    }
    found = ran(tiny(DISTIL, teacher=str(model), phase2=task), tmp_path)
    delta = read_delta(found.folder / "deltas" / "ner.safetensors")
    assert delta.base == fingerprint(portions(load_model(found.folder / "student", "base")).base)
    export_model(found.folder / "student", [found.folder / "deltas" / "ner.safetensors"], tmp_path / "out")


def test_a_plan_tells_the_steps_of_both_phases(model):
    rows = {row.what: row.value for row in plan(recipe(model))[0].rows}
    assert (rows["steps"], rows["steps, sparse"]) == ("3", "5")


def test_a_density_of_nothing_is_refused(model):
    with pytest.raises(RecipeError, match="density"):
        recipe(model, density=0)


def test_a_checkpoint_chosen_by_a_language_without_dev_is_refused(model, tmp_path):
    with pytest.raises(RecipeError, match=r"sparse\.training\.select"):
        ran(recipe(model, training={**SPARSE["training"], "select": "deu"}), tmp_path)
