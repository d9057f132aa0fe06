from __future__ import annotations

import pytest

from isogloss.data.miniature.frames import Phrase
from isogloss.data.miniature.languages import turkish
from isogloss.data.miniature.languages.turkish_forms import attach, decline, decline_name, genitive_name
from tiny_frames import LETTER, OMAR, frame, several


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (frame("sell", object=Phrase("boat", adjective="red")), "Anna kırmızı kayığı sattı."),
        (
            frame("buy", object=Phrase("boat", adjective="red", definite=False)),
            "Anna kırmızı bir kayık satın aldı.",
        ),
        (frame("eat", object=several("apple", 3)), "Anna üç elma yedi."),
        (frame("eat", tense="present", object=several("apple"), negated=True), "Anna elma yemez."),
        (frame("eat", tense="future", object=Phrase("rice")), "Anna pilavı yiyecek."),
        (frame("count", tense="present", object=several("cow")), "Anna inekleri sayar."),
        (frame("lose", OMAR, object=several("book", owner="Anna")), "Ömer Anna'nın kitaplarını kaybetti."),
        (
            frame("sell", object=several("car", 3, adjective="red", owner="Max")),
            "Anna Max'ın üç kırmızı arabasını sattı.",
        ),
        (
            frame("find", object=several("camera", 2, adjective="old", owner="Ali")),
            "Anna Ali'nin iki eski fotoğraf makinesini buldu.",
        ),
        (frame("drink", object=Phrase("water", owner="Eva")), "Anna Eva'nın suyunu içti."),
        (frame("drink", object=Phrase("juice", adjective="cold")), "Anna soğuk meyve suyunu içti."),
        (
            frame("help", tense="future", object=Phrase("child", definite=False)),
            "Anna bir çocuğa yardım edecek.",
        ),
        (
            frame("give", several("woman"), object=Phrase("coin", definite=False), recipient=Phrase("king")),
            "Kadınlar krala bir madeni para verdi.",
        ),
        (
            frame("return", tense="future", place=Phrase("Iraq", "place"), time="on_friday"),
            "Cuma günü Anna Irak'a dönecek.",
        ),
        (frame("swim", Phrase("bear", definite=False), place=Phrase("river")), "Nehirde bir ayı yüzdü."),
        (frame("sleep", tense="present", time="at_night"), "Geceleri Anna uyur."),
        (
            frame("lie", Phrase("Dakar", "place"), "present", place=Phrase("Senegal", "place")),
            "Dakar Senegal'de bulunur.",
        ),
        (frame("eat", object=several("tomato")), "Anna domates yedi."),
        (frame("see", object=several("lion")), "Anna aslanlar gördü."),
        (
            frame("eat", object=several("tomato", adjective="ripe"), negated=True),
            "Anna olgun domates yemedi.",
        ),
        (frame("open", object=Phrase("window", definite=False), negated=True), "Anna pencere açmadı."),
        (frame("play", object=Phrase("violin")), "Anna keman çaldı."),
        (frame("play", object=Phrase("violin", owner="Ali")), "Anna Ali'nin kemanını çaldı."),
        (frame("meet", object=several("king", 2)), "Anna iki kral ile buluştu."),
        (frame("be", Phrase("boat"), quality="red"), "Kayık kırmızıydı."),
        (frame("be", Phrase("boat"), quality="red", negated=True), "Kayık kırmızı değildi."),
        (frame("be", several("tree", owner="Ali"), "present", quality="big"), "Ali'nin ağaçları büyük."),
        (frame("be", quality="sick", tense="future", negated=True), "Anna hasta olmayacak."),
        (frame("be", Phrase("rope"), quality="strong"), "İp sağlamdı."),
    ],
)
def test_turkish_is_told_so(told, text):
    assert turkish.tell(told).text == text


def test_turkish_paraphrases_move_time_place_and_a_definite_object():
    letter = frame("send", object=Phrase("letter"), recipient=Phrase("judge"), place=Phrase("Rome", "place"))
    assert turkish.tell(letter).text == "Anna Roma'da yargıca mektubu gönderdi."
    assert turkish.tell(letter, style=1).text == "Roma'da Anna mektubu yargıca gönderdi."
    slept = frame("sleep", time="yesterday")
    assert turkish.tell(slept).text == "Dün Anna uyudu."
    assert turkish.tell(slept, style=1).text == "Anna dün uyudu."


def test_turkish_tree_hangs_everything_before_the_verb():
    words = turkish.tell(frame("help", object=several("child", 2, adjective="sick"), time="last_week")).words
    assert [(word.form, word.tag, word.head, word.relation) for word in words] == [
        ("Geçen", "ADJ", 2, "amod"),
        ("hafta", "NOUN", 8, "obl:tmod"),
        ("Anna", "PROPN", 8, "nsubj"),
        ("iki", "NUM", 6, "nummod"),
        ("hasta", "ADJ", 6, "amod"),
        ("çocuğa", "NOUN", 8, "obl"),
        ("yardım", "NOUN", 8, "compound:lvc"),
        ("etti", "VERB", 0, "root"),
        (".", "PUNCT", 8, "punct"),
    ]


@pytest.mark.parametrize(
    ("slot", "question"),
    [
        ("subject", "Dün Roma'da yargıca mektubu kim gönderdi?"),
        ("object", "Anna dün Roma'da yargıca ne gönderdi?"),
        ("recipient", "Anna dün Roma'da mektubu kime gönderdi?"),
        ("place", "Anna dün yargıca mektubu nerede gönderdi?"),
        ("time", "Anna Roma'da yargıca mektubu ne zaman gönderdi?"),
    ],
)
def test_turkish_asks_so(slot, question):
    assert turkish.ask(LETTER, slot) == question


def test_turkish_question_words_have_the_case_of_the_answer_and_precede_a_bare_object():
    assert turkish.ask(frame("go", tense="future", place=Phrase("school")), "place") == "Anna nereye gidecek?"
    assert turkish.ask(frame("see", object=OMAR), "object") == "Anna kimi gördü?"
    assert turkish.ask(frame("thank", object=OMAR), "object") == "Anna kime teşekkür etti?"
    assert turkish.ask(frame("see", object=Phrase("lion")), "object") == "Anna neyi gördü?"
    assert turkish.ask(frame("meet", object=OMAR), "object") == "Anna kiminle buluştu?"
    assert turkish.ask(frame("rest", Phrase("hen")), "subject") == "Hangi hayvan dinlendi?"
    assert (
        turkish.ask(frame("eat", object=several("egg", 2), time="today"), "time")
        == "Anna ne zaman iki yumurta yedi?"
    )


def test_turkish_suffixes_follow_harmony_and_soften_consonants():
    assert attach("göl", "(y)A") == "göle"
    assert attach("köprü", "(y)I") == "köprüyü"
    assert attach("resim", "DA", soft="resm") == "resimde"
    assert attach("ağaç", "(y)DI") == "ağaçtı"
    assert decline("kitap", "dat", soft="kitab", possessed=True) == "kitabına"
    assert decline("kitap", "acc", soft="kitab", plural=True) == "kitapları"
    assert decline("su", "acc", possessed=True, irregular="suyu") == "suyunu"
    assert decline("kâğıt", "acc", soft="kâğıd") == "kâğıdı"
    assert decline_name("Münih", "loc") == "Münih'te"
    assert decline_name("Senegal", "dat", front=True) == "Senegal'e"
    assert genitive_name("Ömer") == "Ömer'in"
