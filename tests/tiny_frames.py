"""Persons, things and deeds of the embedded world, as the tests of its languages write them."""

from __future__ import annotations

from isogloss.data.miniature.frames import Frame, Phrase

ANNA, OMAR, PAUL = (Phrase(name, "name") for name in ("Anna", "Omar", "Paul"))
PARIS, ROME = (Phrase(name, "place") for name in ("Paris", "Rome"))


def frame(verb: str, subject: Phrase = ANNA, tense: str = "past", **slots) -> Frame:
    """Who does what; Anna did where nothing else is said."""
    return Frame(verb, subject, tense, **slots)  # type: ignore[arg-type]


def noun(head: str, **features) -> Phrase:
    """The one thing that is known."""
    return Phrase(head, **features)


def some(head: str, **features) -> Phrase:
    """One of its kind."""
    return Phrase(head, definite=False, **features)


def several(head: str, count: int | None = None, **features) -> Phrase:
    """So many of a kind, or all that somebody has."""
    return Phrase(head, plural=True, definite="owner" in features, count=count, **features)


GIFT = frame("send", object=some("letter"), recipient=noun("judge"), place=PARIS, time="last_week")
LETTER = frame("send", object=some("letter"), recipient=noun("judge"), place=ROME, time="yesterday")
