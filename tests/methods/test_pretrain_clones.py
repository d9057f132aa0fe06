"""Pretraining on clones of a language."""

from __future__ import annotations

import math

import pytest
import torch

from isogloss.core.errors import ModelError, RecipeError
from isogloss.data.clones import ClonesSpec
from isogloss.methods.planning import plan
from isogloss.methods.text import separator_of
from isogloss.models.backbone import load_model, load_tokenizer
from tiny_runs import PRETRAIN, TINY, logged, ran, tiny

CLONES = PRETRAIN | {
    "objective": "causal",
    "architecture": {"family": "gpt2", **TINY},
    "vocabulary": {"kind": "unigram", "size": 400},
    "corpora": {"eng": "miniature/train:150"},
    "clones": {"of": "eng", "count": 3, "anchors": 0.1},
    "mixture": {"kind": "fixed", "shares": {"eng": 0.6, "eng-x-2": 0.2, "eng-x-3": 0.2}},
    "dev": {"eng": "miniature/dev:10", "eng-x-3": "miniature/dev:10"},
    "test": {"eng": "miniature/test:5", "eng-x-2": "miniature/test:5"},
}
ENGLISH = "en-Latn"


@pytest.fixture(scope="module")
def cloned(tmp_path_factory):
    return ran(tiny(CLONES), tmp_path_factory.mktemp("clones"))


def test_the_text_is_tokenised_once_and_the_model_has_a_row_for_every_piece_of_every_clone(cloned):
    assert len(list((cloned.folder / "tokens").iterdir())) == 2
    tokenizer = load_tokenizer(cloned.folder / "tokenizer")
    clones = ClonesSpec(of="eng", count=3, anchors=0.1).clones(tokenizer, separator=separator_of(tokenizer))
    model = load_model(cloned.folder / "model", "causal")
    assert model.config.vocab_size == clones.rows == cloned.sizes["model"]["vocabulary"]
    assert len(tokenizer) == clones.size == 400


def test_the_ledger_counts_each_clone_for_itself(cloned):
    tokens = {line["language"]: line["value"] for line in logged(cloned, "tokens", phase="pretrain")}
    assert list(tokens) == [ENGLISH, "en-Latn-x-2", "en-Latn-x-3"]
    assert 5 * 4 * 32 < sum(tokens.values()) <= 6 * 4 * 32, "one row at most is padded"
    assert all(tokens.values())


def test_clones_are_scored_where_they_are_named_and_only_there(cloned):
    dev = logged(cloned, "loss", split="dev", step=6)
    assert [line.get("language") for line in dev] == [ENGLISH, "en-Latn-x-3", None]
    test = {line["language"]: line["value"] for line in logged(cloned, "perplexity", split="test")}
    assert test.keys() == {ENGLISH, "en-Latn-x-2"}
    assert test[ENGLISH] != test["en-Latn-x-2"]
    assert "English (2)" in (cloned.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("changed", [{"seed": 2}, {"specials": "published"}, {"count": 2}])
def test_other_clones_than_the_model_s_own_are_refused(cloned, changed, tmp_path):
    base = {key: value for key, value in CLONES.items() if key not in ("architecture", "vocabulary")}
    changed = {"clones": CLONES["clones"] | changed, "mixture": {}, "dev": {}, "test": {}}
    recipe = tiny(base, model=str(cloned.folder / "model"), **changed)
    with pytest.raises(ModelError, match=r"have other rows|clones of its"):
        ran(recipe, tmp_path)


def test_the_score_of_a_clone_is_that_of_its_own_pieces(cloned):
    """Of a model whose rows for the clone are those of the original, both score alike."""
    from isogloss.data.records import TextExample
    from isogloss.methods.clones import cloned_text
    from isogloss.methods.scores import score
    from isogloss.models.tasks import TaskModel

    folder = cloned.folder / "model"
    tokenizer, model = load_tokenizer(cloned.folder / "tokenizer"), load_model(folder, "causal")
    clones = ClonesSpec(of="eng", count=3).clones(tokenizer, separator=separator_of(tokenizer))
    model.resize_token_embeddings(clones.rows, mean_resizing=False)
    with torch.no_grad():
        rows = model.get_input_embeddings().weight
        rows.copy_(rows[torch.from_numpy(clones.original(range(clones.rows)))])
    subject = TaskModel(model, None, kind="text")
    spec = ClonesSpec(of="eng", count=3)
    reads = cloned_text(spec, tokenizer).tokenizer(tokenizer, [ENGLISH])
    line = "The farmer sells a goat in the market."
    text = {tag: [TextExample("a", tag, line)] for tag in spec.languages}
    found = list(score(subject, reads, text, task="lm").scores.values())
    assert found[0]["bits_per_byte"] == pytest.approx(found[1]["bits_per_byte"])
    assert found[0]["bits_per_byte"] == pytest.approx(found[2]["bits_per_byte"])
    assert math.isfinite(found[0]["perplexity"])


def test_the_model_is_saved_with_a_tokenizer_for_each_clone(cloned):
    base, found = (load_tokenizer(cloned.folder / name) for name in ("tokenizer", "model"))
    spec = ClonesSpec(of="eng", count=3, anchors=0.1)
    clones = spec.clones(base, separator=separator_of(base))
    assert found.languages == spec.languages
    assert len(found) == clones.rows
    for line in ("The farmer sells a goat.", "Zwölf Boxkämpfer 漢字", ""):
        ids = base(line)["input_ids"]
        for number, tag in enumerate(spec.languages, start=1):
            own = found.of(tag)(line)["input_ids"]
            assert own == clones.apply(ids, number).tolist()
            assert found.of(tag).decode(own) == base.decode(ids)
    with pytest.raises(ModelError, match="en-Latn, en-Latn-x-2, en-Latn-x-3"):
        found.of("fra")


def test_masked_models_learn_clones_too(tmp_path):
    recipe = tiny(
        CLONES,
        objective="masked",
        architecture={"family": "bert", **TINY},
        vocabulary__kind="wordpiece",
        clones__specials="published",
        training__steps=3,
    )
    run = ran(recipe, tmp_path)
    assert logged(run, "bits_per_byte", split="test", language="en-Latn-x-2")


def test_a_model_of_clones_goes_on_with_the_same_clones_and_with_no_others(cloned, tmp_path):
    again = {"without": ("architecture", "vocabulary"), "model": str(cloned.folder / "model")}
    run = ran(tiny(CLONES, **again, training__steps=2), tmp_path)
    assert run.status["state"] == "finished"
    with pytest.raises(ModelError, match="3 clones of its 400 pieces take"):
        ran(tiny(CLONES, **again, clones__anchors=0.5), tmp_path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"clones__of": "fra"}, "has no corpus"),
        ({"corpora": {"eng": "miniature", "eng-x-2": "miniature"}}, "leave its corpus out"),
        ({"dev": {"eng-x-4": "miniature/dev:5"}}, "no such clone"),
        ({"clones__specials": "all"}, "published"),
    ],
)
def test_a_recipe_whose_clones_do_not_fit_is_refused(changes, complaint):
    with pytest.raises(RecipeError, match=complaint):
        tiny(CLONES, **changes)


def test_a_share_for_a_clone_that_is_not_made_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="en-Latn-x-3', which has no corpus"):
        ran(tiny(CLONES, clones__count=2, dev={}), tmp_path)


def test_a_plan_counts_the_rows_of_clones(cloned):
    [planned] = plan(tiny(CLONES))
    assert planned.vocabulary == 400 + 2 * 360
    again = tiny(CLONES, without=("vocabulary",), tokenizer=str(cloned.folder / "model"))
    assert plan(again)[0].vocabulary == cloned.sizes["model"]["vocabulary"]
