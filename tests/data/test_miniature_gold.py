"""The gold of the miniature world follows from its frames, in every language alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest

from isogloss.core.errors import DataError, LanguageError
from isogloss.data.miniature import LANGUAGES, sentences, task_examples
from isogloss.data.miniature.concepts import links, verbs
from isogloss.data.miniature.drawing import draw, facts
from isogloss.data.miniature.frames import Frame, Phrase
from isogloss.data.miniature.gold import FACT_EVERY, GOLD
from isogloss.data.miniature.languages import teller
from isogloss.data.miniature.variations import retold, unlikely
from isogloss.data.records import GAP

MANY = 60
A_SOLDIER = Phrase("soldier", definite=False)


@cache
def examples(task, language, split="test", count=MANY):
    return task_examples(task, language, split, count)


@cache
def drawn_frames(count):
    return [draw(0, "test", index) for index in range(count)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", GOLD)
def test_items_have_unique_ids_their_language_and_the_same_gold_again(task, language):
    first = examples(task, language)
    assert len(first) == min(MANY, len(facts()) if task == "cloze" else MANY)
    assert len({example.id for example in first}) == len(first)
    assert {example.language for example in first} == {language}
    assert first[:10] == task_examples(task, language, "test", 10)


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
    gold = {e.id: e.label for e in examples("paraphrase", "en-Latn", count=150)}
    for example in examples("paraphrase", language):
        assert example.text != example.pair
        assert gold.get(example.id, example.label) == example.label


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_wrong_choice_differs_from_the_right_one(language):
    for example in examples("copa", language):
        assert len(set(example.choices)) == 2
        assert example.premise not in example.choices


def test_what_a_link_calls_unlikely_is_no_link():
    for link in links().values():
        assert set(link.no_effects) | set(link.no_causes) <= {*verbs(), "exchanged"}
        assert link.effect not in link.no_effects
        assert not {other.cause for other in links().values() if other.effect == link.effect} & set(
            link.no_causes
        )
        assert link.no_effects
        assert link.no_causes


def test_a_cause_told_after_its_effect_names_the_same_people_and_things():
    sold = Frame(
        "break", A_SOLDIER, "past", object=Phrase("door", definite=False, adjective="red"), time="today"
    )
    told = retold(sold)
    assert (told.subject, told.object, told.time) == (Phrase("soldier"), Phrase("door"), "today")
    assert unlikely(told, "paint") == replace(told, verb="paint")
    assert unlikely(told, "play") is None
    assert unlikely(told, "sleep") == replace(told, verb="sleep", object=None)
    assert unlikely(told, "exchanged") is None
    gift = Frame("give", Phrase("Anna", "name"), "past", object=Phrase("key"), recipient=A_SOLDIER)
    assert unlikely(gift, "exchanged") == replace(gift, subject=A_SOLDIER, recipient=gift.subject)


def test_inference_denies_nothing_of_someone_new():
    """That a soldier slept leaves open whether another did."""
    told = {teller("en-Latn").tell(f, style=s).text: f for f in drawn_frames(400) for s in (0, 1)}
    contradicted = [told[e.text] for e in examples("nli", "en-Latn") if e.label == "contradiction"]
    assert contradicted
    assert all(frame.subject.definite for frame in contradicted)


def test_stories_hold_no_two_deeds_that_a_language_tells_alike():
    frames = drawn_frames(3 * 100)
    for example in examples("qa", "tr-Latn"):
        at = 3 * int(example.id.removeprefix("test-"))
        if at + 3 <= len(frames):
            deeds = {frame.verb for frame in frames[at : at + 3]}
            assert not {"bake", "cook"} <= deeds
            assert not {"play", "steal"} <= deeds


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
