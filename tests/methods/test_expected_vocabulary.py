"""What a plan says of a vocabulary that is still to be trimmed, and what trimming must keep for a task."""

from __future__ import annotations

import pytest

import isogloss.methods.expected as expected_module
from isogloss.data.tasks import TASKS
from isogloss.methods.planning import plan
from isogloss.methods.prompts import pieces_needed
from isogloss.methods.sources import corpora, examples
from isogloss.models.backbone import load_config, load_tokenizer
from isogloss.vocab.trim import trim_vocabulary
from tiny_runs import DISTIL, FINETUNE, ran, tiny

TASK = {key: value for key, value in FINETUNE.items() if key != "method"}


def rows_of(recipe, **how):
    (found,) = plan(recipe, **how)
    return {row.what: row.value for row in found.rows}, found


def test_small_corpora_are_counted_and_the_run_has_what_was_planned(model, tmp_path):
    recipe = tiny(DISTIL, teacher=str(model))
    rows, found = rows_of(recipe, out=tmp_path)
    assert "student, at most" not in rows
    assert found.vocabulary < 500
    run = ran(recipe, tmp_path)
    size = load_config(run.folder / "model").vocab_size
    assert rows["student's vocabulary"] == f"{size:,}"
    assert rows["student"] == f"{run.sizes['student']['parameters']:,} parameters"


def test_a_run_that_began_tells_without_counting(model, tmp_path, monkeypatch):
    recipe = tiny(DISTIL, teacher=str(model), without=("phase1",), phase1=None)
    ran(recipe, tmp_path)
    wanted, _ = rows_of(recipe, out=tmp_path)
    monkeypatch.setattr(expected_module, "trim_vocabulary", None)
    assert rows_of(recipe, out=tmp_path)[0] == wanted


def test_of_large_corpora_there_is_a_bound_unless_they_are_counted(model, tmp_path, monkeypatch):
    monkeypatch.setattr(expected_module, "_SMALL", 100)
    recipe = tiny(DISTIL, teacher=str(model))
    assert rows_of(recipe, out=tmp_path)[0]["student's vocabulary, at most"] == "500"
    sized = tiny(DISTIL, teacher=str(model), student__vocabulary__size=400)
    assert rows_of(sized, out=tmp_path)[0]["student's vocabulary, at most"] == "400"
    counted, _ = rows_of(recipe, out=tmp_path, count=True)
    assert int(counted["student's vocabulary"]) < 500


def test_without_trimming_the_vocabulary_is_the_teacher_s(model, tmp_path):
    rows, _ = rows_of(tiny(DISTIL, teacher=str(model), student__vocabulary__trim=False), out=tmp_path)
    assert rows["student's vocabulary"] == "500"


@pytest.mark.parametrize("task", [name for name in TASKS if TASKS[name].kind != "gap"])
def test_tasks_that_score_labels_need_no_piece(task):
    assert pieces_needed(None) == pieces_needed(tiny(FINETUNE, model="m", task=task)) == ()


def test_the_candidates_of_gaps_are_cut_as_before_when_their_pieces_stay(model):
    recipe = tiny(FINETUNE, model=str(model), task="cloze", test={"tur": "miniature/test:8"})
    needed = pieces_needed(recipe)
    (gaps,) = examples(recipe, "test").values()
    assert {candidate for gap in gaps for candidate in gap.candidates} <= set(needed)
    tokenizer = load_tokenizer(model)
    texts = corpora({"en-Latn": ("miniature/train:3",)})
    from tokenizers import Tokenizer

    trimmed = Tokenizer.from_str(trim_vocabulary(tokenizer, texts, keep=needed).tokenizer_json)
    for text in needed:
        assert trimmed.encode(text, add_special_tokens=False).tokens == tokenizer.tokenize(text)
