"""The gold of the miniature world follows from its frames, in every language alike."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from isogloss.core.errors import DataError, LanguageError
from isogloss.data.miniature import LANGUAGES, sentences, task_examples
from isogloss.data.miniature.frames import draw, facts
from isogloss.data.miniature.gold import FACT_EVERY, GOLD
from isogloss.data.miniature.languages import teller
from isogloss.data.records import GAP

MANY = 150


def examples(task, language, split="test", count=MANY):
    return task_examples(task, language, split, count)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", GOLD)
def test_items_have_unique_ids_their_language_and_the_same_gold_again(task, language):
    first = examples(task, language)
    assert len(first) == (len(facts()) if task == "cloze" else MANY)
    assert len({example.id for example in first}) == len(first)
    assert {example.language for example in first} == {language}
    assert first == examples(task, language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", ["topic", "nli", "copa", "ner", "pos", "parsing", "qa", "lm"])
def test_items_of_a_language_are_those_of_english(task, language):
    assert [e.id for e in examples(task, language)] == [e.id for e in examples(task, "en-Latn")]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", ["topic", "nli", "copa"])
def test_labels_and_answers_are_the_same_in_every_language(task, language):
    def gold(tag):
        return [getattr(e, "label", getattr(e, "answer", None)) for e in examples(task, tag)]

    assert gold(language) == gold("en-Latn")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_three_labels_of_inference_are_balanced(language):
    assert set(Counter(e.label for e in examples("nli", language)).values()) == {MANY // 3}


@pytest.mark.parametrize("language", LANGUAGES)
def test_paraphrases_are_other_words_for_the_same_item_across_languages(language):
    gold = {e.id: e.label for e in examples("paraphrase", "en-Latn", count=400)}
    for example in examples("paraphrase", language):
        assert example.text != example.pair
        assert gold.get(example.id, example.label) == example.label


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_wrong_choice_differs_from_the_right_one(language):
    for example in examples("copa", language):
        assert len(set(example.choices)) == 2
        assert example.premise not in example.choices


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_lie_where_they_say_and_are_not_given_away_by_the_question(language):
    for example in examples("qa", language):
        for start, text in example.answers:
            assert example.context[start : start + len(text)] == text
            assert text not in example.question


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_fact_has_one_gap_and_its_answer_among_four_different_candidates(language):
    known = set(sentences(language, "train", FACT_EVERY * 2 * len(facts())))
    for example in examples("cloze", language):
        assert example.prompt.count(GAP) == 1
        assert len(set(example.candidates)) == 4
        assert set(example.answers) <= set(example.candidates)
        assert example.prompt.replace(GAP, example.answers[0]) in known


@pytest.mark.parametrize("language", LANGUAGES)
def test_tags_and_entities_belong_to_the_words_of_the_telling(language):
    for position, example in enumerate(examples("ner", language)):
        told = teller(language).tell(draw(0, "test", position))
        assert example.words == tuple(word.form for word in told.words)
        for word, tag in zip(told.words, example.tags, strict=True):
            assert (tag == "O") == (word.entity == "O")
            assert tag == "O" or word.tag == "PROPN"


@pytest.mark.parametrize("language", LANGUAGES)
def test_trees_have_one_root_and_no_crossing_arcs(language):
    for example in examples("parsing", language):
        assert example.heads.count(0) == 1
        arcs = [tuple(sorted((child, head))) for child, head in enumerate(example.heads, 1) if head]
        assert not any(a < c < b < d for a, b in arcs for c, d in arcs)


@pytest.mark.parametrize("language", LANGUAGES)
def test_running_text_is_parallel_and_starts_the_same_however_much_is_asked_for(language):
    some, more = list(sentences(language, "train", 40)), list(sentences(language, "train", 60))
    assert more[:40] == some
    assert all(first != second for first, second in pairwise(some))


def test_splits_share_no_drawn_frame():
    drawn = {split: {draw(0, split, index) for index in range(300)} for split in ("train", "dev", "test")}
    assert not drawn["train"] & drawn["test"]
    assert not drawn["train"] & drawn["dev"]


def test_a_task_the_world_lacks_is_refused_with_the_nearest():
    with pytest.raises(DataError, match="'parsing'"):
        task_examples("parsin", "en-Latn", "test", 1)


def test_a_language_the_world_lacks_is_refused():
    with pytest.raises(LanguageError):
        task_examples("topic", "yo-Latn", "test", 1)
