from __future__ import annotations

import pytest

from isogloss.data.miniature.frames import Frame, Phrase
from isogloss.data.miniature.languages import swahili
from tiny_frames import ANNA, GIFT, OMAR, PARIS, frame, noun, several, some

KENYA = Phrase("Kenya", "place")


def be(subject: Phrase, quality: str, tense: str = "past", **features) -> Frame:
    return Frame("be", subject, tense, quality=quality, **features)  # type: ignore[arg-type]


THREE_RED = noun("book", plural=True, count=3, adjective="red", owner="Anna")


@pytest.mark.parametrize(
    ("told", "text"),
    [
        # Concord of numerals, adjectives and owners
        (frame("see", object=THREE_RED), "Anna aliona vitabu vitatu vyekundu vya Anna."),
        (frame("buy", object=noun("car", adjective="new", owner="Omar")),
         "Anna alinunua gari jipya la Omar."),
        (frame("buy", object=noun("boat", adjective="new")), "Anna alinunua mashua mpya."),
        (frame("read", object=several("story", count=2, adjective="boring")),
         "Anna alisoma hadithi mbili za kuchosha."),
        (frame("sell", object=several("key", count=4, adjective="black")),
         "Anna aliuza funguo nne nyeusi."),
        (frame("carry", object=several("candle", count=8, adjective="white")),
         "Anna alibeba mishumaa minane myeupe."),
        (frame("eat", object=several("orange", count=6, adjective="ripe")),
         "Anna alikula machungwa sita mabivu."),
        (frame("cut", object=noun("rope", adjective="long")), "Anna alikata kamba ndefu."),
        (frame("cut", object=noun("rope", adjective="strong")), "Anna alikata kamba imara."),
        (frame("drink", object=some("milk", adjective="cold")), "Anna alikunywa maziwa baridi."),
        (frame("open", object=noun("window", adjective="green")), "Anna alifungua dirisha la kijani."),
        (frame("build", object=noun("theatre", plural=True, adjective="ugly")),
         "Anna alijenga kumbi za michezo mbaya."),
        # Whatever lives agrees as people do
        (frame("eat", several("monkey", count=2, adjective="strong"), object=several("mango")),
         "Tumbili wawili wenye nguvu walikula maembe."),
        (frame("see", object=noun("dog", owner="Omar", adjective="small")),
         "Anna alimwona mbwa mdogo wa Omar."),
        (frame("help", object=several("musician", adjective="rich")),
         "Anna aliwasaidia wanamuziki matajiri."),
        (frame("meet", noun("child", adjective="young"), object=noun("woman", adjective="young")),
         "Mtoto mchanga alikutana na mwanamke kijana."),
        # Object markers
        (frame("see", object=OMAR, negated=True), "Anna hakumwona Omar."),
        (frame("sell", object=noun("cow")), "Anna alimuuza ng'ombe."),
        (frame("sell", object=some("cow")), "Anna aliuza ng'ombe."),
        (frame("invite", tense="present", object=several("guest")), "Anna hualika wageni."),
        (frame("give", object=noun("knife"), recipient=OMAR), "Anna alimpa Omar kisu."),
        (frame("show", tense="future", object=noun("goat"), recipient=noun("child", plural=True)),
         "Anna atawaonyesha watoto mbuzi."),
        (frame("lend", object=noun("money"), recipient=OMAR), "Anna alimkopesha Omar pesa."),
        # Tenses and negation
        (frame("eat", tense="present", object=some("meat"), time="every_day"), "Anna hula nyama kila siku."),
        (frame("eat", tense="present", object=some("meat"), negated=True), "Anna hali nyama."),
        (frame("eat", tense="future", object=some("meat"), negated=True), "Anna hatakula nyama."),
        (frame("drink", noun("cat", plural=True), object=some("milk"), negated=True),
         "Paka hawakunywa maziwa."),
        (frame("read", noun("boy", plural=True), "present", object=several("newspaper"), negated=True),
         "Wavulana hawasomi magazeti."),
        (frame("return", tense="present", place=KENYA, time="every_year", negated=True),
         "Anna harudi Kenya kila mwaka."),
        # Verbs of two words, and verbs that depend on the object
        (frame("work", place=KENYA, time="in_winter"), "Anna alifanya kazi nchini Kenya wakati wa baridi."),
        (frame("paint", object=noun("door"), time="today"), "Anna alipaka mlango rangi leo."),
        (frame("wash", object=noun("skirt")), "Anna alifua sketi."),
        (frame("pick", object=some("wheat")), "Anna alivuna ngano."),
        # Places
        (frame("go", place=noun("market"), time="tomorrow", tense="future"), "Anna atakwenda sokoni kesho."),
        (frame("go", place=noun("museum"), negated=True), "Anna hakwenda kwenye makumbusho."),
        (frame("travel", place=PARIS), "Anna alisafiri kwenda Paris."),
        (frame("sleep", place=PARIS, time="on_monday"), "Anna alilala mjini Paris Jumatatu."),
        (frame("lie", Phrase("Athens", "place"), "present", place=Phrase("Greece", "place")),
         "Athens ipo nchini Ugiriki."),
        (frame("lie", Phrase("Athens", "place"), "present", place=KENYA, negated=True),
         "Athens haipo nchini Kenya."),
        # The copula
        (be(noun("woman", plural=True), "brave", negated=True), "Wanawake hawakuwa jasiri."),
        (be(noun("chair"), "clean"), "Kiti kilikuwa safi."),
        (be(noun("song", plural=True), "good", "present"), "Nyimbo ni nzuri."),
        (be(noun("door"), "green", "present", negated=True), "Mlango si wa kijani."),
        (be(noun("water"), "hot", "future", negated=True), "Maji hayatakuwa ya moto."),
        (be(noun("car", owner="Omar"), "red", "future"), "Gari la Omar litakuwa jekundu."),
        (be(ANNA, "hungry", "present"), "Anna ana njaa."),
        (be(noun("dog", plural=True), "healthy", "present", negated=True), "Mbwa hawana afya."),
        (be(noun("river"), "deep", negated=True), "Mto haukuwa na kina kirefu."),
        (be(noun("man", plural=True), "young"), "Wanaume walikuwa vijana."),
        (be(noun("fish"), "fresh"), "Samaki alikuwa safi."),
    ],
)  # fmt: skip
def test_swahili_is_told_so(told, text):
    assert swahili.tell(told).text == text


def test_swahili_paraphrases_front_the_time_or_the_place():
    assert swahili.tell(GIFT, style=1).text == "Wiki iliyopita, Anna alimtumia jaji barua mjini Paris."
    bread = frame("eat", object=some("bread"), place=noun("school"))
    assert swahili.tell(bread, style=1).text == "Shuleni, Anna alikula mkate."
    assert swahili.tell(frame("go", place=noun("school")), style=1).text == "Anna alikwenda shuleni."


@pytest.mark.parametrize(
    ("slot", "question"),
    [
        ("subject", "Nani alimtumia jaji barua mjini Paris wiki iliyopita?"),
        ("object", "Anna alimtumia jaji nini mjini Paris wiki iliyopita?"),
        ("recipient", "Anna alimtumia nani barua mjini Paris wiki iliyopita?"),
        ("place", "Anna alimtumia jaji barua wapi wiki iliyopita?"),
        ("time", "Anna alimtumia jaji barua mjini Paris lini?"),
    ],
)
def test_swahili_asks_so(slot, question):
    assert swahili.ask(GIFT, slot) == question


@pytest.mark.parametrize(
    ("told", "slot", "question"),
    [
        (frame("see", noun("man", plural=True), object=several("child")), "subject", "Nani aliwaona watoto?"),
        (frame("see", object=noun("child", plural=True)), "object", "Anna alimwona nani?"),
        (frame("see", object=noun("lion")), "object", "Anna aliona nini?"),
        (frame("rest", noun("hen", plural=True), time="today"), "subject", "Mnyama gani alipumzika leo?"),
        (frame("meet", object=OMAR), "object", "Anna alikutana na nani?"),
        (frame("wash", object=noun("skirt")), "object", "Anna alifua nini?"),
        (frame("travel", place=PARIS), "place", "Anna alisafiri kwenda wapi?"),
        (frame("go", place=noun("market"), time="today"), "place", "Anna alikwenda wapi leo?"),
        (frame("lie", PARIS, "present", place=KENYA), "place", "Paris ipo wapi?"),
    ],
)
def test_the_verb_of_a_swahili_question_agrees_with_its_word(told, slot, question):
    assert swahili.ask(told, slot) == question


def test_a_swahili_verb_is_one_word_and_owners_follow_with_a_connective():
    told = swahili.tell(frame("travel", noun("driver", adjective="hungry"), place=KENYA, time="next_week"))
    assert [(word.form, word.tag, word.head, word.relation) for word in told.words] == [
        ("Dereva", "NOUN", 4, "nsubj"),
        ("mwenye", "ADJ", 1, "amod"),
        ("njaa", "NOUN", 2, "nmod"),
        ("alisafiri", "VERB", 0, "root"),
        ("kwenda", "VERB", 4, "advcl"),
        ("Kenya", "PROPN", 5, "obl"),
        ("wiki", "NOUN", 4, "obl:tmod"),
        ("ijayo", "VERB", 7, "acl"),
        (".", "PUNCT", 4, "punct"),
    ]
    assert told.span("place")[1] == "Kenya"
    owned = swahili.tell(be(noun("house", plural=True, owner="Anna"), "happy")).words
    assert [(word.form, word.tag, word.head, word.relation) for word in owned[:5]] == [
        ("Nyumba", "NOUN", 6, "nsubj"),
        ("za", "ADP", 3, "case"),
        ("Anna", "PROPN", 1, "nmod"),
        ("zilikuwa", "AUX", 6, "cop"),
        ("na", "ADP", 6, "case"),
    ]
