"""Swahili: noun classes and the concords they ask of every word, object markers, and questions in situ.

A class is one of the numbers of Bantu grammar ("7" holds kitabu, "8" vitabu), a key of `concords.tsv`. A noun
lists those of its singular and plural; whatever lives agrees as classes 1 and 2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias

from isogloss.data.miniature.concepts import nouns, places, verbs
from isogloss.data.miniature.frames import Frame, Phrase, Slot
from isogloss.data.miniature.grammar import Node, Telling, case, name_node, tell_tree
from isogloss.data.miniature.lexicon import load_lexicon
from isogloss.data.miniature.tables import Entry, read_table
from isogloss.data.miniature.variations import asked

Marker: TypeAlias = Literal["", "m", "wa"]

TAG = "sw-Latn"
_WORDS = load_lexicon("sw")
_CONCORDS = read_table("sw/concords.tsv")
_SENSES = read_table("sw/senses.tsv")
"""Verbs that depend on the object: clothes are washed with another verb than plates."""

_NUMERALS = dict(enumerate("-wili -tatu -nne -tano sita saba -nane tisa kumi".split(), start=2))
_NASAL = {"d": "nd", "g": "ng", "j": "nj", "z": "nz", "l": "nd", "r": "nd", "b": "mb", "v": "mv", "w": "mb"}
"""What the prefix of classes 9 and 10 makes of a first consonant; others stay as they are."""

_PREFIXED = {("pya", "5"): "jipya", ("pya", "9"): "mpya", ("pya", "10"): "mpya"}
"""A stem of one syllable has a prefix where longer ones have none."""


def tell(frame: Frame, *, style: int = 0) -> Telling:
    """The frame in Swahili. Style 1 fronts the time, or else the place."""
    parts = _parts(frame)
    if frame.quality is not None:
        return tell_tree(TAG, _predicate(frame, parts["subject"]))
    front = _fronted(frame) if style == 1 else None
    opening = (parts.pop(front), Node(",", "PUNCT", "punct", glue="left")) if front else ()
    before = (*opening, parts["subject"])
    form = _verb(frame, _sense(frame))
    after = _after(frame, parts)
    return tell_tree(TAG, Node(form, "VERB", before=before, after=after, role="verb", concept=frame.verb))


def ask(frame: Frame, slot: Slot) -> str:
    """A question in Swahili, with the question word where the answer stands: "Anna alimpa nani kitabu?" """
    kept = asked(frame, slot)
    parts = {**_parts(kept), slot: _question_word(frame, slot)}
    if slot == "subject" or (slot in ("object", "recipient") and getattr(frame, slot).person):
        # The verb agrees with "nani" as with one known person.
        kept = replace(kept, **{slot: Phrase("man")})  # type: ignore[arg-type]
    form = _verb(kept, _sense(frame))
    return tell_tree(
        TAG, Node(form, "VERB", before=(parts["subject"],), after=_after(frame, parts)), end="?"
    ).text


# Concord


def _class(phrase: Phrase) -> str:
    """What all that belongs to a participant agrees with. A city is of class 9."""
    if phrase.animate:
        return "2" if phrase.plural else "1"
    if phrase.kind == "place":
        return "9"
    both = _WORDS.nouns[phrase.head]["class"].split("/")
    return both[phrase.plural]


def _agreeing(stem: str, noun_class: str) -> str:
    """A stem of an adjective or numeral with its prefix: "refu" is mrefu, kirefu, ndefu."""
    if (stem, noun_class) in _PREFIXED:
        return _PREFIXED[stem, noun_class]
    concord = _CONCORDS[noun_class]
    if stem[0] in "aeiou":
        return concord["before_vowel"] + stem
    if concord["adjective"] == "N":
        return _NASAL.get(stem[0], stem[0]) + stem[1:]
    return concord["adjective"] + stem


def _inflected(word: str, noun_class: str) -> str:
    """A lexicon cell of one word: "-refu" agrees, "tajiri/matajiri" has two numbers, "safi" stays."""
    if word.startswith("-"):
        return _agreeing(word[1:], noun_class)
    singular, _, plural = word.partition("/")
    return plural if plural and noun_class in ("2", "4", "6", "8", "10") else singular


def _connective(noun_class: str) -> Node:
    """The "of" that agrees with what is owned: kitabu cha, vitabu vya."""
    return case(_CONCORDS[noun_class]["connective"])


# Participants


def _noun_phrase(phrase: Phrase, relation: str, role: Slot | None, *, marker: str = "") -> Node:
    """A participant after the preposition `marker`, "" for none: "vitabu vitatu vyekundu vya Anna"."""
    before = (case(marker),) if marker else ()
    if phrase.kind != "noun":
        table = _WORDS.names if phrase.kind == "name" else _WORDS.places
        return name_node(table[phrase.head]["form"], phrase, relation, role, before=before)
    row = _WORDS.nouns[phrase.head]
    form = row["plural"] if phrase.plural else row["singular"]
    return Node(form, "NOUN", relation, before, _modifiers(phrase), role=role, concept=phrase.head)


def _modifiers(phrase: Phrase) -> tuple[Node, ...]:
    """What follows a noun: the rest of its name, numeral, adjective, owner."""
    noun_class = _class(phrase)
    connective = (_connective(noun_class),)
    found = []
    if tail := _WORDS.nouns[phrase.head]["tail"]:
        found.append(Node(tail, "NOUN", "nmod", before=connective))
    if phrase.count is not None:
        found.append(Node(_inflected(_NUMERALS[phrase.count], noun_class), "NUM", "nummod"))
    if phrase.adjective is not None:
        found.append(_attribute(phrase.adjective, phrase))
    if phrase.owner is not None:
        form = _WORDS.names[phrase.owner]["form"]
        found.append(name_node(form, Phrase(phrase.owner, "name"), "nmod", None, before=connective))
    return tuple(found)


def _quality(id: str, phrase: Phrase) -> str:
    """The cell of an adjective; some are others for some classes of nouns."""
    row = _WORDS.adjectives[id]
    kinds = {phrase.head, *nouns()[phrase.head].classes} if phrase.kind == "noun" else set()
    return row["other"] if kinds & set(row["other_for"].split()) else row["form"]


def _attribute(id: str, phrase: Phrase) -> Node:
    """An adjective after its noun: "kirefu", "cha kijani" (of green), "chenye unyevu" (having moisture)."""
    cell = _quality(id, phrase)
    noun_class = _class(phrase)
    kind, _, rest = cell.partition(" ")
    if not rest:
        return Node(_inflected(cell, noun_class), "ADJ", "amod", concept=id)
    form, tag, more = _words(rest)
    if kind == "-enye":
        having = _CONCORDS[noun_class]["having"]
        return Node(having, "ADJ", "amod", after=(Node(form, tag, "nmod", after=more),), concept=id)
    relation = {"VERB": "acl", "ADV": "advmod"}.get(tag, "nmod")
    return Node(form, tag, relation, (_connective(noun_class),), more, concept=id)


def _words(text: str) -> tuple[str, str, tuple[Node, ...]]:
    """A noun, or "word:TAG", and the adjective that may follow it: "kina kirefu"."""
    first, *others = text.split()
    form, _, tag = first.partition(":")
    return form, tag or "NOUN", tuple(Node(other, "ADJ", "amod") for other in others)


# Clauses


def _parts(frame: Frame) -> dict[Slot, Node]:
    """The top node of each participant and adverbial, in the order they are said."""
    found: dict[Slot, Node] = {"subject": _noun_phrase(frame.subject, "nsubj", "subject")}
    if frame.recipient is not None:
        found["recipient"] = _noun_phrase(frame.recipient, "iobj", "recipient")
    if frame.object is not None:
        marker = _WORDS.verbs[frame.verb]["marker"]
        relation = "obl" if marker else "obj"
        found["object"] = _noun_phrase(frame.object, relation, "object", marker=marker)
    if frame.place is not None:
        found["place"] = _place(frame.place, goal=verbs()[frame.verb].valency == "goal")
    if frame.time is not None:
        found["time"] = _time(frame.time)
    return found


def _fronted(frame: Frame) -> Slot | None:
    if frame.time is not None:
        return "time"
    bound = verbs()[frame.verb].valency in ("goal", "location")
    return "place" if frame.place is not None and not bound else None


def _after(frame: Frame, parts: dict[Slot, Node]) -> tuple[Node, ...]:
    """What follows the verb. The noun that is half of some verbs comes after the object: "paka mlango rangi"."""
    row = _sense(frame)
    found = [parts[slot] for slot in ("recipient", "object") if slot in parts]
    if row["noun"]:
        found.append(Node(row["noun"], "NOUN", "compound"))
    if "place" in parts:
        onward = verbs()[frame.verb].valency == "goal" and row["marker"]
        place = parts["place"]
        found.append(Node(row["marker"], "VERB", "advcl", after=(place,)) if onward else place)
    return (*found, *([parts["time"]] if "time" in parts else []))


def _place(phrase: Phrase, *, goal: bool) -> Node:
    """Where, or where to, which nouns tell alike: "sokoni". Names need no marker after verbs of going."""
    if phrase.kind == "place":
        country = places()[phrase.head].type == "country"
        marker = "" if goal else "nchini" if country else "mjini"
        return _noun_phrase(phrase, "obl", "place", marker=marker)
    locative = _WORDS.nouns[phrase.head]["locative"]
    if locative:
        return Node(locative, "NOUN", "obl", role="place", concept=phrase.head)
    return _noun_phrase(phrase, "obl", "place", marker="kwenye")


def _time(id: str) -> Node:
    row = _WORDS.times[id]
    before = tuple(_small_word(*word.split("/")) for word in row["before"].split())
    after = tuple(_small_word(*word.split("/")) for word in row["after"].split())
    relation = "advmod" if row["tag"] == "ADV" else "obl" if "ADP" in row["before"] else "obl:tmod"
    return Node(row["form"], row["tag"], relation, before, after, role="time", concept=id)


def _small_word(form: str, tag: str, relation: str) -> Node:
    return Node(form, tag, relation)


# Verbs


def _sense(frame: Frame) -> Entry:
    """The row of the verb that fits the object."""
    thing = frame.object
    if thing is not None and thing.kind == "noun":
        traits = {thing.head, *nouns()[thing.head].classes}
        for sense in _SENSES.values():
            if sense["verb"] == frame.verb and traits & set(sense["objects"].split()):
                return sense
    return _WORDS.verbs[frame.verb]


def _verb(frame: Frame, row: Entry) -> str:
    """The verb in one word: subject, tense, object, stem, negation."""
    subject = _CONCORDS[_class(frame.subject)]["subject"]
    if verbs()[frame.verb].valency == "location":
        return (_denied(subject) if frame.negated else subject) + row["stem"]
    return _conjugated(row, subject, frame, _object_marker(frame, row))


def _conjugated(row: Entry, subject: str, frame: Frame, marker: Marker = "") -> str:
    """With the subject's concord and the object's; stems of one syllable keep their "ku" in most tenses."""
    stem = _marked(marker, row["stem"])
    if frame.tense == "present":
        if not frame.negated:
            return "hu" + stem
        return _denied(subject) + (stem[:-1] + "i" if stem.endswith("a") else stem)
    long = row["long"] or stem
    if frame.negated and frame.tense == "past":
        return _denied(subject) + (row["long"] or "ku" + stem)
    tense = "li" if frame.tense == "past" else "ta"
    return (_denied(subject) if frame.negated else subject) + tense + long


def _denied(subject: str) -> str:
    return "ha" if subject == "a" else "ha" + subject


def _object_marker(frame: Frame, row: Entry) -> Marker:
    """Recipients have one always, people unless a habit regards people in general, animals if known."""
    phrase = frame.recipient or frame.object
    if phrase is None or not phrase.animate or row["marker"]:
        return ""
    general = frame.tense == "present" or not phrase.person
    if frame.recipient is None and general and not phrase.definite:
        return ""
    return "wa" if phrase.plural else "m"


def _marked(marker: Marker, stem: str) -> str:
    """A stem after its object marker: "mwona", but "muuza"."""
    if marker == "m" and stem[0] in "aeio":
        return "mw" + stem
    if marker == "m" and stem[0] == "u":
        return "mu" + stem
    return marker + stem


# The copula


def _predicate(frame: Frame, subject: Node) -> Node:
    """ "Mlango ulikuwa mwekundu", with the adjective as the root; one may also be "with" hunger."""
    assert frame.quality is not None
    cell = _quality(frame.quality, frame.subject)
    noun_class = _class(frame.subject)
    kind, _, rest = cell.partition(" ")
    if kind == "-enye":
        return _having(frame, subject, rest)
    copula = _auxiliary(_copula(frame))
    if not rest:
        form = _inflected(cell, noun_class)
        return Node(form, "ADJ", before=(subject, copula), role="quality", concept=frame.quality)
    form, tag, more = _words(rest)
    before = (subject, copula, _connective(noun_class))
    return Node(form, tag, before=before, after=more, role="quality", concept=frame.quality)


def _having(frame: Frame, subject: Node, rest: str) -> Node:
    """ "Anna ana njaa", "Anna alikuwa na njaa": in the present the "with" is part of the copula."""
    form, tag, more = _words(rest)
    before: tuple[Node, ...]
    if frame.tense == "present":
        concord = _CONCORDS[_class(frame.subject)]["subject"]
        before = (subject, _auxiliary((_denied(concord) if frame.negated else concord) + "na"))
    else:
        before = (subject, _auxiliary(_copula(frame)), case("na"))
    return Node(form, tag, before=before, after=more, role="quality", concept=frame.quality or "")


def _auxiliary(form: str) -> Node:
    return Node(form, "AUX", "cop", role="verb", concept="be")


def _copula(frame: Frame) -> str:
    if frame.tense == "present":
        return "si" if frame.negated else "ni"
    return _conjugated(_WORDS.verbs["be"], _CONCORDS[_class(frame.subject)]["subject"], frame)


# Questions


def _question_word(frame: Frame, slot: Slot) -> Node:
    """Nani, nini, wapi, lini; an animal that does something is asked for as such, since nini cannot act."""
    if slot in ("place", "time"):
        return Node("wapi" if slot == "place" else "lini", "ADV", "advmod")
    phrase: Phrase = getattr(frame, slot)
    relation = {"subject": "nsubj", "recipient": "iobj"}.get(slot, "obj")
    if slot == "subject" and not phrase.person:
        return Node("mnyama", "NOUN", relation, after=(Node("gani", "DET", "det"),))
    marker = _WORDS.verbs[frame.verb]["marker"] if slot == "object" else ""
    before = (case(marker),) if marker else ()
    return Node("nani" if phrase.person else "nini", "PRON", relation, before=before)
