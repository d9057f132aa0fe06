"""The student at its start: sizes chosen on text, found again on resuming, known beforehand."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM

from isogloss.core.errors import ModelError, RecipeError
from isogloss.core.run import open_run
from isogloss.methods.distil import DistilRecipe
from isogloss.methods.planning import plan
from isogloss.methods.sources import corpora
from isogloss.methods.student import StudentRule, make_student, student_config
from isogloss.models.anatomy import anatomy
from isogloss.models.outputs import run as observed
from tiny_runs import DISTIL, PRETRAIN, TINY, logged, ran, tiny

SMALL = {"width": 16, "feedforward": 20, "layers": {"keep": [1]}, "vocabulary": {"min_probability": 0.002}}


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory):
    """A pretrained XLM-R-like model of four layers."""
    recipe = tiny(
        PRETRAIN,
        architecture={"family": "xlm-roberta", **TINY, "layers": 4},
        vocabulary__size=520,
        training__steps=30,
        training__evaluate_every=30,
        dev={},
    )
    return ran(recipe, tmp_path_factory.mktemp("xlmr")).folder / "model"


def made(teacher, out, rule, *, seed=0):
    """A pair, made in a run folder that may be there already."""
    recipe = DistilRecipe.model_validate({**DISTIL, "teacher": str(teacher), "student": rule})
    texts = corpora(recipe.corpora)
    with open_run(out, recipe) as run:
        return make_student(recipe.student, str(teacher), texts, {}, run, seed=seed)


def weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(first, second):
    first, second = weights(first), weights(second)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_student_has_the_sizes_asked_for_and_belongs_to_its_teacher(xlmr, tmp_path):
    pair = made(xlmr, tmp_path, {**SMALL, "heads": 1, "layers": {"keep": "every-3rd"}})
    config = pair.student.config
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (16, 1, 20)
    assert (pair.origin.layers, len(anatomy(pair.student).layers)) == ((2, 3), 2)
    assert pair.origin.basis.shape == (32, 16)
    ids = torch.arange(5, 25)[None]
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    theirs = {**batch, "input_ids": torch.from_numpy(pair.origin.kept)[ids]}
    with torch.no_grad():
        ours = observed(pair.student, batch, hidden=[0]).hidden[0]
        wanted = observed(pair.teacher, theirs, hidden=[0]).hidden[0] @ pair.origin.basis
    assert (ours - wanted).square().mean() < 0.2 * wanted.square().mean()


@pytest.mark.parametrize("rule", [SMALL, {"feedforward": 9}, {"start": "random", **SMALL}])
def test_resuming_and_starting_again_make_the_bit_identical_student(model, tmp_path, rule):
    first, resumed = (made(model, tmp_path / "one", rule) for _ in range(2))
    again = made(model, tmp_path / "two", rule)
    assert same(first.student, resumed.student)
    assert same(first.student, again.student)
    if first.origin.basis is not None:
        assert torch.equal(first.origin.basis, resumed.origin.basis)
        assert torch.equal(first.origin.basis, again.origin.basis)


def test_a_random_student_has_the_shape_of_a_copied_one_and_nothing_of_its_weights(model, tmp_path):
    copied = made(model, tmp_path / "copied", SMALL)
    fresh, other = (
        made(model, tmp_path / f"fresh-{seed}", {**SMALL, "start": "random"}, seed=seed) for seed in (0, 1)
    )
    ours, theirs = weights(fresh.student), weights(copied.student)
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: t.shape for n, t in theirs.items()}
    assert not torch.equal(ours["model.layers.0.attn.Wo.weight"], theirs["model.layers.0.attn.Wo.weight"])
    assert not same(fresh.student, other.student)
    assert fresh.origin.basis is None
    assert not (tmp_path / "fresh-0" / "start").exists()


def test_only_what_is_left_out_changes_where_units_alone_are(model, tmp_path):
    pair = made(
        model, tmp_path, {"feedforward": 9, "layers": {"keep": "bottom-1"}, "vocabulary": {"trim": False}}
    )
    ours, theirs = weights(pair.student), weights(pair.teacher)
    changed = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    assert changed == {"model.layers.0.mlp.Wi.weight", "model.layers.0.mlp.Wo.weight"}
    assert pair.origin.basis is None


@pytest.mark.parametrize("rule", [{"width": 16}, {"width": 24, "heads": 2, "feedforward": 7}])
def test_plans_know_the_parameters_of_a_narrower_student(model, tmp_path, rule):
    recipe = tiny(
        DISTIL, teacher=str(model), phase1=None, dev={}, student={**rule, "vocabulary": {"trim": False}}
    )
    run = ran(recipe, tmp_path)
    [planned] = plan(recipe)
    rows = {row.what: row.value for row in planned.rows}
    assert rows["student"] == f"{run.sizes['student']['parameters']:,} parameters"
    saved = AutoModelForMaskedLM.from_pretrained(run.folder / "model")
    asked = student_config(recipe.student, AutoConfig.from_pretrained(model))
    assert saved.num_parameters() == run.sizes["student"]["parameters"]
    for key in ("hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers"):
        assert getattr(saved.config, key) == getattr(asked, key)


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ({"width": 15}, "width 15 with 2 heads"),
        ({"width": 64}, "width 64 for a model that is 32 wide"),
        ({"heads": 1}, "as wide as the model"),
        ({"feedforward": 65}, "65 feed-forward units of a model that has 64"),
        ({"layers": {"keep": "top-3"}}, "for a model of 2 layers"),
    ],
)
def test_sizes_that_cannot_be_are_refused_before_anything_runs(model, tmp_path, student, message):
    with pytest.raises(ModelError, match=message):
        ran(tiny(DISTIL, teacher=str(model), student=student), tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("student", "losses", "message"),
    [
        (
            {"width": 16, "heads": 1},
            {"hidden": 1.0, "attention": 1.0},
            r"phase1\.losses\.attention: maps of 1 heads",
        ),
        (
            {"width": 16, "start": "random"},
            {"hidden": 1.0},
            r"phase1\.losses\.hidden: states of width 16",
        ),
    ],
)
def test_losses_that_cannot_be_are_refused_before_anything_runs(model, tmp_path, student, losses, message):
    with pytest.raises(RecipeError, match=message):
        ran(tiny(DISTIL, teacher=str(model), student=student, phase1__losses=losses), tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_narrower_student_of_fewer_heads_learns_by_hidden_states_and_relations(model, tmp_path):
    losses = {"hidden": 1.0, "relations": {"weight": 1.0, "heads": 2}}
    run = ran(tiny(DISTIL, teacher=str(model), student=SMALL, phase1__losses=losses), tmp_path)
    for name in ("hidden", "relations"):
        first, *_, last = logged(run, name, phase="phase1", split="train")
        assert last["value"] < first["value"] < float("inf")


def test_text_is_read_only_where_something_must_be_chosen():
    assert not StudentRule().calibrated
    assert not StudentRule(width=8, start="random").calibrated
    assert StudentRule(heads=2).calibrated
