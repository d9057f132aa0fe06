"""A frame: who did what to whom, where, when, how many, and whether it was denied, in no language.

Drawing is random access: frame `index` of a split is a function of (seed, split, index) alone. Splits hold
different frames by construction: a hash of the frame's content, free of any seed, says which split it is in,
and a draw is repeated until it falls in the split asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from isogloss.core.seeds import generator
from isogloss.data.miniature.concepts import (
    Adjective,
    Tense,
    Verb,
    adjectives,
    adjectives_of,
    links,
    names,
    nouns,
    nouns_of,
    places,
    times,
    verbs,
)

Split: TypeAlias = Literal["train", "dev", "test"]
Slot: TypeAlias = Literal["subject", "verb", "object", "recipient", "place", "time", "quality"]
SLOTS: tuple[Slot, ...] = ("subject", "verb", "object", "recipient", "place", "time", "quality")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A participant or a place.

    Attributes:
        head: id of a name, a noun or a place, as `kind` says.
        plural: more than one; only for nouns that are not mass nouns.
        definite: already known ("the boat"); True for names and places, and whenever there is an owner.
        adjective: id of an attributive adjective, or None. Nouns only.
        count: 2 to 10, always with `plural`; None when not counted. Definite only with an owner.
        owner: id of the name of the person who has it, or None. Nouns only.
    """

    head: str
    kind: Literal["name", "noun", "place"] = "noun"
    plural: bool = False
    definite: bool = True
    adjective: str | None = None
    count: int | None = None
    owner: str | None = None

    @property
    def person(self) -> bool:
        """Asked for with "who" rather than "what"."""
        return self.kind == "name" or (self.kind == "noun" and nouns()[self.head].person)

    @property
    def animate(self) -> bool:
        """A person or an animal."""
        return self.kind == "name" or (self.kind == "noun" and nouns()[self.head].animate)

    @property
    def mass(self) -> bool:
        """A noun without a plural, such as "bread"."""
        return self.kind == "noun" and nouns()[self.head].mass


@dataclass(frozen=True, slots=True)
class Frame:
    """What a sentence says.

    Attributes:
        verb: id of a verb; its valency says which slots are filled.
        tense: the present is habitual, never "just now".
        place: where it happens, or where to for `goal` verbs; a proper place or a definite singular noun.
        time: id of a time adverbial, or None.
        quality: id of the predicate adjective of the copula `be`, else None. Such frames have no place or
            time, and a definite subject without adjective or count.
        negated: the whole is denied.
    """

    verb: str
    subject: Phrase
    tense: Tense
    object: Phrase | None = None
    recipient: Phrase | None = None
    place: Phrase | None = None
    time: str | None = None
    quality: str | None = None
    negated: bool = False

    @property
    def topic(self) -> str | None:
        """The verb's topic; None when it tells none."""
        return verbs()[self.verb].topic

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots that a telling must show. Copular frames show the quality, and `verb` is optional."""
        return tuple(
            slot
            for slot in SLOTS
            if getattr(self, slot) is not None and not (slot == "verb" and self.quality is not None)
        )


# Drawing


class _Dice:
    """A pocketful of uniform numbers, thrown one at a time: far cheaper than one generator call each."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._throws: Iterator[float] = iter(())

    def throw(self) -> float:
        for value in self._throws:
            return value
        self._throws = iter(self._rng.random(64).tolist())
        return next(self._throws)

    def chance(self, probability: float) -> bool:
        return self.throw() < probability

    def pick(self, options: Sequence[_T]) -> _T:
        return options[int(self.throw() * len(options))]


def draw(seed: int, split: Split, index: int) -> Frame:
    """Frame `index` (0 or more) of a split; the same for the same arguments, whatever was drawn before."""
    dice = _Dice(generator(seed, "miniature", split, index))
    while True:
        frame = _any_frame(dice)
        if split_of(frame) == split:
            return frame


def split_of(frame: Frame) -> Split:
    """Where a frame belongs by its content: of a hundred, 90 in train, 5 in dev, 5 in test."""
    digest = hashlib.blake2b(repr(frame).encode(), digest_size=8).digest()
    bucket = int.from_bytes(digest, "big") % 100
    return "train" if bucket < 90 else "dev" if bucket < 95 else "test"


@cache
def facts() -> tuple[Frame, ...]:
    """What is true in the miniature world: each city lies in its country. `draw` never tells these."""
    return tuple(
        Frame("lie", Phrase(place.id, "place"), "present", place=Phrase(place.country, "place"))
        for place in places().values()
        if place.country is not None
    )


@cache
def _drawn_verbs() -> tuple[Verb, ...]:
    """The verbs to draw from, the copula four times since it carries every adjective."""
    drawn = [verb for verb in verbs().values() if verb.valency != "location"]
    return (*drawn, *(3 * [verbs()["be"]]))


def _any_frame(dice: _Dice) -> Frame:
    verb = dice.pick(_drawn_verbs())
    if verb.valency == "copula":
        return _quality_frame(dice, verb)
    habitual = verb.habit and dice.chance(0.2)
    tense: Tense = "present" if habitual else "past" if dice.chance(0.7) else "future"
    taken: list[str] = []
    subject = _phrase(dice, verb.subjects, taken, actor=True)
    recipient = _phrase(dice, verb.recipients, taken, actor=True) if verb.recipients else None
    thing = _phrase(dice, verb.objects, taken, general=habitual, many=verb.many) if verb.objects else None
    place = _place(dice, verb, taken) if verb.valency == "goal" or dice.chance(0.45) else None
    time = _time(dice, tense) if dice.chance(0.85 if habitual else 0.6) else None
    # "Does not sing every day" leaves open what is denied, and languages differ on it.
    negated = dice.chance(0.15) and time not in ("every_day", "every_year")
    return Frame(verb.id, subject, tense, thing, recipient, place, time, negated=negated)


def _quality_frame(dice: _Dice, verb: Verb) -> Frame:
    while True:
        subject = replace(
            _phrase(dice, verb.subjects, [], actor=True), definite=True, adjective=None, count=None
        )
        fitting = _fitting(subject)
        if fitting:
            tense: Tense = "past" if dice.chance(0.5) else "present"
            quality = dice.pick(fitting).id
            return Frame(verb.id, subject, tense, quality=quality, negated=dice.chance(0.15))


def _fitting(phrase: Phrase) -> tuple[Adjective, ...]:
    """What a participant can be; any person can be what a friend can be."""
    return adjectives_of("friend" if phrase.kind == "name" else phrase.head)


def _phrase(
    dice: _Dice,
    classes: tuple[str, ...],
    taken: list[str],
    *,
    actor: bool = False,
    general: bool = False,
    many: bool = False,
) -> Phrase:
    """A participant of one of the classes, none of it in `taken`, to which its ids are added.

    Args:
        actor: likelier to be named or definite, as subjects and recipients are.
        general: a kind rather than an individual ("apples", "milk"), as habits have it.
        many: more than one, unless it is a mass.
    """
    if "person" in classes and not general and dice.chance(0.5 if actor else 0.4):
        return Phrase(_fresh_name(dice, taken), "name")
    noun = dice.pick([noun for noun in nouns_of(classes) if noun.id not in taken])
    taken.append(noun.id)
    fitting = adjectives_of(noun.id)
    adjective = dice.pick(fitting).id if fitting and dice.chance(0.35) else None
    if general:
        return Phrase(noun.id, plural=not noun.mass, definite=False, adjective=adjective)
    plural = not noun.mass and (many or dice.chance(0.3))
    count = 2 + int(dice.throw() * 9) if plural and dice.chance(0.5) else None
    owned = not noun.person and dice.chance(0.15)
    owner = _fresh_name(dice, taken) if owned else None
    definite = owned or (count is None and (dice.chance(0.6) or (actor and (plural or noun.mass))))
    return Phrase(noun.id, plural=plural, definite=definite, adjective=adjective, count=count, owner=owner)


def _fresh_name(dice: _Dice, taken: list[str]) -> str:
    name = dice.pick([name for name in names() if name not in taken])
    taken.append(name)
    return name


def _place(dice: _Dice, verb: Verb, taken: list[str]) -> Phrase | None:
    common = tuple(kind for kind in verb.places if kind != "proper")
    if "proper" in verb.places and (not common or dice.chance(0.5)):
        return Phrase(dice.pick(list(places())), "place")
    fitting = [noun.id for noun in nouns_of(common) if noun.id not in taken]
    return Phrase(dice.pick(fitting)) if fitting else None


def _time(dice: _Dice, tense: Tense) -> str:
    return dice.pick([time.id for time in times().values() if tense in time.tenses])


# Variations, for tasks about pairs of sentences


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
        fitting = {adjective.id for adjective in _fitting(frame.subject)}
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
    return _redrawn_place(frame, _Dice(generator(seed, "miniature", "elsewhere", repr(frame))))


def other_time(frame: Frame, seed: int) -> Frame | None:
    """The same with a time added or another time of the same tense. None for the copula and `lie`."""
    if frame.quality is not None or verbs()[frame.verb].valency == "location":
        return None
    dice = _Dice(generator(seed, "miniature", "time", repr(frame)))
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


def _redrawn_place(frame: Frame, dice: _Dice) -> Frame | None:
    verb = verbs()[frame.verb]
    if not verb.places or verb.valency == "location":
        return None
    taken = [p.head for p in (frame.subject, frame.object, frame.recipient, frame.place) if p is not None]
    for _ in range(100):
        place = _place(dice, verb, taken)
        if place is not None and place != frame.place:
            return replace(frame, place=place)
    return None


def fits(phrase: Phrase, classes: tuple[str, ...]) -> bool:
    """Whether a participant is of one of the classes (or ids) that a verb asks for."""
    if phrase.kind == "name":
        return "person" in classes
    return phrase.kind == "noun" and nouns()[phrase.head] in nouns_of(classes)


def _known(phrase: Phrase) -> Phrase:
    """As a second mention has it: "two red cups" are "the cups"."""
    if phrase.kind != "noun":
        return phrase
    return replace(phrase, definite=True, adjective=None, count=None, owner=None)


def _with(frame: Frame, slot: str, phrase: Phrase) -> Frame:
    return replace(frame, **{slot: phrase})  # type: ignore[arg-type]
