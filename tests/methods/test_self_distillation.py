"""What levelling does in a step, where checkpoints come from, and what it must not learn from."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from isogloss.core.errors import DataError, RecipeError
from isogloss.methods.level import LevelRecipe, gather
from isogloss.methods.self_distillation import LevelStep, SelfDistillation
from isogloss.models.tasks import load_task_model
from tiny_runs import LEVEL, logged, ran, tiny


def levelled(topics, folder, **changes):
    run = ran(tiny(LEVEL, model=str(topics), **changes), folder)
    return run, json.loads((run.folder / "levelling.json").read_text(encoding="utf-8"))


class Told(torch.nn.Module):
    """Says of a batch what stands in it."""

    def forward(self, batch):
        return dict(batch)


def test_a_step_is_the_mean_over_all_targets_however_they_are_spread_over_batches():
    generator = torch.Generator().manual_seed(0)
    one, other = (
        {"level": torch.rand(3, generator=generator), "targets": torch.tensor(counts)}
        for counts in ([4.0, 0.0, 1.0], [2.0, 2.0, 2.0])
    )
    step = LevelStep(("a", "b", "c"), anchor=0.0)
    losses = [step(Told(), batch) for batch in (one, other)]
    weights = torch.stack([found["weight"] for found in losses])
    together = (torch.stack([found["loss"] for found in losses]) * weights).sum() / weights.sum()
    sums = [(batch["level"] * batch["targets"]).sum() for batch in (one, other)]
    torch.testing.assert_close(together, sum(sums) / 11)


def test_a_batch_without_a_target_weighs_nothing_and_has_a_finite_loss():
    nothing = {"level": torch.zeros(2), "targets": torch.zeros(2)}
    found = LevelStep(("a", "b"), anchor=0.0)(Told(), nothing)
    assert found["loss"] == found["weight"] == 0


def test_an_anchor_is_added_by_its_weight():
    batch = {"level": torch.tensor([1.0, 3.0]), "targets": torch.ones(2), "anchor": torch.tensor(0.5)}
    assert LevelStep(("a", "b"), anchor=2.0)(Told(), batch)["loss"] == 3.0


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"select": "last", "accumulate": 2}, 4),
        ({"select": "fair"}, None),
        ({"select": "worst-2", "accumulate": 3}, None),
        ({"select": "fra"}, None),
    ],
)
def test_checkpoints_are_chosen_as_the_plan_says(topics, tmp_path, settings, chosen):
    run, facts = levelled(topics, tmp_path, training=LEVEL["training"] | settings)
    assert facts["guards"]["steps"] == 4
    assert facts["guards"]["put_back"] is None
    assert facts["guards"]["kept_step"] in ((chosen,) if chosen else (2, 4))
    assert logged(run, "loss", split="train", step=4)


def test_a_refusal_leaves_nothing_of_what_is_not_chosen_between(topics, tmp_path):
    """Without a choice between checkpoints there is none from before to go back to."""
    _, facts = levelled(
        topics,
        tmp_path,
        selection={"teachers": ["eng"], "draws": 20},
        guards={"tolerance": 0.0, "collapse": 0.0},
        training={"steps": 6, "learning_rate": 1.0, "evaluate_every": 1, "select": "last"},
    )
    assert facts["guards"]["put_back"] == facts["guards"]["refused"] is not None
    assert facts["guards"]["kept_step"] == 0


def test_the_model_that_is_saved_is_the_one_that_learnt_and_not_its_running_mean(topics, tmp_path):
    distillation = {"aim": "pairs", "teacher": "start", "divergence": "js"}
    run, facts = levelled(topics, tmp_path, distillation=distillation, used_rows_only=True, max_length=12)
    saved, before = (load_file(place / "model.safetensors") for place in (run.folder / "model", topics))
    assert saved.keys() == before.keys()
    assert facts["guards"]["put_back"] is None
    assert any(not torch.equal(saved[name], before[name]) for name in saved)
    assert load_task_model(run.folder / "model")[0].labels == load_task_model(topics)[0].labels


def recipe_with(**changes):
    return LevelRecipe.model_validate(LEVEL | {"model": "x"} | changes)


def test_a_limit_is_on_the_items_of_each_split():
    material = gather(recipe_with(limit={"unlabelled": 10, "test": 3}))
    assert len(material.learnt) + len(material.held_out) == 10
    assert [len(found) for found in material.test.values()] == [3, 3, 3]


def test_nothing_held_out_is_learnt_from_with_its_label():
    anchored = {"distillation": {"anchor": 0.5}, "train": {"eng": "miniature/train:40"}}
    material = gather(recipe_with(**anchored))
    held_out = {example.text for example in material.held_out.examples["en-Latn"]}
    assert held_out
    assert len(material.anchor["en-Latn"]) == 40 - len(held_out)
    assert not held_out & {example.text for example in material.anchor["en-Latn"]}
    assert gather(recipe_with(train=anchored["train"])).anchor == material.anchor
    assert gather(recipe_with(**anchored | {"distillation": {"anchor": 0.0}})).anchor == {}
    with pytest.raises(DataError, match="in both train and test"):
        gather(recipe_with(**anchored | {"train": {"eng": "miniature/test:4"}}))


def test_self_training_has_no_second_model_to_learn_from():
    assert not SelfDistillation(aim="self", teacher="average").second_model
    assert SelfDistillation(aim="pairs", teacher="average").second_model
    assert not SelfDistillation(teacher="start").second_model
    assert not SelfDistillation(teacher="now").second_model


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"training": LEVEL["training"] | {"select": "worst-4"}}, "worst-4, of 3 evaluated"),
        ({"training": LEVEL["training"] | {"select": "deu"}}, "de-Latn, in which nothing is evaluated"),
        ({"max_length": 5000}, "max_length: 5000 tokens"),
    ],
)
def test_what_cannot_be_chosen_or_read_is_found_before_anything_runs(topics, tmp_path, changes, complaint):
    with pytest.raises(RecipeError, match=complaint):
        levelled(topics, tmp_path / "runs", **changes)
    assert not (tmp_path / "runs").exists()


def test_a_missing_file_of_items_is_found_before_anything_runs(topics, tmp_path):
    missing = {"eng": str(tmp_path / "no.tsv"), "fra": "miniature/train:3"}
    with pytest.raises(DataError, match=r"unlabelled\.en-Latn"):
        levelled(topics, tmp_path / "runs", unlabelled=missing)
    assert not (tmp_path / "runs").exists()
