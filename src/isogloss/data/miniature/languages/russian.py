"""Russian: cases, aspect, agreement of the past in gender, numerals that govern a genitive, no articles."""

from __future__ import annotations

from functools import cache
from typing import cast

from isogloss.data.miniature.concepts import names, nouns, verbs
from isogloss.data.miniature.frames import Frame, Phrase, Slot
from isogloss.data.miniature.grammar import Node, Telling, case, name_node, tell_tree
from isogloss.data.miniature.languages.russian_forms import Case, Gender, Noun, adjective, numeral
from isogloss.data.miniature.lexicon import load_lexicon
from isogloss.data.miniature.tables import Entry, read_table
from isogloss.data.miniature.variations import asked

TAG = "ru-Cyrl"
_WORDS = load_lexicon("ru")
_SENSES = read_table("ru/senses.tsv")
"""Verbs that depend on the object: clothes are washed with another verb than plates."""


def tell(frame: Frame, *, style: int = 0) -> Telling:
    """The frame in Russian.

    Style 0 begins with the time. Style 1 has it after the subject, or begins with the place if there is no
    time, and says the recipient after the object.
    """
    subject = _noun_phrase(frame.subject, "nom", "nsubj", "subject")
    if frame.quality is not None:
        return tell_tree(TAG, _predicate(frame, subject))
    time = (_time(frame),) if frame.time else ()
    place = (_place(frame),) if frame.place else ()
    fronted: tuple[Node, ...] = ()
    if style == 1 and not time and verbs()[frame.verb].valency not in ("goal", "location"):
        fronted, place = place, ()
    opening = (subject, *time) if style == 1 else (*time, subject)
    root, helpers = _verb(frame, _agreement(frame.subject))
    return tell_tree(
        TAG,
        Node(
            root,
            "VERB",
            before=(*fronted, *opening, *helpers),
            after=(*_objects(frame, shifted=style == 1), *place),
            role="verb",
            concept=frame.verb,
        ),
    )


def ask(frame: Frame, slot: Slot) -> str:
    """A question in Russian: "Где Анна вчера продала лодку?" """
    kept = asked(frame, slot)
    agreement = _agreement(frame.subject)
    subject: tuple[Node, ...] = (_noun_phrase(kept.subject, "nom", "nsubj", "subject"),)
    if slot == "subject":
        agreement, subject = "m" if frame.subject.animate else "n", ()
    time = (_time(kept),) if kept.time else ()
    after = (*_objects(kept, shifted=False), *((_place(kept),) if kept.place else ()))
    # The verb of the object asked for is still chosen by that object.
    root, helpers = _verb(frame, agreement)
    if after:
        before = (*subject, *time, *helpers)
    else:
        before, after = (*time, *helpers), subject
    return tell_tree(
        TAG, Node(root, "VERB", before=(_question_word(frame, slot), *before), after=after), end="?"
    ).text


# Participants


@cache
def _noun(kind: str, head: str) -> Noun:
    if kind == "name":
        row = _WORDS.names[head]
        return Noun(row["nominative"], names()[head].gender, True, row["genitive"])
    row = (_WORDS.nouns if kind == "noun" else _WORDS.places)[head]
    gender = cast(Gender, row["gender"])
    if kind == "place":
        return Noun(row["nominative"], gender, False, row["genitive"])
    return Noun(
        row["nominative"],
        gender,
        nouns()[head].animate or row["animate"] == "yes",
        row["genitive"],
        row["plural"],
        row["genitive_plural"],
    )


def _agreement(phrase: Phrase) -> Gender:
    """What the verb, or the quality, agrees with."""
    return "p" if phrase.plural else _noun(phrase.kind, phrase.head).gender


def _noun_phrase(
    phrase: Phrase, wanted: Case, relation: str, role: Slot | None, *, marker: str | None = None
) -> Node:
    """A participant in a case, with the preposition `marker` before it if one is given."""
    marked = (case(marker),) if marker else ()
    noun = _noun(phrase.kind, phrase.head)
    if phrase.kind != "noun":
        return name_node(noun.singular(wanted), phrase, relation, role, before=marked)
    if phrase.count is None:
        form = noun.many(wanted) if phrase.plural else noun.singular(wanted)
        modifiers = _attribute(phrase, noun, _agreement(phrase), wanted)
    else:
        form, modifiers = _counted(phrase, phrase.count, noun, wanted)
    return Node(form, "NOUN", relation, (*marked, *modifiers), _owner(phrase), role=role, concept=phrase.head)


def _owner(phrase: Phrase) -> tuple[Node, ...]:
    if phrase.owner is None:
        return ()
    form = _noun("name", phrase.owner).singular("gen")
    return (name_node(form, Phrase(phrase.owner, "name"), "nmod", None),)


def _attribute(phrase: Phrase, noun: Noun, gender: Gender, wanted: Case) -> tuple[Node, ...]:
    if phrase.adjective is None:
        return ()
    form = adjective(_quality(phrase.adjective, phrase), gender, wanted, animate=noun.animate)
    return (Node(form, "ADJ", "amod", concept=phrase.adjective),)


def _quality(id: str, phrase: Phrase) -> str:
    """An adjective in the masculine; some are others of things (прочный) than of the living (сильный)."""
    row = _WORDS.adjectives[id]
    return row["form"] if phrase.animate else row["thing"] or row["form"]


def _counted(phrase: Phrase, count: int, noun: Noun, wanted: Case) -> tuple[str, tuple[Node, ...]]:
    """The noun after a numeral, and what stands before it.

    In the nominative and accusative the numeral governs: "две красные лодки", "пять красных лодок". In the
    other cases, and below five as an animate object, it agrees: "двум собакам", "увидел двух собак".
    """
    few = count < 5
    if wanted == "acc" and few and noun.animate:
        wanted = "gen"
    number = numeral(count, noun.gender, wanted)
    if wanted not in ("nom", "acc"):
        attribute = _attribute(phrase, noun, "p", wanted)
        return noun.many(wanted), (Node(number, "NUM", "nummod"), *attribute)
    attribute = _attribute(phrase, noun, "p", "nom" if few and noun.gender == "f" else "gen")
    form = noun.singular("gen") if few and not noun.adjectival else noun.many("gen")
    return form, (Node(number, "NUM", "nummod:gov"), *attribute)


def _objects(frame: Frame, *, shifted: bool) -> tuple[Node, ...]:
    """Recipient and object; `shifted` has the object first."""
    found: list[Node] = []
    if frame.recipient is not None:
        found.append(_noun_phrase(frame.recipient, "dat", "iobj", "recipient"))
    if frame.object is not None:
        wanted, marker = _government(frame.verb)
        relation = "obl" if marker else "iobj" if wanted == "dat" else "obj"
        found.append(_noun_phrase(frame.object, wanted, relation, "object", marker=marker))
    return tuple(reversed(found) if shifted else found)


def _government(verb: str) -> tuple[Case, str | None]:
    """The case of a verb's object, and its preposition."""
    governs = _WORDS.verbs[verb]["governs"]
    if governs == "dat":
        return "dat", None
    return ("prep", governs) if governs else ("acc", None)


# Place and time


def _time(frame: Frame) -> Node:
    """When: "утром" once, "по утрам" out of habit."""
    assert frame.time is not None
    row = _WORDS.times[frame.time]
    if frame.tense == "present" and row["habit"]:
        return Node(row["habit"], "NOUN", "obl", (case("по"),), role="time", concept=frame.time)
    before = tuple(_small_word(*word.split("/")) for word in row["before"].split())
    relation = "advmod" if row["tag"] == "ADV" else "obl" if "ADP" in row["before"] else "obl:tmod"
    return Node(row["form"], row["tag"], relation, before=before, role="time", concept=frame.time)


def _small_word(form: str, tag: str, relation: str) -> Node:
    return Node(form, tag, relation)


def _place(frame: Frame) -> Node:
    """Where, with the prepositional case, or where to, with the accusative."""
    phrase = frame.place
    assert phrase is not None
    row = (_WORDS.places if phrase.kind == "place" else _WORDS.nouns)[phrase.head]
    marker = row["preposition"]
    if verbs()[frame.verb].valency == "goal":
        return _noun_phrase(phrase, "acc", "obl", "place", marker=marker)
    if row.get("locative"):
        return Node(row["locative"], "NOUN", "obl", (case(marker),), role="place", concept=phrase.head)
    return _noun_phrase(phrase, "prep", "obl", "place", marker=marker)


# Verbs


def _sense(verb: str, thing: Phrase | None) -> Entry:
    """The row of the verb that fits the object."""
    for sense in _SENSES.values():
        if sense["verb"] == verb and thing is not None and thing.kind == "noun":
            traits = {thing.head, *nouns()[thing.head].classes}
            if not (thing.plural or thing.mass):
                traits.add("one")
            if traits & set(sense["objects"].split()):
                return sense
    return _WORDS.verbs[verb]


def _past(row: Entry, agreement: Gender) -> str:
    """Masculine, or the feminine with its -а turned into what agrees: съела, съело, съели."""
    masculine = row["past"]
    if agreement == "m":
        return masculine
    reflexive = "сь" if masculine.endswith("ся") else ""
    bare = masculine.removesuffix("ся") if reflexive else masculine
    feminine = row["feminine"] or bare + "а"
    return feminine[:-1] + {"f": "а", "n": "о", "p": "и"}[agreement] + reflexive


def _verb(frame: Frame, agreement: Gender) -> tuple[str, tuple[Node, ...]]:
    """The main verb, and the negation and auxiliary before it. Imperfectives have a future with "будет"."""
    row = _sense(frame.verb, frame.object)
    negation = (Node("не", "PART", "advmod"),) if frame.negated else ()
    number = "_plural" if agreement == "p" else ""
    if frame.tense == "past":
        return _past(row, agreement), negation
    if frame.tense == "future" and row["infinitive"]:
        auxiliary = Node(_WORDS.verbs["be"]["future" + number], "AUX", "aux")
        return row["infinitive"], (*negation, auxiliary)
    return row[frame.tense + number], negation


def _predicate(frame: Frame, subject: Node) -> Node:
    """ "Лодка красная", "лодка не была красной", "Анна больна": the adjective is the root."""
    assert frame.quality is not None
    agreement = _agreement(frame.subject)
    negation = (Node("не", "PART", "advmod"),) if frame.negated else ()
    copula: tuple[Node, ...] = ()
    if frame.tense != "present":
        row = _WORDS.verbs["be"]
        form = _past(row, agreement) if frame.tense == "past" else row["future"]
        if frame.tense == "future" and agreement == "p":
            form = row["future_plural"]
        copula = (Node(form, "AUX", "cop", role="verb", concept="be"),)
    return Node(
        _predicative(frame, agreement),
        "ADJ",
        before=(subject, *negation, *copula),
        role="quality",
        concept=frame.quality,
    )


def _predicative(frame: Frame, agreement: Gender) -> str:
    """The short form where that is usual, else the long one: nominative alone, instrumental after был."""
    assert frame.quality is not None
    row = _WORDS.adjectives[frame.quality]
    if row["short"]:
        feminine = row["short_feminine"]
        return row["short"] if agreement == "m" else feminine[:-1] + {"f": "а", "n": "о", "p": "ы"}[agreement]
    wanted: Case = "nom" if frame.tense == "present" else "ins"
    return adjective(_quality(frame.quality, frame.subject), agreement, wanted, animate=False)


def _question_word(frame: Frame, slot: Slot) -> Node:
    """Who or what, in its case; animals are "who" too."""
    if slot == "time":
        return Node("когда", "ADV", "advmod")
    if slot == "place":
        return Node("куда" if verbs()[frame.verb].valency == "goal" else "где", "ADV", "advmod")
    phrase: Phrase = getattr(frame, slot)
    living = phrase.animate
    if slot == "subject":
        return Node("кто" if living else "что", "PRON", "nsubj")
    wanted, marker = ("dat", None) if slot == "recipient" else _government(frame.verb)
    forms = {"acc": ("что", "кого"), "dat": ("чему", "кому"), "prep": ("чём", "ком")}
    before = (case(marker),) if marker else ()
    return Node(forms[wanted][living], "PRON", "obl" if marker else "obj", before=before)
