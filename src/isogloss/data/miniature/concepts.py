"""What the miniature world holds: concepts with the features that make sentences sensible, in no language.

An id is an English-like lemma (`look_for`); ids are unique within a part of speech, not across them (`cook`
the person is a noun, `cook` the deed a verb). Words for the ids are in `lexicon/<language>/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from isogloss.data.miniature.tables import read_table

Valency: TypeAlias = Literal["intransitive", "transitive", "ditransitive", "goal", "location", "copula"]
Tense: TypeAlias = Literal["past", "present", "future"]

PARTS = ("verbs", "nouns", "adjectives", "names", "places", "times")
"""The tables of concepts; a language has a table of words of the same name for each."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A deed or state.

    Attributes:
        valency: `goal` verbs need a place they lead to, `location` is `lie` (a city lies in a country),
            `copula` is `be` with an adjective.
        topic: food, market, farming, home, school, music, travel or health; None when it tells no topic.
        subjects, objects, recipients: classes of nouns (`Noun.classes`) that fit the slot.
        places: what may say where: classes of nouns, and `proper` for cities and countries.
        many: takes no single thing as its object ("count").
        habit: sensible as a habit, and so in the present.
        opposite: id of the verb that undoes it or is its reverse, or None.
    """

    id: str
    valency: Valency
    topic: str | None
    subjects: tuple[str, ...]
    objects: tuple[str, ...]
    recipients: tuple[str, ...]
    many: bool
    places: tuple[str, ...]
    habit: bool
    opposite: str | None


@dataclass(frozen=True, slots=True)
class Noun:
    """A kind of thing. `mass` nouns (bread) are neither counted nor in the plural."""

    id: str
    classes: tuple[str, ...]
    mass: bool

    @property
    def person(self) -> bool:
        """Whether it is of the class of persons."""
        return "person" in self.classes

    @property
    def animate(self) -> bool:
        """A person or an animal."""
        return "person" in self.classes or "animal" in self.classes


@dataclass(frozen=True, slots=True)
class Adjective:
    """A quality. `fits` holds classes and ids of nouns; `opposite` is an adjective's id or None."""

    id: str
    fits: tuple[str, ...]
    opposite: str | None


@dataclass(frozen=True, slots=True)
class Name:
    """A person's first name."""

    id: str
    gender: Literal["f", "m"]


@dataclass(frozen=True, slots=True)
class Place:
    """A city, with the country it lies in, or a country."""

    id: str
    type: Literal["city", "country"]
    country: str | None


@dataclass(frozen=True, slots=True)
class Time:
    """A time adverbial and the tenses it goes with."""

    id: str
    tenses: tuple[Tense, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """What a deed tends to bring about: `effect` is a verb, the slots say which of the cause's fill its own.

    `subject` and `object` are slots of the cause; `object` is None for an intransitive effect. `no_effects` are
    verbs that would be an unlikely effect of the cause, `no_causes` an unlikely cause of the effect: what merely
    might happen too (buying what one then eats) is in neither. `exchanged` among them is the same verb with its
    persons in each other's place.
    """

    cause: str
    effect: str
    subject: str
    object: str | None
    no_effects: tuple[str, ...]
    no_causes: tuple[str, ...]


@cache
def verbs() -> Mapping[str, Verb]:
    """Every verb by id."""
    return {
        id: Verb(
            id,
            valency=row["valency"],  # type: ignore[arg-type]
            topic=row["topic"] or None,
            subjects=tuple(row["subjects"].split()),
            objects=tuple(row["objects"].split()),
            recipients=tuple(row["recipients"].split()),
            many=row["many"] == "yes",
            places=tuple(row["places"].split()),
            habit=row["habit"] == "yes",
            opposite=row["opposite"] or None,
        )
        for id, row in read_table("verbs.tsv").items()
    }


@cache
def nouns() -> Mapping[str, Noun]:
    """Every noun by id."""
    return {
        id: Noun(id, tuple(row["classes"].split()), row["mass"] == "mass")
        for id, row in read_table("nouns.tsv").items()
    }


@cache
def adjectives() -> Mapping[str, Adjective]:
    """Every adjective by id."""
    return {
        id: Adjective(id, tuple(row["fits"].split()), row["opposite"] or None)
        for id, row in read_table("adjectives.tsv").items()
    }


@cache
def names() -> Mapping[str, Name]:
    """Every first name by id."""
    return {id: Name(id, row["gender"]) for id, row in read_table("names.tsv").items()}  # type: ignore[arg-type]


@cache
def places() -> Mapping[str, Place]:
    """Every city and country by id."""
    return {
        id: Place(id, row["type"], row["country"] or None)  # type: ignore[arg-type]
        for id, row in read_table("places.tsv").items()
    }


@cache
def times() -> Mapping[str, Time]:
    """Every time adverbial by id."""
    return {
        id: Time(id, tuple(row["tenses"].split()))  # type: ignore[arg-type]
        for id, row in read_table("times.tsv").items()
    }


@cache
def links() -> Mapping[str, Link]:
    """What follows from a verb, by the id of the cause."""
    return {
        id: Link(
            id,
            row["effect"],
            row["subject"],
            row["object"] or None,
            no_effects=tuple(row["no_effects"].split()),
            no_causes=tuple(row["no_causes"].split()),
        )
        for id, row in read_table("links.tsv").items()
    }


@cache
def nouns_of(classes: tuple[str, ...]) -> tuple[Noun, ...]:
    """The nouns with one of these classes or ids, in the order of the table."""
    wanted = set(classes)
    return tuple(noun for noun in nouns().values() if noun.id in wanted or wanted & set(noun.classes))


@cache
def adjectives_of(noun: str) -> tuple[Adjective, ...]:
    """The adjectives that fit a noun, in the order of the table."""
    kind = nouns()[noun]
    fitting = {noun, *kind.classes}
    return tuple(adjective for adjective in adjectives().values() if fitting & set(adjective.fits))
