"""Perplexity by the published protocol at the end of pretraining."""

from __future__ import annotations

import math

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from isogloss.core.errors import DataError, RecipeError
from isogloss.core.run import read_run
from isogloss.data.tokens import token_file
from isogloss.evaluate.windows import Scored, Windows, scored_windows
from isogloss.methods.check import check
from isogloss.methods.perplexity import scored_bytes
from isogloss.methods.table import run_recipe
from isogloss.models.backbone import load_model, load_tokenizer
from isogloss.models.tasks import TaskModel
from tiny_models import SENTENCES, tiny_tokenizer
from tiny_runs import PRETRAIN, TINY, logged, ran, tiny

CAUSAL = {
    "architecture": {"family": "gpt2", "variant": "languini", "head_width": 8, **TINY},
    "vocabulary": {"kind": "bpe", "size": 500},
    "objective": "causal",
    "training__steps": 3,
    "perplexity": {"window": 16, "scored": 4},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ran(tiny(PRETRAIN, **CAUSAL), tmp_path_factory.mktemp("runs"))


def test_perplexity_and_bits_per_byte_are_logged_by_language_with_intervals(run):
    for metric in ("perplexity", "bits_per_byte"):
        lines = logged(run, metric, split="test", model="model", task="lm")
        assert [line["language"] for line in lines] == ["en-Latn", "fr-Latn"]
        for line in lines:
            assert line["low"] < line["value"] < line["high"]
            assert (line["window"], line["scored"]) == (16, 4)


def test_the_saved_folder_gives_the_logged_perplexity_again(run):
    """The folder holds a plain GPT-2, and the numbers are those of the model that was trained."""
    model, tokenizer = load_model(run.folder / "model", "causal"), load_tokenizer(run.folder / "model")
    assert type(model) is AutoModelForCausalLM._model_mapping[type(model.config)]
    subject = TaskModel(model, None, kind="text")
    [line] = logged(run, "perplexity", split="test", language="en-Latn")
    for folder in (run.folder / "tokens").iterdir():
        ids = np.fromfile(folder / "tokens.bin", dtype=np.uint16)
        if len(ids) - 13 == line["tokens"]:
            found = scored_windows(subject, {"x": ids}, Windows(16, 4))["x"]
            assert found.perplexity == pytest.approx(line["value"], rel=1e-4)
            break
    else:
        pytest.fail("no token file of as many tokens")
    assert len(tokenizer) == 500


def test_sizes_are_those_of_the_model_that_was_trained(run):
    whole = sum(tensor.numel() for tensor in load_model(run.folder / "model", "causal").parameters())
    padding = 2 * 4 * 32 * (32 - 16) + 2 * 3 * (32 - 16)
    assert run.sizes["model"]["parameters"] == whole - padding


def test_clones_are_scored_each_under_its_own_name(tmp_path):
    changes = {**CAUSAL, "corpora": {"eng": "miniature/train:60"}, "clones": {"of": "eng"}, "dev": {}}
    texts = {"eng": "miniature/test:8", "eng-x-2": "miniature/test:8"}
    run = ran(tiny(PRETRAIN, without=("mixture",), **changes, test=texts), tmp_path)
    lines = logged(run, "perplexity", split="test")
    assert [line["language"] for line in lines] == ["en-Latn", "en-Latn-x-2"]
    assert lines[0]["tokens"] == lines[1]["tokens"]
    assert lines[0]["value"] != lines[1]["value"]
    bits = [line["value"] for line in logged(run, "bits_per_byte", split="test")]
    assert bits[0] == pytest.approx(bits[1], rel=0.2)


def test_a_masked_model_has_the_perplexity_of_what_is_masked_under_a_name_of_its_own(tmp_path):
    run = ran(tiny(PRETRAIN, perplexity={}, test=PRETRAIN["dev"]), tmp_path)
    assert not logged(run, "perplexity", split="test")
    kept = [line for line in logged(run, "loss", split="dev") if line["step"] == 6 and line.get("language")]
    found = {line["language"]: line["value"] for line in logged(run, "masked_perplexity", split="test")}
    assert found == {line["language"]: pytest.approx(math.exp(line["value"]), rel=1e-4) for line in kept}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({**CAUSAL, "perplexity": {"window": 4, "scored": 8}}, "scored"),
        ({**CAUSAL, "perplexity": {}}, r"perplexity\.window: 512"),
        ({**CAUSAL, "test": {}}, "no `test` text"),
        ({"perplexity": {"window": 256}}, "masked models have no windows"),
    ],
    ids=["more than the window", "longer than the model", "no text", "masked"],
)
def test_a_rule_that_does_not_fit_is_refused_at_reading(changes, told):
    with pytest.raises(RecipeError, match=told):
        tiny(PRETRAIN, **changes)


def test_one_window_has_no_interval(tmp_path):
    recipe = tiny(
        PRETRAIN, **{**CAUSAL, "perplexity": {"window": 16, "scored": 16, "first": True, "most": 9}}
    )
    for line in logged(ran(recipe, tmp_path), "perplexity", split="test"):
        assert "low" not in line


def test_a_window_longer_than_a_given_model_is_refused_before_training(run):
    base = {key: value for key, value in PRETRAIN.items() if key not in ("architecture", "vocabulary")}
    windows = {"window": 65, "scored": 4}
    recipe = tiny(base, objective="causal", model=str(run.folder / "model"), perplexity=windows)
    with pytest.raises(RecipeError, match=r"perplexity\.window: 65 tokens, but the model reads 64"):
        check(recipe)


def test_a_text_shorter_than_the_context_is_refused_before_training(tmp_path):
    recipe = tiny(
        PRETRAIN, **{**CAUSAL, "perplexity": {"window": 60, "scored": 4}, "test": {"eng": "miniature/test:1"}}
    )
    with pytest.raises(DataError, match="context alone"):
        run_recipe(recipe, out=tmp_path)
    [folder] = tmp_path.iterdir()
    assert not logged(read_run(folder), "loss", split="train")


def test_bytes_of_a_part_are_its_share_of_the_text(tmp_path):
    tokenizer = tiny_tokenizer("bytes")
    file = token_file(
        SENTENCES,
        tokenizer,
        cache=tmp_path,
        corpus_key="c",
        tokenizer_key="t",
        separator=tokenizer.eos_token_id,
    )
    windows = Windows(8, 4)
    tokens = windows.tokens(len(file.ids))
    everything = Scored(np.ones(1), np.array([len(file.ids) - 1]))
    part = Scored(np.ones(1), np.array([tokens]))
    assert scored_bytes(file, tokenizer, Windows(8, 8), everything) == file.bytes
    left_out = tokenizer.decode(file.ids[1 : windows.begins].tolist())
    found = scored_bytes(file, tokenizer, windows, part)
    assert found == pytest.approx(file.bytes - len(left_out.encode()), abs=1)
