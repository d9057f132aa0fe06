from __future__ import annotations

import pytest

from isogloss.data.miniature.frames import Phrase
from isogloss.data.miniature.languages import french
from tiny_frames import ANNA, GIFT, PARIS, PAUL, frame, noun, several, some

THREE_BAD = noun("umbrella", plural=True, count=3, adjective="bad", owner="Oscar")


@pytest.mark.parametrize(
    ("told", "text"),
    [
        # Gender, elision, and adjectives before and after the noun
        (frame("sell", object=noun("boat", adjective="red")), "Anna a vendu le bateau rouge."),
        (frame("see", noun("child"), object=noun("axe", adjective="old")), "L'enfant a vu la vieille hache."),
        (frame("see", object=noun("axe")), "Anna a vu la hache."),
        (frame("meet", object=some("man", adjective="aged")), "Anna a rencontré un vieil homme."),
        (frame("see", object=some("bird", adjective="beautiful")), "Anna a vu un bel oiseau."),
        (frame("repair", object=noun("computer", adjective="new")), "Anna a réparé le nouvel ordinateur."),
        (frame("repair", object=several("computer", adjective="new", count=2)),
         "Anna a réparé deux nouveaux ordinateurs."),
        (frame("see", object=several("factory", adjective="beautiful")), "Anna a vu de belles usines."),
        (frame("eat", object=noun("apple", adjective="big")), "Anna a mangé la grosse pomme."),
        (frame("hide", object=THREE_BAD), "Anna a caché les trois mauvais parapluies d'Oscar."),
        (frame("see", object=noun("boat", owner="Hassan")), "Anna a vu le bateau de Hassan."),
        (frame("see", object=noun("man", plural=True, adjective="kind")), "Anna a vu les hommes gentils."),
        (frame("buy", object=some("camera", adjective="new")), "Anna a acheté un nouvel appareil photo."),
        (frame("lose", object=several("camera", adjective="red", count=3)),
         "Anna a perdu trois appareils photo rouges."),
        (frame("pick", object=noun("apple")), "Anna a cueilli la pomme."),
        (frame("pick", object=noun("wheat")), "Anna a récolté le blé."),
        (frame("cook", object=noun("soup")), "Anna a préparé la soupe."),
        # Partitives and negation
        (frame("drink", tense="present", object=some("water")), "Anna boit de l'eau."),
        (frame("eat", object=some("bread", adjective="fresh")), "Anna a mangé du pain frais."),
        (frame("eat", tense="present", object=some("meat"), negated=True), "Anna ne mange pas de viande."),
        (frame("eat", object=some("egg"), negated=True), "Anna n'a pas mangé d'œuf."),
        (frame("eat", object=several("pear", count=5), negated=True), "Anna n'a pas mangé cinq poires."),
        (frame("open", tense="present", object=noun("door"), negated=True), "Anna n'ouvre pas la porte."),
        # Contractions and obliques
        (frame("play", object=noun("violin")), "Anna a joué du violon."),
        (frame("play", tense="present", object=several("flute")), "Anna joue des flûtes."),
        (frame("play", object=some("guitar"), negated=True), "Anna n'a pas joué de guitare."),
        (frame("give", object=noun("key"), recipient=noun("man", plural=True)),
         "Anna a donné la clé aux hommes."),
        (frame("visit", object=noun("king")), "Anna a rendu visite au roi."),
        (frame("visit", object=noun("museum")), "Anna a visité le musée."),
        # Tense and agreement with être
        (frame("go", noun("queen", plural=True), place=noun("market")), "Les reines sont allées au marché."),
        (frame("rest", time="yesterday", negated=True), "Anna ne s'est pas reposée hier."),
        (frame("rest", PAUL, place=noun("forest")), "Paul s'est reposé dans la forêt."),
        (frame("travel", tense="future", place=Phrase("Kenya", "place")), "Anna se rendra au Kenya."),
        (frame("return", PAUL, place=Phrase("Iran", "place")), "Paul est retourné en Iran."),
        (frame("see", several("man", count=2), "future", object=ANNA), "Deux hommes verront Anna."),
        (frame("lie", Phrase("Athens", "place"), "present", place=Phrase("Greece", "place"), negated=True),
         "Athènes ne se trouve pas en Grèce."),
        # The copula
        (frame("be", noun("woman", plural=True), quality="happy", negated=True),
         "Les femmes n'étaient pas heureuses."),
        (frame("be", noun("boat", plural=True), "future", quality="beautiful"), "Les bateaux seront beaux."),
        (frame("be", noun("water"), "present", quality="hot"), "L'eau est chaude."),
        (frame("be", PAUL, "present", quality="aged"), "Paul est vieux."),
    ],
)  # fmt: skip
def test_french_is_told_so(told, text):
    assert french.tell(told).text == text


def test_french_paraphrases_front_the_time_or_the_place_or_name_the_recipient_first():
    assert french.tell(GIFT, style=1).text == "La semaine dernière, Anna a envoyé une lettre au juge à Paris."
    bread = frame("eat", object=some("bread"), place=PARIS)
    assert french.tell(bread, style=1).text == "À Paris, Anna a mangé du pain."
    key = frame("give", object=some("key"), recipient=PAUL)
    assert french.tell(key, style=1).text == "Anna a donné à Paul une clé."


@pytest.mark.parametrize(
    ("slot", "question"),
    [
        ("subject", "Qui a envoyé la lettre au juge à Paris la semaine dernière ?"),
        ("object", "Qu'est-ce qu'Anna a envoyé au juge à Paris la semaine dernière ?"),
        ("recipient", "À qui est-ce qu'Anna a envoyé la lettre à Paris la semaine dernière ?"),
        ("place", "Où est-ce qu'Anna a envoyé la lettre au juge la semaine dernière ?"),
        ("time", "Quand est-ce qu'Anna a envoyé la lettre au juge à Paris ?"),
    ],
)
def test_french_asks_so(slot, question):
    assert french.ask(GIFT, slot) == question


def test_french_questions_about_obliques_and_things():
    assert (
        french.ask(frame("play", PAUL, object=some("flute")), "object") == "De quoi est-ce que Paul a joué ?"
    )
    visit = frame("visit", PAUL, object=ANNA)
    assert french.ask(visit, "object") == "À qui est-ce que Paul a rendu visite ?"
    hens = frame("rest", noun("hen", plural=True), time="today")
    assert french.ask(hens, "subject") == "Qui s'est reposé aujourd'hui ?"


def test_a_french_tree_keeps_fused_words_whole_and_hangs_negation_on_the_verb():
    told = french.tell(frame("go", place=noun("market"), negated=True))
    assert [(word.form, word.tag, word.head, word.relation) for word in told.words] == [
        ("Anna", "PROPN", 5, "nsubj"),
        ("n'", "ADV", 5, "advmod"),
        ("est", "AUX", 5, "aux"),
        ("pas", "ADV", 5, "advmod"),
        ("allée", "VERB", 0, "root"),
        ("au", "ADP", 7, "case"),
        ("marché", "NOUN", 5, "obl"),
        (".", "PUNCT", 5, "punct"),
    ]
