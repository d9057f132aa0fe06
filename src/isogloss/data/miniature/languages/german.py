"""German: three genders, three of the four cases, adjective endings, and the verb second with the rest last.

The genitive is told by names alone ("Annas Boot").
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from isogloss.data.miniature import concepts
from isogloss.data.miniature.frames import Frame, Phrase, Slot
from isogloss.data.miniature.grammar import Node, Telling, case, name_node, tell_tree
from isogloss.data.miniature.lexicon import load_lexicon
from isogloss.data.miniature.tables import Entry
from isogloss.data.miniature.variations import asked

Case: TypeAlias = Literal["nominative", "accusative", "dative"]

TAG = "de-Latn"
_WORDS = load_lexicon("de")
_NUMERALS = dict(enumerate("zwei drei vier fünf sechs sieben acht neun zehn".split(), start=2))

# By case, then by gender or "p" for the plural of all.
_DEFINITE = {
    "nominative": {"m": "der", "f": "die", "n": "das", "p": "die"},
    "accusative": {"m": "den", "f": "die", "n": "das", "p": "die"},
    "dative": {"m": "dem", "f": "der", "n": "dem", "p": "den"},
}
_STRONG = {
    "nominative": {"m": "er", "f": "e", "n": "es", "p": "e"},
    "accusative": {"m": "en", "f": "e", "n": "es", "p": "e"},
    "dative": {"m": "em", "f": "er", "n": "em", "p": "en"},
}
_WEAK = {
    "nominative": {"m": "e", "f": "e", "n": "e", "p": "en"},
    "accusative": {"m": "en", "f": "e", "n": "e", "p": "en"},
    "dative": {"m": "en", "f": "en", "n": "en", "p": "en"},
}
_BARE = {("nominative", "m"), ("nominative", "n"), ("accusative", "n")}
"""Where "ein" and "kein" have no ending."""

_FUSED = {
    ("in", "dem"): "im",
    ("in", "das"): "ins",
    ("an", "dem"): "am",
    ("an", "das"): "ans",
    ("zu", "dem"): "zum",
    ("zu", "der"): "zur",
}

# People "essen", animals "fressen".
_FRESSEN: Entry = {
    **_WORDS.verbs["eat"],
    "infinitive": "fressen",
    "singular": "frisst",
    "participle": "gefressen",
}

# Crops are harvested; a fruit is picked by hand.
_PFLUECKEN: Entry = {
    **_WORDS.verbs["pick"],
    "infinitive": "pflücken",
    "singular": "pflückt",
    "participle": "gepflückt",
}


def tell(frame: Frame, *, style: int = 0) -> Telling:
    """The frame in German.

    Style 1 begins with the time, or else the place, or else an object whose case can be seen.
    """
    subject = _noun_phrase(frame.subject, "nsubj", "subject", "nominative")
    if frame.quality is not None:
        return tell_tree(TAG, _predicate(frame, subject))
    front = _front(frame) if style == 1 else None
    if front is None:
        return tell_tree(TAG, _clause(frame, subject, _middle(frame, None)))
    return tell_tree(TAG, _clause(frame, _slot(frame, front), (subject, *_middle(frame, front))))


def ask(frame: Frame, slot: Slot) -> str:
    """A question in German: "Wo hat Anna das Boot gestern verkauft?" """
    kept = asked(frame, slot)
    word = _question_word(frame, slot)
    if slot == "subject":
        return tell_tree(TAG, _clause(kept, word, _middle(kept, None), plural=False), end="?").text
    subject = _noun_phrase(kept.subject, "nsubj", "subject", "nominative")
    return tell_tree(TAG, _clause(kept, word, (subject, *_middle(kept, None))), end="?").text


# Noun phrases


def _noun_phrase(
    phrase: Phrase, relation: str, role: Slot | None, form_of: Case, *, marker: str = "", denied: bool = False
) -> Node:
    """A participant in a case, after the preposition `marker` ("" for none). `denied` asks for "kein"."""
    if phrase.kind == "name":
        return name_node(_WORDS.names[phrase.head]["form"], phrase, relation, role)
    if phrase.kind == "place":
        return _proper_place(phrase, relation, role, form_of, marker)
    article = _article(phrase, form_of, denied=denied)
    before = (*_marked(marker, article), *_owner(phrase), *_modifiers(phrase, article, form_of))
    form = _noun(phrase, form_of)
    return Node(form, "NOUN", relation, before=before, role=role, concept=phrase.head)


def _proper_place(phrase: Phrase, relation: str, role: Slot | None, form_of: Case, marker: str) -> Node:
    """A city or a country; a few countries have an article."""
    row = _WORDS.places[phrase.head]
    article = _DEFINITE[form_of][row["article_gender"]] if row["article_gender"] else ""
    return name_node(row["form"], phrase, relation, role, before=_marked(marker, article))


def _marked(marker: str, article: str) -> tuple[Node, ...]:
    """A preposition and an article, either of which may be "", in one word where they fuse."""
    if (marker, article) in _FUSED:
        return (case(_FUSED[marker, article]),)
    articles = (Node(article, "DET", "det"),) if article else ()
    return (case(marker), *articles) if marker else articles


def _gender(phrase: Phrase) -> str:
    """Of a noun: m, f, n, or p for the plural."""
    return "p" if phrase.plural else _WORDS.nouns[phrase.head]["gender"]


def _noun(phrase: Phrase, form_of: Case) -> str:
    row = _WORDS.nouns[phrase.head]
    if not phrase.plural:
        return row["singular"] if form_of == "nominative" else row["oblique"] or row["singular"]
    plural = row["plural"]
    return plural + "n" if form_of == "dative" and not plural.endswith(("n", "s")) else plural


def _article(phrase: Phrase, form_of: Case, *, denied: bool) -> str:
    """The article or "kein", "" for none: an owner takes its place."""
    gender = _gender(phrase)
    if phrase.owner is not None or (phrase.count is not None and not phrase.definite):
        return ""
    if phrase.definite:
        return _DEFINITE[form_of][gender]
    ending = "" if (form_of, gender) in _BARE else _STRONG[form_of][gender]
    if denied:
        return "kein" + ending
    return "" if phrase.plural or phrase.mass else "ein" + ending


def _owner(phrase: Phrase) -> tuple[Node, ...]:
    if phrase.owner is None:
        return ()
    form = _WORDS.names[phrase.owner]["form"]
    form += "'" if form.endswith(("s", "x", "z", "ß")) else "s"
    return (name_node(form, Phrase(phrase.owner, "name"), "nmod:poss", None),)


def _modifiers(phrase: Phrase, article: str, form_of: Case) -> tuple[Node, ...]:
    """Numeral and adjective. The ending that tells the case stands once: on the article if it has one there."""
    found = []
    if phrase.count is not None:
        found.append(Node(_NUMERALS[phrase.count], "NUM", "nummod"))
    if phrase.adjective is not None:
        endings = _STRONG if article in ("", "ein", "kein") else _WEAK
        form = _quality(phrase.adjective, phrase, "stem") + endings[form_of][_gender(phrase)]
        found.append(Node(form, "ADJ", "amod", concept=phrase.adjective))
    return tuple(found)


def _quality(id: str, phrase: Phrase, column: Literal["form", "stem"]) -> str:
    """An adjective without ending; some have another word for some nouns."""
    row = _WORDS.adjectives[id]
    return row["other"] if phrase.kind == "noun" and phrase.head in row["other_for"].split() else row[column]


# Clauses


def _row(frame: Frame) -> Entry:
    """The words of the frame's verb."""
    if frame.verb == "eat" and not frame.subject.person:
        return _FRESSEN
    thing = frame.object
    if frame.verb == "pick" and thing is not None and "fruit" in concepts.nouns()[thing.head].classes:
        return _PFLUECKEN
    return _WORDS.verbs[frame.verb]


def _clause(frame: Frame, first: Node, middle: tuple[Node, ...], *, plural: bool | None = None) -> Node:
    """What comes first, the finite verb, the middle, and the rest of the verb.

    Args:
        plural: of the finite verb; None for as the subject has it.
    """
    row = _row(frame)
    plural = frame.subject.plural if plural is None else plural
    reflexive = (Node("sich", "PRON", "expl:pv"),) if row["reflexive"] else ()
    at = 1 if middle and middle[0].relation == "nsubj" else 0
    middle = (*middle[:at], *reflexive, *middle[at:])
    if frame.tense != "present":
        auxiliary = _auxiliary("werden" if frame.tense == "future" else row["auxiliary"], plural=plural)
        form = row["infinitive" if frame.tense == "future" else "participle"]
        before = (first, Node(auxiliary, "AUX", "aux"), *middle)
        return Node(form, "VERB", before=before, role="verb", concept=frame.verb)
    form = row["infinitive"].removeprefix(row["particle"]) if plural else row["singular"]
    particle = (Node(row["particle"], "ADP", "compound:prt"),) if row["particle"] else ()
    after = (*middle, *particle)
    return Node(form, "VERB", before=(first,), after=after, role="verb", concept=frame.verb)


def _auxiliary(verb: str, *, plural: bool) -> str:
    singular = {"haben": "hat", "sein": "ist", "werden": "wird"}
    return {"haben": "haben", "sein": "sind", "werden": "werden"}[verb] if plural else singular[verb]


def _middle(frame: Frame, front: Slot | None) -> tuple[Node, ...]:
    """Between finite verb and sentence end, but for the subject and the slot `front`, which is said first.

    Known objects come before time and place and new ones after, the recipient always before the object; after
    a recipient even a known object comes late, unless denied. "Nicht" stands before the place, or last when
    objects follow the place.
    """
    objects: list[Slot] = [slot for slot in ("recipient", "object") if _filled(frame, slot) and slot != front]
    known: list[Slot] = []
    late = frame.recipient is not None and not frame.negated
    while objects and getattr(frame, objects[0]).definite and not (late and objects[0] == "object"):
        known.append(objects.pop(0))
    time: list[Slot] = ["time"] if frame.time is not None and front != "time" else []
    place: list[Slot] = ["place"] if frame.place is not None and front != "place" else []
    head = tuple(_slot(frame, slot) for slot in (*known, *time))
    tail = tuple(_slot(frame, slot) for slot in (*place, *objects))
    if not frame.negated or _without(frame) is not None:
        return (*head, *tail)
    denial = Node("nicht", "PART", "advmod")
    return (*head, *tail, denial) if objects else (*head, denial, *tail)


def _filled(frame: Frame, slot: Slot) -> bool:
    return getattr(frame, slot) is not None


def _without(frame: Frame) -> Slot | None:
    """The slot told with "kein" when the frame is denied; None when it takes "nicht"."""
    slots: tuple[Slot, ...] = ("object", "recipient")
    for slot in slots:
        phrase: Phrase | None = getattr(frame, slot)
        if phrase is not None and not phrase.definite and phrase.count is None:
            return slot
    return None


def _slot(frame: Frame, slot: Slot) -> Node:
    """An object or an adverbial in its case."""
    if slot == "time":
        return _time(frame)
    if slot == "place":
        return _place(frame)
    phrase: Phrase = getattr(frame, slot)
    denied = frame.negated and _without(frame) == slot
    if slot == "recipient":
        return _noun_phrase(phrase, "iobj", slot, "dative", denied=denied)
    if _row(frame)["object_case"] == "dative":
        return _noun_phrase(phrase, "obl:arg", slot, "dative", denied=denied)
    return _noun_phrase(phrase, "obj", slot, "accusative", denied=denied)


def _time(frame: Frame) -> Node:
    assert frame.time is not None
    row = _WORDS.times[frame.time]
    parts = (word.split("/") for word in row["before"].split())
    before = tuple(Node(form, tag, relation) for form, tag, relation in parts)
    relation = "advmod" if row["tag"] == "ADV" else "obl"
    return Node(row["form"], row["tag"], relation, before=before, role="time", concept=frame.time)


def _place(frame: Frame) -> Node:
    """Where, in the dative, or where to, in the accusative but for "zu" and "nach"."""
    phrase = frame.place
    assert phrase is not None
    goal = concepts.verbs()[frame.verb].valency == "goal"
    if phrase.kind == "place":
        article = _WORDS.places[phrase.head]["article_gender"]
        marker = "nach" if goal and not article else "in"
    else:
        marker = _WORDS.nouns[phrase.head]["where_to" if goal else "where"]
    form_of: Case = "accusative" if goal and marker not in ("nach", "zu") else "dative"
    return _noun_phrase(phrase, "obl", "place", form_of, marker=marker)


def _front(frame: Frame) -> Slot | None:
    """What may stand before the verb in place of the subject without being taken for it."""
    if frame.time is not None:
        return "time"
    if frame.place is not None and concepts.verbs()[frame.verb].valency not in ("goal", "location"):
        return "place"
    if frame.negated:
        return None
    if frame.recipient is not None and frame.recipient.kind == "noun" and frame.recipient.definite:
        return "recipient"
    thing = frame.object
    marked = thing is not None and thing.kind == "noun" and thing.definite and thing.owner is None
    return "object" if marked and thing is not None and _gender(thing) == "m" else None


def _predicate(frame: Frame, subject: Node) -> Node:
    """ "Das Boot war nicht rot", with the adjective as the root and the copula below it."""
    assert frame.quality is not None
    form = _quality(frame.quality, frame.subject, "form")
    plural = frame.subject.plural
    denial = (Node("nicht", "PART", "advmod"),) if frame.negated else ()
    after: tuple[Node, ...] = ()
    if frame.tense == "future":
        finite = Node(_auxiliary("werden", plural=plural), "AUX", "aux")
        after = (Node("sein", "AUX", "cop", role="verb", concept="be"),)
    else:
        singular, several = ("war", "waren") if frame.tense == "past" else ("ist", "sind")
        finite = Node(several if plural else singular, "AUX", "cop", role="verb", concept="be")
    before = (subject, finite, *denial)
    return Node(form, "ADJ", before=before, after=after, role="quality", concept=frame.quality)


# Questions


def _question_word(frame: Frame, slot: Slot) -> Node:
    if slot == "time":
        return Node("wann", "ADV", "advmod")
    if slot == "place":
        goal = concepts.verbs()[frame.verb].valency == "goal"
        return Node("wohin" if goal else "wo", "ADV", "advmod")
    phrase: Phrase = getattr(frame, slot)
    if slot == "subject":
        # Of an animal too: "was hat die Kuh gesehen" would ask what the cow saw.
        return Node("wer" if phrase.animate else "was", "PRON", "nsubj")
    if slot == "recipient" or _row(frame)["object_case"] == "dative":
        return Node("wem", "PRON", "iobj")
    return Node("wen" if phrase.person else "was", "PRON", "obj")
