from __future__ import annotations

import pytest

from isogloss.data.miniature.frames import Phrase
from isogloss.data.miniature.languages import russian
from isogloss.data.miniature.languages.russian_forms import Noun, adjective, numeral
from tiny_frames import LETTER, OMAR, frame, several


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (frame("sell", object=Phrase("boat", adjective="red")), "Анна продала красную лодку."),
        (
            frame("sell", OMAR, object=several("boat", adjective="red", owner="Zeynep")),
            "Омар продал красные лодки Зейнеп.",
        ),
        (
            frame("buy", object=several("car", 3, adjective="red", owner="Oscar")),
            "Анна купила три красные машины Оскара.",
        ),
        (frame("buy", object=several("truck", 2, adjective="big")), "Анна купила два больших грузовика."),
        (frame("buy", object=several("bottle", 5, adjective="small")), "Анна купила пять маленьких бутылок."),
        (frame("see", object=several("dog", 2, adjective="hungry")), "Анна увидела двух голодных собак."),
        (frame("see", object=several("lion", 7)), "Анна увидела семь львов."),
        (
            frame("thank", several("tailor", 4), object=several("judge", 3)),
            "Четыре портных поблагодарили трёх судей.",
        ),
        (frame("help", tense="future", object=several("child", 6)), "Анна поможет шести детям."),
        (
            frame("play", tense="present", object=several("guitar", adjective="good")),
            "Анна играет на хороших гитарах.",
        ),
        (
            frame("look_for", tense="future", object=Phrase("ring"), negated=True),
            "Анна не будет искать кольцо.",
        ),
        (
            frame(
                "give",
                several("woman"),
                object=Phrase("coffee", adjective="hot"),
                recipient=Phrase("man", adjective="old"),
            ),
            "Женщины дали старому мужчине горячий кофе.",
        ),
        (
            frame("return", place=Phrase("palace"), time="on_friday"),
            "В пятницу Анна вернулась во дворец.",
        ),
        (frame("sleep", Phrase("lion"), "future", place=Phrase("forest")), "Лев будет спать в лесу."),
        (frame("travel", tense="present", place=Phrase("France", "place")), "Анна ездит во Францию."),
        (frame("wash", object=Phrase("shirt")), "Анна постирала рубашку."),
        (frame("carry", tense="future", object=Phrase("ladder")), "Анна понесёт лестницу."),
        (frame("break", object=several("bottle", 2)), "Анна разбила две бутылки."),
        (
            frame("lie", Phrase("Athens", "place"), "present", place=Phrase("Greece", "place")),
            "Афины находятся в Греции.",
        ),
        (frame("be", Phrase("boat"), "present", quality="red", negated=True), "Лодка не красная."),
        (frame("be", Phrase("coffee"), quality="hot", negated=True), "Кофе не был горячим."),
        (
            frame("be", several("tree", owner="Ali"), "future", quality="beautiful"),
            "Деревья Али будут красивыми.",
        ),
        (frame("be", quality="sick", tense="present"), "Анна больна."),
        (frame("be", Phrase("rope"), quality="strong"), "Верёвка была прочной."),
    ],
)
def test_russian_is_told_so(told, text):
    assert russian.tell(told).text == text


def test_russian_paraphrases_move_time_place_and_recipient():
    letter = frame("send", object=Phrase("letter"), recipient=Phrase("judge"), place=Phrase("Rome", "place"))
    assert russian.tell(letter).text == "Анна отправила судье письмо в Риме."
    assert russian.tell(letter, style=1).text == "В Риме Анна отправила письмо судье."
    assert russian.tell(frame("sleep", tense="present", time="at_night")).text == "По ночам Анна спит."
    slept = frame("sleep", time="yesterday")
    assert russian.tell(slept).text == "Вчера Анна спала."
    assert russian.tell(slept, style=1).text == "Анна вчера спала."


def test_russian_tree_has_the_owner_below_and_the_numeral_governing():
    words = russian.tell(frame("see", object=several("boat", 2, adjective="red", owner="Omar"))).words
    assert [(word.form, word.tag, word.head, word.relation) for word in words] == [
        ("Анна", "PROPN", 2, "nsubj"),
        ("увидела", "VERB", 0, "root"),
        ("две", "NUM", 5, "nummod:gov"),
        ("красные", "ADJ", 5, "amod"),
        ("лодки", "NOUN", 2, "obj"),
        ("Омара", "PROPN", 5, "nmod"),
        (".", "PUNCT", 2, "punct"),
    ]


@pytest.mark.parametrize(
    ("slot", "question"),
    [
        ("subject", "Кто вчера отправил судье письмо в Риме?"),
        ("object", "Что Анна вчера отправила судье в Риме?"),
        ("recipient", "Кому Анна вчера отправила письмо в Риме?"),
        ("place", "Где Анна вчера отправила судье письмо?"),
        ("time", "Когда Анна отправила судье письмо в Риме?"),
    ],
)
def test_russian_asks_so(slot, question):
    assert russian.ask(LETTER, slot) == question


def test_russian_questions_follow_the_verb_in_case_and_direction():
    assert (
        russian.ask(frame("go", Phrase("lion"), "future", place=Phrase("school")), "place")
        == "Куда пойдёт лев?"
    )
    assert russian.ask(frame("sleep", Phrase("lion")), "subject") == "Кто спал?"
    assert russian.ask(frame("play", object=Phrase("drum")), "object") == "На чём играла Анна?"
    assert russian.ask(frame("help", object=OMAR), "object") == "Кому помогла Анна?"
    assert russian.ask(frame("wash", object=Phrase("skirt")), "object") == "Что постирала Анна?"


def test_russian_endings_follow_the_spelling_rules():
    assert adjective("хороший", "f", "gen", animate=False) == "хорошей"
    assert adjective("большой", "n", "nom", animate=False) == "большое"
    assert adjective("короткий", "p", "acc", animate=True) == "коротких"
    assert Noun("мышь", "f", True, "", "мыши", "мышей").many("dat") == "мышам"
    assert Noun("кофе", "m", False, "кофе").singular("prep") == "кофе"
    assert numeral(2, "f", "acc") == "две"
