from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core.errors import DataError, LanguageError
from isogloss.data.miniature import concepts
from isogloss.data.miniature.drawing import draw, facts, split_of
from isogloss.data.miniature.frames import Frame, Phrase, Split
from isogloss.data.miniature.grammar import Node, Telling, tell_tree
from isogloss.data.miniature.languages import TELLERS, teller
from isogloss.data.miniature.lexicon import check_cover
from isogloss.data.miniature.tables import parse_table, read_table
from isogloss.data.miniature.variations import (
    askable,
    asked,
    consequence,
    denied,
    elsewhere,
    opposite,
    other_time,
    simpler,
)

LANGUAGES = pytest.mark.parametrize("language", sorted(TELLERS))
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
indices = st.integers(0, 10**9)
drawn = st.builds(draw, st.integers(0, 3), st.sampled_from(SPLITS), indices)
styles = st.sampled_from([0, 1])

TAGS = set("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())
RELATIONS = set(
    "acl advcl advmod amod appos aux case cc ccomp clf compound conj cop csubj dep det discourse "
    "dislocated expl fixed flat goeswith iobj list mark nmod nsubj nummod obj obl orphan parataxis "
    "punct reparandum root vocative xcomp".split()
)


# Concepts and frames


def test_the_world_is_large_enough_and_every_class_in_use_has_nouns():
    sizes = {"verbs": 44, "nouns": 156, "adjectives": 44, "names": 44, "places": 44}
    for part, least in sizes.items():
        assert len(getattr(concepts, part)()) >= least
    for verb in concepts.verbs().values():
        if verb.valency == "location":
            continue
        for kind in {*verb.subjects, *verb.objects, *verb.recipients, *verb.places} - {"proper"}:
            assert concepts.nouns_of((kind,)), (verb.id, kind)
    for adjective in concepts.adjectives().values():
        for fit in adjective.fits:
            assert concepts.nouns_of((fit,)), (adjective.id, fit)


def test_opposites_are_mutual_and_links_name_verbs():
    for table in (concepts.verbs(), concepts.adjectives()):
        for concept in table.values():
            if concept.opposite is not None:
                assert table[concept.opposite].opposite == concept.id
    for link in concepts.links().values():
        assert {link.cause, link.effect} <= set(concepts.verbs())


@given(seed=st.integers(0, 5), split=st.sampled_from(SPLITS), index=indices)
def test_a_draw_depends_on_seed_split_and_index_alone_and_lands_in_its_split(seed, split, index):
    frame = draw(seed, split, index)
    assert frame == draw(seed, split, index)
    assert split_of(frame) == split


@given(drawn)
def test_drawn_frames_keep_the_promises_of_their_fields(frame: Frame):
    verb = concepts.verbs()[frame.verb]
    assert (frame.quality is not None) == (verb.valency == "copula")
    assert (frame.object is not None) == (verb.valency in ("transitive", "ditransitive"))
    assert (frame.recipient is not None) == (verb.valency == "ditransitive")
    assert frame.place is not None or verb.valency != "goal"
    assert not verb.many or frame.object.plural or frame.object.mass
    assert frame.time is None or frame.tense in concepts.times()[frame.time].tenses
    for phrase in (frame.subject, frame.object, frame.recipient, frame.place):
        if phrase is None:
            continue
        assert not (phrase.mass and (phrase.plural or phrase.count))
        assert phrase.count is None or (phrase.plural and 2 <= phrase.count <= 10)
        assert phrase.owner is None or (phrase.kind == "noun" and phrase.definite)
        assert phrase.kind == "noun" or phrase.definite
        assert not (phrase.definite and phrase.count and phrase.owner is None)


@given(drawn)
def test_variations_change_what_they_say(frame: Frame):
    assert denied(denied(frame)) == frame
    others = (opposite(frame), elsewhere(frame, 0), other_time(frame, 0), consequence(frame))
    for other in (*others, *simpler(frame)):
        assert other != frame


def test_each_city_lies_in_its_country():
    assert Frame("lie", Phrase("Paris", "place"), "present", place=Phrase("France", "place")) in facts()


# Tables


def test_a_bad_row_is_named_by_file_and_line():
    with pytest.raises(DataError, match=r"en/nouns\.tsv:3"):
        parse_table(["id\tform", "a\tb", "c"], "en/nouns.tsv")
    with pytest.raises(DataError, match=r"en/nouns\.tsv:3"):
        parse_table(["id\tform", "a\tb", "a\tb"], "en/nouns.tsv")
    with pytest.raises(DataError, match="no such table"):
        read_table("xx/nouns.tsv")


def test_a_lexicon_that_lacks_a_concept_or_has_one_too_many_is_refused_with_its_line():
    table = {"boat": {"form": "boat"}}
    with pytest.raises(DataError, match=r"(?s)xx/nouns\.tsv:3.*no row for horse"):
        check_cover(table, {"boat": 0, "horse": 0}, "xx/nouns.tsv")
    with pytest.raises(DataError, match=r"(?s)xx/nouns\.tsv:2.*'boat' is no concept"):
        check_cover(table, {"horse": 0}, "xx/nouns.tsv")


def test_a_language_the_world_lacks_is_refused():
    with pytest.raises(LanguageError):
        teller("yo-Latn")


# Trees


def test_a_tree_is_lined_up_with_glue_heads_and_offsets():
    root = Node("vide", "VERB", before=(Node("elle", "PRON", "nsubj"),), role="verb")
    eau = Node("eau", "NOUN", "obj", before=(Node("l'", "DET", "det", glue="right"),), role="object")
    telling = tell_tree("fr-Latn", Node(root.form, root.tag, before=root.before, after=(eau,), role="verb"))
    assert telling.text == "Elle vide l'eau."
    assert [word.head for word in telling.words] == [2, 0, 4, 2, 2]
    assert telling.span("object") == (10, "l'eau")
    assert telling.span("verb") == (5, "vide")


def test_turkish_capitals_keep_their_dot():
    assert tell_tree("tr-Latn", Node("iki", "NUM")).text == "İki."


def crossing(words) -> bool:
    arcs = [tuple(sorted((at, word.head))) for at, word in enumerate(words, start=1) if word.head]
    return any(a < c < b < d for a, b in arcs for c, d in arcs)


def check_telling(telling: Telling, frame: Frame, language: str) -> None:
    words = telling.words
    assert telling.language == language
    assert [word.head for word in words].count(0) == 1
    assert [word.relation for word in words].count("root") == 1
    for at, word in enumerate(words, start=1):
        assert telling.text[word.start : word.end] == word.form
        assert word.form.split() == [word.form]
        assert word.tag in TAGS
        assert word.relation.split(":")[0] in RELATIONS
        assert (word.head == 0) == (word.relation == "root")
        seen = set()
        while at:
            assert at not in seen
            seen.add(at)
            at = words[at - 1].head
    assert not crossing(words)
    covered = {i for word in words for i in range(word.start, word.end)}
    assert all(char == " " for i, char in enumerate(telling.text) if i not in covered)
    assert " ".join(telling.text.split()) == telling.text
    assert telling.text[0].isupper()
    assert telling.text.endswith(".")
    assert set(frame.slots) <= telling.slots <= {*frame.slots, "verb"}
    for slot, first, last in telling.roles:
        assert 0 <= first < last < len(words)
        start, text = telling.span(slot)
        assert telling.text[start : start + len(text)] == text
    check_names(telling, frame)


def check_names(telling: Telling, frame: Frame) -> None:
    """Each name in the frame is one entity in the telling, in the slot where it belongs."""
    wanted = []
    for slot in ("subject", "object", "recipient", "place"):
        phrase = getattr(frame, slot)
        if phrase is None:
            continue
        if phrase.kind != "noun":
            wanted.append((slot, phrase.head, "B-PER" if phrase.kind == "name" else "B-LOC"))
        if phrase.owner:
            wanted.append((slot, phrase.owner, "B-PER"))
    found = [(word.role, word.concept, word.entity) for word in telling.words if word.entity != "O"]
    assert sorted(found) == sorted(wanted)


# Every language


@LANGUAGES
@given(frame=drawn, style=styles)
def test_every_language_tells_the_same_slots_in_a_sound_tree(language, frame, style):
    check_telling(TELLERS[language].tell(frame, style=style), frame, language)


@LANGUAGES
@given(frame=drawn)
def test_every_content_concept_of_the_frame_is_told(language, frame: Frame):
    told = {word.concept for word in TELLERS[language].tell(frame).words}
    wanted = {frame.quality} if frame.quality else {frame.verb}
    wanted |= {frame.time} if frame.time else set()
    for phrase in (frame.subject, frame.object, frame.recipient, frame.place):
        if phrase is not None:
            wanted |= {phrase.head} | ({phrase.adjective} if phrase.adjective else set())
    assert wanted <= told


@LANGUAGES
@given(frame=drawn)
def test_questions_are_asked_of_every_askable_slot(language, frame: Frame):
    told = TELLERS[language].tell(frame)
    for slot in askable(frame):
        question = TELLERS[language].ask(frame, slot)
        assert question[0].isupper()
        assert question.endswith("?")
        assert " ".join(question.split()) == question
        answer = re.escape(told.span(slot)[1].lower())
        assert not re.search(rf"\b{answer}\b", question.lower())


@LANGUAGES
@given(frame=drawn)
def test_denying_a_sentence_changes_it_and_nothing_of_its_slots(language, frame: Frame):
    tell = TELLERS[language].tell
    assert tell(frame).text != tell(denied(frame)).text
    assert tell(frame).slots - {"verb"} == tell(denied(frame)).slots - {"verb"}


@LANGUAGES
@given(frame=drawn)
def test_variations_of_frames_are_told_too(language, frame: Frame):
    variations = (opposite(frame), elsewhere(frame, 0), consequence(frame), other_time(frame, 0))
    for other in (*variations, *simpler(frame)):
        if other is not None:
            check_telling(TELLERS[language].tell(other), other, language)


@LANGUAGES
def test_a_paraphrase_differs_whenever_a_time_could_be_fronted(language):
    frame = Frame("sleep", Phrase("Anna", "name"), "past", time="yesterday")
    tell = TELLERS[language].tell
    assert tell(frame).text != tell(frame, style=1).text


@LANGUAGES
def test_every_fact_is_told_and_asked(language):
    for fact in facts():
        check_telling(TELLERS[language].tell(fact), fact, language)
        assert TELLERS[language].ask(fact, "place")


# English, sentence by sentence

ANNA = Phrase("Anna", "name")
BOAT = Phrase("boat")


def frame(verb: str, subject: Phrase = ANNA, tense: str = "past", **slots) -> Frame:
    return Frame(verb, subject, tense, **slots)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (frame("sell", object=Phrase("boat", adjective="red")), "Anna sold the red boat."),
        (frame("eat", object=Phrase("apple", definite=False)), "Anna ate an apple."),
        (
            frame("eat", tense="present", object=Phrase("bread", definite=False), negated=True),
            "Anna does not eat bread.",
        ),
        (
            frame("find", Phrase("child", plural=True, definite=False, count=3), object=BOAT, negated=True),
            "Three children did not find the boat.",
        ),
        (
            frame("give", object=Phrase("knife", plural=True, owner="Omar"), recipient=Phrase("Eva", "name")),
            "Anna gave Eva Omar's knives.",
        ),
        (
            frame(
                "look_for", object=Phrase("ring", definite=False), place=Phrase("market"), time="yesterday"
            ),
            "Anna looked for a ring at the market yesterday.",
        ),
        (frame("return", tense="future", place=Phrase("Kenya", "place")), "Anna will return to Kenya."),
        (
            frame("be", Phrase("woman", plural=True), quality="happy", negated=True),
            "The women were not happy.",
        ),
        (frame("be", BOAT, "future", quality="red"), "The boat will be red."),
        (frame("carry", Phrase("man", plural=True), "present", object=BOAT), "The men carry the boat."),
    ],
)
def test_english_is_told_so(told, text):
    assert TELLERS["en-Latn"].tell(told).text == text


def test_english_paraphrases_front_the_time_or_shift_the_recipient():
    gift = frame("send", object=Phrase("letter", definite=False), recipient=Phrase("judge"), time="last_week")
    assert TELLERS["en-Latn"].tell(gift, style=1).text == "Last week, Anna sent a letter to the judge."


def test_english_tree_of_a_possessive_is_as_universal_dependencies_has_it():
    words = TELLERS["en-Latn"].tell(frame("see", object=Phrase("boat", owner="Omar"))).words
    assert [(word.form, word.tag, word.head, word.relation) for word in words] == [
        ("Anna", "PROPN", 2, "nsubj"),
        ("saw", "VERB", 0, "root"),
        ("Omar", "PROPN", 5, "nmod:poss"),
        ("'s", "PART", 3, "case"),
        ("boat", "NOUN", 2, "obj"),
        (".", "PUNCT", 2, "punct"),
    ]


@pytest.mark.parametrize(
    ("slot", "question"),
    [
        ("subject", "Who sent the judge the letter in Rome yesterday?"),
        ("object", "What did Anna send the judge in Rome yesterday?"),
        ("recipient", "Who did Anna send the letter to in Rome yesterday?"),
        ("place", "Where did Anna send the judge the letter yesterday?"),
        ("time", "When did Anna send the judge the letter in Rome?"),
    ],
)
def test_english_asks_so(slot, question):
    gift = frame(
        "send",
        object=Phrase("letter", definite=False),
        recipient=Phrase("judge"),
        place=Phrase("Rome", "place"),
        time="yesterday",
    )
    assert asked(gift, "time").time is None
    assert TELLERS["en-Latn"].ask(gift, slot) == question
