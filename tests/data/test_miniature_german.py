from __future__ import annotations

import pytest

from isogloss.data.miniature.frames import Phrase
from isogloss.data.miniature.languages import german
from tiny_frames import GIFT, PARIS, PAUL, frame, noun, several, some


def place(head: str) -> Phrase:
    return Phrase(head, "place")


THREE_BAD = noun("camera", plural=True, count=3, adjective="bad", owner="Thomas")
BOOK = frame("give", object=noun("book"), recipient=some("child"), place=PARIS, time="yesterday")


@pytest.mark.parametrize(
    ("told", "text"),
    [
        # Cases and endings
        (frame("see", noun("lion", adjective="old"), object=noun("lion", adjective="young")),
         "Der alte Löwe hat den jungen Löwen gesehen."),
        (frame("meet", some("man", adjective="tired"), object=some("student", adjective="poor")),
         "Ein müder Mann hat einen armen Studenten getroffen."),
        (frame("read", some("child", adjective="good"), object=some("book", adjective="new")),
         "Ein gutes Kind hat ein neues Buch gelesen."),
        (frame("buy", object=some("lamp", adjective="expensive")), "Anna hat eine teure Lampe gekauft."),
        (frame("drink", object=some("wine", adjective="good")), "Anna hat guten Wein getrunken."),
        (frame("wash", object=noun("cup", plural=True, adjective="dirty")),
         "Anna hat die schmutzigen Tassen gewaschen."),
        (frame("buy", object=several("boat", adjective="red", count=2)), "Anna hat zwei rote Boote gekauft."),
        (frame("help", object=noun("farmer")), "Anna hat dem Bauern geholfen."),
        (frame("help", object=several("child", count=3)), "Anna hat drei Kindern geholfen."),
        (frame("thank", object=noun("woman", adjective="kind")), "Anna hat der freundlichen Frau gedankt."),
        (frame("give", object=some("key"), recipient=several("teacher", adjective="old", count=4)),
         "Anna hat vier alten Lehrern einen Schlüssel gegeben."),
        # Owners
        (frame("hide", object=THREE_BAD), "Anna hat Thomas' drei schlechte Kameras versteckt."),
        (frame("sell", object=noun("dress", adjective="white", owner="Eva")),
         "Anna hat Evas weißes Kleid verkauft."),
        (frame("be", noun("hat", owner="Max"), quality="expensive"), "Max' Hut war teuer."),
        # The rest of the verb
        (frame("go", place=noun("market"), time="today"), "Anna ist heute zum Markt gegangen."),
        (frame("return", tense="present", place=place("Turkey"), time="every_year"),
         "Anna kehrt jedes Jahr in die Türkei zurück."),
        (frame("travel", tense="future", place=place("Kenya")), "Anna wird nach Kenia reisen."),
        (frame("travel", place=place("Iraq")), "Anna ist in den Irak gereist."),
        (frame("dance", place=place("Iran")), "Anna hat im Iran getanzt."),
        (frame("lie", place("Ankara"), "present", place=place("Turkey")), "Ankara liegt in der Türkei."),
        (frame("rest", tense="present", place=noun("station"), negated=True),
         "Anna ruht sich nicht am Bahnhof aus."),
        (frame("invite", several("woman"), "present", object=several("guest")), "Frauen laden Gäste ein."),
        (frame("swim", noun("dog", plural=True), place=noun("lake")), "Die Hunde sind im See geschwommen."),
        (frame("eat", some("monkey"), object=noun("egg")), "Ein Affe hat das Ei gefressen."),
        # Order, and "nicht" against "kein"
        (frame("sell", object=noun("boat"), time="yesterday", place=PARIS, negated=True),
         "Anna hat das Boot gestern nicht in Paris verkauft."),
        (frame("sell", object=some("boat", adjective="red"), place=PARIS, negated=True),
         "Anna hat in Paris kein rotes Boot verkauft."),
        (frame("see", object=several("tree", adjective="big"), negated=True),
         "Anna hat keine großen Bäume gesehen."),
        (frame("drink", tense="present", object=some("milk"), negated=True), "Anna trinkt keine Milch."),
        (frame("find", object=several("coin", count=6), place=PARIS, negated=True),
         "Anna hat in Paris sechs Münzen nicht gefunden."),
        (GIFT, "Anna hat dem Richter letzte Woche in Paris einen Brief geschickt."),
        (BOOK, "Anna hat gestern in Paris einem Kind das Buch gegeben."),
        # The copula
        (frame("be", noun("woman", plural=True), quality="happy", negated=True),
         "Die Frauen waren nicht glücklich."),
        (frame("be", noun("boat"), "future", quality="red"), "Das Boot wird rot sein."),
        (frame("be", noun("needle"), "present", quality="sharp"), "Die Nadel ist spitz."),
    ],
)  # fmt: skip
def test_german_is_told_so(told, text):
    assert german.tell(told).text == text


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (GIFT, "Letzte Woche hat Anna dem Richter in Paris einen Brief geschickt."),
        (frame("rest", place=PARIS), "In Paris hat Anna sich ausgeruht."),
        (frame("lend", object=some("hat"), recipient=noun("king")), "Dem König hat Anna einen Hut geliehen."),
        (frame("see", object=noun("bear")), "Den Bären hat Anna gesehen."),
        (frame("see", object=noun("cow")), "Anna hat die Kuh gesehen."),
    ],
)
def test_german_paraphrases_front_what_cannot_be_taken_for_the_subject(told, text):
    assert german.tell(told, style=1).text == text


@pytest.mark.parametrize(
    ("slot", "question"),
    [
        ("subject", "Wer hat dem Richter letzte Woche in Paris den Brief geschickt?"),
        ("object", "Was hat Anna dem Richter letzte Woche in Paris geschickt?"),
        ("recipient", "Wem hat Anna den Brief letzte Woche in Paris geschickt?"),
        ("place", "Wo hat Anna dem Richter letzte Woche den Brief geschickt?"),
        ("time", "Wann hat Anna dem Richter in Paris den Brief geschickt?"),
    ],
)
def test_german_asks_so(slot, question):
    assert german.ask(GIFT, slot) == question


def test_german_asks_for_persons_by_case_and_for_goals_with_wohin():
    assert german.ask(frame("meet", object=PAUL), "object") == "Wen hat Anna getroffen?"
    assert german.ask(frame("thank", object=PAUL), "object") == "Wem hat Anna gedankt?"
    assert german.ask(frame("go", place=noun("port")), "place") == "Wohin ist Anna gegangen?"
    hens = frame("rest", noun("hen", plural=True), "present", place=noun("garden"))
    assert german.ask(hens, "subject") == "Wer ruht sich im Garten aus?"
    assert german.ask(hens, "place") == "Wo ruhen die Hühner sich aus?"


def test_german_picks_fruit_and_harvests_crops():
    assert german.tell(frame("pick", object=noun("apple"))).text == "Anna hat den Apfel gepflückt."
    assert german.tell(frame("pick", object=noun("wheat"))).text == "Anna hat den Weizen geerntet."


def test_a_german_tree_hangs_auxiliary_and_particle_on_the_verb():
    past = german.tell(frame("help", object=noun("man"), place=noun("house")))
    assert [(word.form, word.tag, word.head, word.relation) for word in past.words] == [
        ("Anna", "PROPN", 7, "nsubj"),
        ("hat", "AUX", 7, "aux"),
        ("dem", "DET", 4, "det"),
        ("Mann", "NOUN", 7, "obl:arg"),
        ("im", "ADP", 6, "case"),
        ("Haus", "NOUN", 7, "obl"),
        ("geholfen", "VERB", 0, "root"),
        (".", "PUNCT", 7, "punct"),
    ]
    present = german.tell(frame("invite", tense="present", object=PAUL))
    assert [(word.form, word.tag, word.head, word.relation) for word in present.words] == [
        ("Anna", "PROPN", 2, "nsubj"),
        ("lädt", "VERB", 0, "root"),
        ("Paul", "PROPN", 2, "obj"),
        ("ein", "ADP", 2, "compound:prt"),
        (".", "PUNCT", 2, "punct"),
    ]
