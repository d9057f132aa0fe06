"""A frame: who did what to whom, where, when, how many, and whether it was denied, in no language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from isogloss.data.miniature.concepts import (
    Adjective,
    Tense,
    adjectives_of,
    nouns,
    nouns_of,
    verbs,
)

Split: TypeAlias = Literal["train", "dev", "test"]
Slot: TypeAlias = Literal["subject", "verb", "object", "recipient", "place", "time", "quality"]
SLOTS: tuple[Slot, ...] = ("subject", "verb", "object", "recipient", "place", "time", "quality")


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


def fits(phrase: Phrase, classes: tuple[str, ...]) -> bool:
    """Whether a participant is of one of the classes (or ids) that a verb asks for."""
    if phrase.kind == "name":
        return "person" in classes
    return phrase.kind == "noun" and nouns()[phrase.head] in nouns_of(classes)


def qualities_of(phrase: Phrase) -> tuple[Adjective, ...]:
    """What a participant can be; any person can be what a friend can be."""
    return adjectives_of("friend" if phrase.kind == "name" else phrase.head)
