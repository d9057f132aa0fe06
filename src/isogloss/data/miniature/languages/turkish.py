"""Turkish: verb last, case endings in harmony, no article but "bir", no plural after numerals."""

from __future__ import annotations

from dataclasses import replace

from isogloss.data.miniature.concepts import verbs
from isogloss.data.miniature.frames import Frame, Phrase, Slot
from isogloss.data.miniature.grammar import Node, Telling, case, name_node, tell_tree
from isogloss.data.miniature.languages.turkish_forms import (
    Case,
    attach,
    decline,
    decline_name,
    genitive_name,
)
from isogloss.data.miniature.lexicon import load_lexicon
from isogloss.data.miniature.variations import asked

TAG = "tr-Latn"
_WORDS = load_lexicon("tr")
_NUMERALS = dict(enumerate("iki üç dört beş altı yedi sekiz dokuz on".split(), start=2))


def tell(frame: Frame, *, style: int = 0) -> Telling:
    """The frame in Turkish.

    Style 0 begins with the time. Style 1 has it after the subject, or begins with the place if there is no
    time, and says a definite object before the recipient.
    """
    subject = _noun_phrase(frame.subject, "nom", "nsubj", "subject")
    if frame.quality is not None:
        return tell_tree(TAG, _predicate(frame, subject))
    opening = _opening(frame, subject, shifted=style == 1)
    things = _objects(frame, shifted=style == 1)
    return tell_tree(TAG, _clause(frame, (*opening, *things)))


def ask(frame: Frame, slot: Slot) -> str:
    """A question in Turkish: "Anna kayığı dün nerede sattı?" The question word stands next to the verb."""
    kept = asked(frame, slot)
    subject = () if slot == "subject" else (_noun_phrase(kept.subject, "nom", "nsubj", "subject"),)
    time = (_time(kept),) if kept.time else ()
    place = (_place(kept),) if kept.place else ()
    things = _objects(kept, shifted=False)
    # Nothing comes between a bare object and its verb, not even the question word.
    at = len(things) - 1 if kept.object is not None and not _marked(kept) else len(things)
    question = _question_word(frame, slot)
    return tell_tree(
        TAG, _clause(frame, (*subject, *time, *place, *things[:at], question, *things[at:])), end="?"
    ).text


# Participants


def _noun_phrase(
    phrase: Phrase, wanted: Case, relation: str, role: Slot | None, *, generic: bool = False
) -> Node:
    """A participant in a case; `generic` is the kind alone, in the singular: "elma yedi", ate apples."""
    if phrase.kind != "noun":
        return name_node(_name(phrase, wanted), phrase, relation, role)
    row = _WORDS.nouns[phrase.head]
    form = decline(
        row["form"],
        wanted,
        soft=row["soft"],
        plural=phrase.plural and phrase.count is None and not generic,
        possessed=phrase.owner is not None or row["compound"] == "yes",
        irregular=row["possessed"],
    )
    before = (*_owner(phrase), *_modifiers(phrase, generic=generic), *_small_words(row["modifier"]))
    return Node(form, "NOUN", relation, before, role=role, concept=phrase.head)


def _name(phrase: Phrase, wanted: Case) -> str:
    if phrase.kind == "name":
        return decline_name(_WORDS.names[phrase.head]["form"], wanted)
    row = _WORDS.places[phrase.head]
    return decline_name(row["form"], wanted, front=row["front"] == "yes")


def _owner(phrase: Phrase) -> tuple[Node, ...]:
    if phrase.owner is None:
        return ()
    form = genitive_name(_WORDS.names[phrase.owner]["form"])
    return (name_node(form, Phrase(phrase.owner, "name"), "nmod:poss", None),)


def _modifiers(phrase: Phrase, *, generic: bool) -> tuple[Node, ...]:
    """Numeral and adjective, or adjective and "bir": "üç kırmızı araba", "kırmızı bir araba"."""
    found = []
    if phrase.count is not None:
        found.append(Node(_NUMERALS[phrase.count], "NUM", "nummod"))
    if phrase.adjective is not None:
        form = _quality(phrase.adjective, phrase)
        found.append(Node(form, "ADJ", "amod", concept=phrase.adjective))
    if not (phrase.definite or phrase.plural or phrase.mass or generic):
        found.append(Node("bir", "DET", "det"))
    return tuple(found)


def _quality(id: str, phrase: Phrase) -> str:
    """An adjective; some are others of things (sağlam) than of the living (güçlü)."""
    row = _WORDS.adjectives[id]
    return row["form"] if phrase.animate else row["thing"] or row["form"]


def _small_words(cell: str) -> tuple[Node, ...]:
    """The words of a cell such as "her/DET/det"."""
    return tuple(_small_word(*word.split("/")) for word in cell.split())


def _small_word(form: str, tag: str, relation: str) -> Node:
    return Node(form, tag, relation)


def _marked(frame: Frame) -> bool:
    """Whether the object has a case ending.

    Definite ones have, and any object of some verbs; of others (`habit`) when habits regard a kind: "kapıları açar".
    """
    assert frame.object is not None
    governs = _WORDS.verbs[frame.verb]["governs"]
    habitual = frame.tense == "present" and _generic(frame)
    if governs == "bare" and _generic(frame):
        return False
    return frame.object.definite or governs in ("acc", "dat", "ile") or (governs == "habit" and habitual)


def _generic(frame: Frame) -> bool:
    """Whether the object is told as a kind: "elma yer", eats apples.

    So are uncounted plurals in habits and denials, and elsewhere unless they live or have an adjective. A single
    thing is in a denial: "pencere açmadı", opened no window. And any instrument that is played (`bare`): with an
    ending, "kemanı çaldı", it would rather be stolen.
    """
    thing = frame.object
    if thing is None or thing.count is not None or thing.owner is not None:
        return False
    bare = thing.adjective is None and not thing.animate
    if bare and _WORDS.verbs[frame.verb]["governs"] == "bare":
        return True
    if thing.definite:
        return False
    if thing.plural:
        return frame.tense == "present" or frame.negated or bare
    return frame.negated and bare


def _objects(frame: Frame, *, shifted: bool) -> tuple[Node, ...]:
    """Recipient and object; `shifted` has an object with an ending first."""
    found: list[Node] = []
    if frame.recipient is not None:
        found.append(_noun_phrase(frame.recipient, "dat", "obl", "recipient"))
    if frame.object is not None:
        found.append(_object(frame, frame.object))
    if shifted and frame.object is not None and _marked(frame):
        found.reverse()
    return tuple(found)


def _object(frame: Frame, thing: Phrase) -> Node:
    governs = _WORDS.verbs[frame.verb]["governs"]
    if governs == "dat":
        return _noun_phrase(thing, "dat", "obl", "object")
    if governs == "ile":
        phrase = _noun_phrase(thing, "nom", "obl", "object")
        return replace(phrase, after=(*phrase.after, case("ile")))
    if _marked(frame):
        return _noun_phrase(thing, "acc", "obj", "object")
    return _noun_phrase(thing, "nom", "obj", "object", generic=_generic(frame))


# Place and time


def _opening(frame: Frame, subject: Node, *, shifted: bool) -> tuple[Node, ...]:
    """Subject, time and place in their order; where something is comes before a new subject ("bir aslan")."""
    time = (_time(frame),) if frame.time else ()
    place = (_place(frame),) if frame.place else ()
    goal = verbs()[frame.verb].valency in ("goal", "location")
    if shifted and time:
        return (subject, *time, *place)
    if goal or frame.subject.definite == (not shifted):
        return (*time, subject, *place)
    return (*time, *place, subject)


def _time(frame: Frame) -> Node:
    assert frame.time is not None
    row = _WORDS.times[frame.time]
    habitual = frame.tense == "present" and row["habit"] != ""
    form, tag = (row["habit"], "ADV") if habitual else (row["form"], row["tag"])
    relation = "advmod" if tag == "ADV" else "obl:tmod"
    return Node(form, tag, relation, _small_words(row["before"]), role="time", concept=frame.time)


def _place(frame: Frame) -> Node:
    """Where, in the locative, or where to, in the dative."""
    assert frame.place is not None
    goal = verbs()[frame.verb].valency == "goal"
    return _noun_phrase(frame.place, "dat" if goal else "loc", "obl", "place")


# Verbs


def _clause(frame: Frame, before: tuple[Node, ...]) -> Node:
    """The verb with what comes before it; the noun of a light verb ("yardım etti") comes last of that."""
    row = _WORDS.verbs[frame.verb]
    light = (Node(row["before"], "NOUN", "compound:lvc"),) if row["before"] else ()
    return Node(_verb_form(frame), "VERB", before=(*before, *light), role="verb", concept=frame.verb)


def _verb_form(frame: Frame) -> str:
    """The third person, which serves for plural subjects too when they are said."""
    row = _WORDS.verbs[frame.verb]
    if frame.negated:
        return attach(row["stem"], {"past": "mADI", "present": "mAz", "future": "mAyAcAk"}[frame.tense])
    if frame.tense == "present":
        return row["aorist"]
    if frame.tense == "past":
        return attach(row["stem"], "DI")
    return attach(row["future_stem"] or row["stem"], "(y)AcAk")


def _predicate(frame: Frame, subject: Node) -> Node:
    """ "Kayık kırmızı", "kayık kırmızıydı", "kayık kırmızı değildi", "kayık kırmızı olacak"."""
    assert frame.quality is not None
    form = _quality(frame.quality, frame.subject)
    copula = ""
    if frame.tense == "future":
        copula = _verb_form(frame)
    elif frame.negated:
        copula = "değildi" if frame.tense == "past" else "değil"
    elif frame.tense == "past":
        form = attach(form, "(y)DI")
    after = (Node(copula, "AUX", "cop", role="verb", concept="be"),) if copula else ()
    return Node(form, "ADJ", before=(subject,), after=after, role="quality", concept=frame.quality)


def _question_word(frame: Frame, slot: Slot) -> Node:
    """Who, what, where, where to or when, in the case of what it asks for."""
    if slot == "time":
        return Node("zaman", "NOUN", "obl", (Node("ne", "DET", "det"),))
    if slot == "place":
        goal = verbs()[frame.verb].valency == "goal"
        return Node("nereye" if goal else "nerede", "PRON", "obl")
    phrase: Phrase = getattr(frame, slot)
    if slot == "subject":
        if phrase.person:
            return Node("kim", "PRON", "nsubj")
        return Node("hayvan", "NOUN", "nsubj", (Node("hangi", "DET", "det"),))
    governs = _WORDS.verbs[frame.verb]["governs"]
    if slot == "recipient" or governs == "dat":
        return Node("kime" if phrase.person else "neye", "PRON", "obl")
    if governs == "ile":
        return Node("kiminle" if phrase.person else "neyle", "PRON", "obl")
    if phrase.person:
        return Node("kimi", "PRON", "obj")
    return Node("neyi" if _marked(frame) else "ne", "PRON", "obj")
