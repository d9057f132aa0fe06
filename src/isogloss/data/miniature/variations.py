"""Frames made from frames, for tasks about pairs of sentences and about questions."""

from __future__ import annotations

from dataclasses import replace

from isogloss.core.seeds import generator
from isogloss.data.miniature.concepts import (
    Verb,
    adjectives,
    links,
    times,
    verbs,
)
from isogloss.data.miniature.drawing import Dice, drawn_place
from isogloss.data.miniature.frames import Frame, Phrase, Slot, fits, qualities_of


def denied(frame: Frame) -> Frame:
    """The same with its negation turned over: a contradiction."""
    return replace(frame, negated=not frame.negated)


def opposite(frame: Frame) -> Frame | None:
    """The same with the quality, or else the verb, turned into its opposite; None when none fits.

    For a quality this contradicts the frame ("the soup was hot", "cold"), unless the frame is negated. For a
    verb it does so only loosely: one can open and close the same door.
    """
    if frame.quality is not None:
        other = adjectives()[frame.quality].opposite
        fitting = {adjective.id for adjective in qualities_of(frame.subject)}
        return replace(frame, quality=other) if other in fitting else None
    other = verbs()[frame.verb].opposite
    return replace(frame, verb=other) if other else None


def simpler(frame: Frame) -> tuple[Frame, ...]:
    """The frame with one modifier left out, in each way: what it entails, unless it is negated.

    Habits are left out: "every day in summer" need not be every day. So are the places that `goal` verbs need.
    """
    found = []
    if frame.tense != "present" and frame.time is not None:
        found.append(replace(frame, time=None))
    if frame.place is not None and verbs()[frame.verb].valency not in ("goal", "location"):
        found.append(replace(frame, place=None))
    for slot in ("subject", "object", "recipient"):
        phrase: Phrase | None = getattr(frame, slot)
        if phrase is None:
            continue
        if phrase.adjective is not None:
            found.append(_with(frame, slot, replace(phrase, adjective=None)))
        if phrase.owner is not None and frame.quality is None:
            found.append(_with(frame, slot, replace(phrase, owner=None, definite=False)))
        if phrase.count is not None:
            found.append(_with(frame, slot, replace(phrase, count=None)))
    return tuple(found)


def consequence(frame: Frame) -> Frame | None:
    """What the deed tends to bring about, told in the same tense without place or time; None if unknown.

    A thing brought in by the cause is known in the effect: "a cup" becomes "the cup". None for negated frames
    and when the parts do not fit the effect's verb.
    """
    link = links().get(frame.verb)
    if link is None or frame.negated or frame.tense == "present":
        return None
    subject: Phrase | None = getattr(frame, link.subject)
    thing: Phrase | None = getattr(frame, link.object) if link.object else None
    if subject is None or (link.object and thing is None):
        return None
    effect = verbs()[link.effect]
    if not fits(subject, effect.subjects) or (thing is not None and not fits(thing, effect.objects)):
        return None
    return Frame(effect.id, _known(subject), frame.tense, object=_known(thing) if thing else None)


def retold(frame: Frame) -> Frame:
    """A cause, told after its effect: what the effect has named is known by now. As it is if nothing follows."""
    link = links().get(frame.verb)
    if link is None:
        return frame
    for slot in (link.subject, link.object):
        if slot is not None:
            frame = _with(frame, slot, _known(getattr(frame, slot)))
    return frame


def unlikely(frame: Frame, verb: str) -> Frame | None:
    """The same of another verb, without the parts it does not take; None when those it takes do not fit.

    For "exchanged", the same verb with its persons in each other's place.
    """
    if verb == "exchanged":
        return _exchanged(frame)
    other = verbs()[verb]
    thing = frame.object if other.objects else None
    recipient = frame.recipient if other.recipients else None
    wanted = ((frame.subject, other.subjects), (thing, other.objects), (recipient, other.recipients))
    if any(classes and (phrase is None or not fits(phrase, classes)) for phrase, classes in wanted):
        return None
    place = frame.place if frame.place is not None and _happens_in(other, frame.place) else None
    return replace(frame, verb=verb, object=thing, recipient=recipient, place=place)


def _exchanged(frame: Frame) -> Frame | None:
    """Subject and recipient, or else subject and object, in each other's place; None when they do not fit there."""
    verb = verbs()[frame.verb]
    slot, classes = ("recipient", verb.recipients) if verb.recipients else ("object", verb.objects)
    other: Phrase | None = getattr(frame, slot)
    if other is None or not fits(other, verb.subjects) or not fits(frame.subject, classes):
        return None
    return _with(replace(frame, subject=other), slot, frame.subject)


def _happens_in(verb: Verb, place: Phrase) -> bool:
    return "proper" in verb.places if place.kind == "place" else fits(place, verb.places)


def elsewhere(frame: Frame, seed: int) -> Frame | None:
    """The same with a place added or another place: neither entailed nor contradicted. None if it takes none."""
    return _redrawn_place(frame, Dice(generator(seed, "miniature", "elsewhere", repr(frame))))


def other_time(frame: Frame, seed: int) -> Frame | None:
    """The same with a time added or another time of the same tense. None for the copula and `lie`."""
    if frame.quality is not None or verbs()[frame.verb].valency == "location":
        return None
    dice = Dice(generator(seed, "miniature", "time", repr(frame)))
    options = [t.id for t in times().values() if frame.tense in t.tenses and t.id != frame.time]
    return replace(frame, time=dice.pick(options))


def askable(frame: Frame) -> tuple[Slot, ...]:
    """The slots that a question in any of the languages can ask for and a span of the telling can answer.

    Not the verb or the quality; not the time of a habit ("how often"); nothing of negated or copular frames.
    """
    if frame.negated or frame.quality is not None:
        return ()
    wanted: tuple[Slot, ...] = ("subject", "object", "recipient", "place", "time")
    if verbs()[frame.verb].valency == "location":
        return ("place",)
    return tuple(
        slot
        for slot in wanted
        if getattr(frame, slot) is not None and not (slot == "time" and frame.tense == "present")
    )


def asked(frame: Frame, slot: Slot) -> Frame:
    """What a question for a slot repeats: the slot empty, and the other participants known by now.

    A subject stays, since a frame has one; leave it out when `slot` is "subject".
    """
    kept = frame if slot == "subject" else replace(frame, **{slot: None})  # type: ignore[arg-type]
    if frame.tense == "present":
        return kept
    for other in ("subject", "object", "recipient"):
        phrase: Phrase | None = getattr(kept, other)
        if phrase is not None and phrase.count is None:
            kept = _with(kept, other, replace(phrase, definite=True))
    return kept


def _redrawn_place(frame: Frame, dice: Dice) -> Frame | None:
    verb = verbs()[frame.verb]
    if not verb.places or verb.valency == "location":
        return None
    taken = [p.head for p in (frame.subject, frame.object, frame.recipient, frame.place) if p is not None]
    for _ in range(100):
        place = drawn_place(dice, verb, taken)
        if place is not None and place != frame.place:
            return replace(frame, place=place)
    return None


def _known(phrase: Phrase) -> Phrase:
    """As a second mention has it: "two red cups" are "the cups"."""
    if phrase.kind != "noun":
        return phrase
    return replace(phrase, definite=True, adjective=None, count=None, owner=None)


def _with(frame: Frame, slot: str, phrase: Phrase) -> Frame:
    return replace(frame, **{slot: phrase})  # type: ignore[arg-type]
