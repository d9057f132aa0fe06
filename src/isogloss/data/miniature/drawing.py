"""Frames drawn at random.

Drawing is random access: frame `index` of a split is a function of (seed, split, index) alone. Splits hold
different frames by construction: a hash of the frame's content, free of any seed, says which split it is in,
and a draw is repeated until it falls in the split asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import TypeVar

import numpy as np

from isogloss.core.seeds import generator
from isogloss.data.miniature.concepts import (
    Tense,
    Verb,
    adjectives_of,
    names,
    nouns_of,
    places,
    times,
    verbs,
)
from isogloss.data.miniature.frames import Frame, Phrase, Split, qualities_of

_T = TypeVar("_T")


class Dice:
    """A pocketful of uniform numbers, thrown one at a time: far cheaper than one generator call each."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._throws: Iterator[float] = iter(())

    def throw(self) -> float:
        """The next one, in [0, 1)."""
        for value in self._throws:
            return value
        self._throws = iter(self._rng.random(64).tolist())
        return next(self._throws)

    def chance(self, probability: float) -> bool:
        """True so often; takes one throw."""
        return self.throw() < probability

    def pick(self, options: Sequence[_T]) -> _T:
        """One of the options, all alike likely; takes one throw."""
        return options[int(self.throw() * len(options))]


def draw(seed: int, split: Split, index: int) -> Frame:
    """Frame `index` (0 or more) of a split; the same for the same arguments, whatever was drawn before."""
    dice = Dice(generator(seed, "miniature", split, index))
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


def _any_frame(dice: Dice) -> Frame:
    verb = dice.pick(_drawn_verbs())
    if verb.valency == "copula":
        return _quality_frame(dice, verb)
    habitual = verb.habit and dice.chance(0.2)
    tense: Tense = "present" if habitual else "past" if dice.chance(0.7) else "future"
    taken: list[str] = []
    subject = _phrase(dice, verb.subjects, taken, actor=True)
    recipient = _phrase(dice, verb.recipients, taken, actor=True) if verb.recipients else None
    thing = _phrase(dice, verb.objects, taken, general=habitual, many=verb.many) if verb.objects else None
    place = drawn_place(dice, verb, taken) if verb.valency == "goal" or dice.chance(0.45) else None
    time = _time(dice, tense) if dice.chance(0.85 if habitual else 0.6) else None
    # "Does not sing every day" leaves open what is denied, and languages differ on it.
    negated = dice.chance(0.15) and time not in ("every_day", "every_year")
    return Frame(verb.id, subject, tense, thing, recipient, place, time, negated=negated)


def _quality_frame(dice: Dice, verb: Verb) -> Frame:
    while True:
        subject = replace(
            _phrase(dice, verb.subjects, [], actor=True), definite=True, adjective=None, count=None
        )
        fitting = qualities_of(subject)
        if fitting:
            tense: Tense = "past" if dice.chance(0.5) else "present"
            quality = dice.pick(fitting).id
            return Frame(verb.id, subject, tense, quality=quality, negated=dice.chance(0.15))


def _phrase(
    dice: Dice,
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


def _fresh_name(dice: Dice, taken: list[str]) -> str:
    name = dice.pick([name for name in names() if name not in taken])
    taken.append(name)
    return name


def drawn_place(dice: Dice, verb: Verb, taken: list[str]) -> Phrase | None:
    """Where it happens, none of those in `taken`; None where nothing fits the verb."""
    common = tuple(kind for kind in verb.places if kind != "proper")
    if "proper" in verb.places and (not common or dice.chance(0.5)):
        return Phrase(dice.pick(list(places())), "place")
    fitting = [noun.id for noun in nouns_of(common) if noun.id not in taken]
    return Phrase(dice.pick(fitting)) if fitting else None


def _time(dice: Dice, tense: Tense) -> str:
    return dice.pick([time.id for time in times().values() if tense in time.tenses])
