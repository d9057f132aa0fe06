"""From a language to another with pieces of its own: ordinary recipes, from pretraining to the scores."""

from __future__ import annotations

import pytest
import torch

from isogloss.core.errors import ModelError
from isogloss.core.files import write_text
from isogloss.data.records import LabelExample
from isogloss.evaluate.distributions import distributions
from isogloss.methods.scoring import evaluate_files
from isogloss.models.backbone import load_model, load_tokenizer
from isogloss.models.tasks import load_task_model
from isogloss.vocab.fingerprint import fingerprint
from tiny_runs import FINETUNE, PRETRAIN, TINY, logged, ran, tiny

CLONES = PRETRAIN | {
    "objective": "causal",
    "architecture": {"family": "gpt2", **TINY},
    "vocabulary": {"kind": "unigram", "size": 400},
    "corpora": {"eng": "miniature/train:150"},
    "clones": {"of": "eng", "count": 2},
    "mixture": {"kind": "fixed", "shares": {"eng": 0.5, "eng-x-2": 0.5}},
    "dev": {},
    "test": {"eng": "miniature/test:5", "eng-x-2": "miniature/test:5"},
}
TOPIC = FINETUNE | {
    "task": "topic",
    "train": {"eng": "miniature/train:150"},
    "test": {"eng": "miniature/test:8", "eng-x-2": "miniature/test:8"},
}


@pytest.fixture(scope="module")
def cloned(tmp_path_factory):
    return ran(tiny(CLONES), tmp_path_factory.mktemp("clones"))


@pytest.fixture(scope="module")
def tuned(cloned, tmp_path_factory):
    return ran(tiny(TOPIC, model=str(cloned.folder / "model")), tmp_path_factory.mktemp("tuned"))


def test_a_task_learnt_in_english_is_scored_in_its_clone(tuned):
    found = {line["language"]: line["value"] for line in logged(tuned, "accuracy", split="test")}
    assert found.keys() == {"en-Latn", "en-Latn-x-2"}


def test_a_tuned_model_reads_each_clone_in_pieces_of_its_own(cloned, tuned):
    model, tokenizer = load_task_model(tuned.folder / "model")
    assert fingerprint(tokenizer) == fingerprint(load_tokenizer(cloned.folder / "model"))
    line = "The farmer sells a goat in the market."
    said = {tag: [LabelExample("a", tag, line, None, None)] for tag in tokenizer.languages}
    before = [distributions(model, tokenizer, said[tag]) for tag in tokenizer.languages]
    assert not torch.equal(*map(torch.from_numpy, before))
    originals = load_tokenizer(cloned.folder / "tokenizer")
    table = model.backbone.get_input_embeddings().weight
    own, clone = (tokenizer.of(tag)(line)["input_ids"] for tag in tokenizer.languages)
    assert own == originals(line)["input_ids"]
    with torch.no_grad():
        table[clone] = table[own]
    after = [distributions(model, tokenizer, said[tag]) for tag in tokenizer.languages]
    assert torch.equal(*map(torch.from_numpy, after))
    assert torch.equal(*map(torch.from_numpy, (before[0], after[0])))


def test_evaluate_scores_a_clone_as_the_run_did(tuned):
    found = evaluate_files(tuned.folder / "model", task="topic", data=["eng-x-2=miniature/test:8"])
    [line] = logged(tuned, "accuracy", split="test", language="en-Latn-x-2")
    assert found.scores["en-Latn-x-2"]["accuracy"] == line["value"]


def test_a_table_of_glue_is_learnt_in_english_and_tested_in_its_clone(cloned, tmp_path):
    rows = [
        ("The cow was sold.", f"Somebody sold {n} cows.", ("entailment", "not_entailment")[n % 2])
        for n in range(24)
    ]
    lines = ["index\tsentence1\tsentence2\tlabel", *(f"{n}\t" + "\t".join(row) for n, row in enumerate(rows))]
    write_text(tmp_path / "rte.tsv", "\n".join(lines) + "\n")
    table = str(tmp_path / "rte.tsv")
    recipe = tiny(
        FINETUNE,
        task="classify-pairs",
        model=str(cloned.folder / "model"),
        pooling="first",
        train={"eng": table},
        dev={},
        test={"eng": table, "eng-x-2": table},
    )
    scored = logged(ran(recipe, tmp_path / "runs"), "accuracy", split="test")
    assert [line["language"] for line in scored] == ["en-Latn", "en-Latn-x-2"]


def test_a_language_without_a_tokenizer_is_refused_before_the_training(cloned, tmp_path):
    recipe = tiny(TOPIC, model=str(cloned.folder / "model"), test={"fra": "miniature/test:8"})
    with pytest.raises(ModelError, match="text in fr-Latn"):
        ran(recipe, tmp_path)
    assert not list(tmp_path.rglob("checkpoints/*"))


def test_only_the_rows_of_the_text_are_tuned_and_the_clones_stay(cloned, tmp_path):
    run = ran(tiny(TOPIC, model=str(cloned.folder / "model"), used_rows_only=True), tmp_path)
    before, after = (
        load_model(one.folder / "model", "base").get_input_embeddings().weight for one in (cloned, run)
    )
    assert torch.equal(before[400:], after[400:])
    assert not torch.equal(before, after)
