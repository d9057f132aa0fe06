"""Gold for every kind of task, read off the frames: a function per task, and the table that names them.

Item *i* of a split is about the same frame in every language, and has the same id. A language whose two styles
coincide for a frame has no paraphrase of it, so that item is missing there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count as count_from
from itertools import cycle, islice
from typing import TypeAlias

from isogloss.core.errors import DataError, did_you_mean
from isogloss.core.seeds import generator
from isogloss.data.miniature.concepts import links, places, verbs
from isogloss.data.miniature.drawing import draw, facts
from isogloss.data.miniature.frames import Frame, Phrase, Slot, Split, fits
from isogloss.data.miniature.languages import teller
from isogloss.data.miniature.variations import (
    askable,
    consequence,
    denied,
    elsewhere,
    opposite,
    other_time,
    retold,
    simpler,
    unlikely,
)
from isogloss.data.records import (
    GAP,
    ChoiceExample,
    Example,
    GapExample,
    LabelExample,
    SpanExample,
    TagsExample,
    TextExample,
    TreeExample,
)

VERSION = 2
"""Goes up whenever a sentence changes, so that cached token files are made again."""

FACT_EVERY = 25
"""In running text, each so manieth sentence is a fact, so that cloze facts can be learnt."""

Maker: TypeAlias = Callable[[str, Split, int], Iterator[Example]]


def sentences(language: str, split: Split, count: int, *, seed: int = 0) -> Iterator[str]:
    """Running text: the first `count` sentences of a split; equal positions say the same in all languages."""
    tell = teller(language).tell
    known = facts()
    for index in range(count):
        if index % FACT_EVERY == FACT_EVERY - 1:
            yield tell(known[index // FACT_EVERY % len(known)], style=index // FACT_EVERY % 2).text
        else:
            yield tell(draw(seed, split, index), style=_coin(seed, "style", split, index)).text


def task_examples(task: str, language: str, split: Split, count: int, *, seed: int = 0) -> list[Example]:
    """The first `count` examples of a task; fewer where the world holds fewer (cloze: one per fact).

    Raises:
        DataError: no task of that name.
        LanguageError: a language the world is not told in.
    """
    if task not in GOLD:
        raise DataError(f"no task {task!r} in the miniature world", fix=did_you_mean(task, GOLD))
    return list(islice(GOLD[task](language, split, seed), count))


def _frames(split: Split, seed: int) -> Iterator[tuple[str, int, Frame]]:
    """Every frame of a split with an id for the item and its index; endless."""
    return ((f"{split}-{index}", index, draw(seed, split, index)) for index in count_from())


def _coin(seed: int, *names: str | int, sides: int = 2) -> int:
    return int(generator(seed, "miniature", *names).integers(sides))


def _text(language: str, split: Split, seed: int) -> Iterator[Example]:
    tell = teller(language).tell
    return (TextExample(id, language, tell(frame).text) for id, _, frame in _frames(split, seed))


def _topic(language: str, split: Split, seed: int) -> Iterator[Example]:
    tell = teller(language).tell
    for id, index, frame in _frames(split, seed):
        if frame.topic is not None:
            style = _coin(seed, "topic", split, index)
            yield LabelExample(id, language, tell(frame, style=style).text, None, frame.topic)


# Inference and paraphrase


def _inference(language: str, split: Split, seed: int) -> Iterator[Example]:
    """The three labels in turn, each with the next frame that can bear it."""
    tell = teller(language).tell
    wanted = cycle(_HYPOTHESES)
    label = next(wanted)
    for id, index, frame in _frames(split, seed):
        hypothesis = _HYPOTHESES[label](frame, seed)
        if hypothesis is not None:
            style = _coin(seed, "nli", split, index)
            yield LabelExample(id, language, tell(frame, style=style).text, tell(hypothesis).text, label)
            label = next(wanted)


def _entailed(frame: Frame, seed: int) -> Frame | None:
    """One or two modifiers fewer, which is true of less only while nothing is denied."""
    options = () if frame.negated else simpler(frame)
    if not options:
        return None
    first = options[_coin(seed, "entailed", repr(frame), sides=len(options))]
    further = simpler(first)
    return further[0] if further and _coin(seed, "further", repr(frame)) else first


def _undecided(frame: Frame, seed: int) -> Frame | None:
    """A place or time that the premise leaves open; one given would be contradicted by another."""
    if frame.negated or frame.tense == "present":
        return None
    options = [
        *([elsewhere(frame, seed)] if frame.place is None else []),
        *([other_time(frame, seed)] if frame.time is None else []),
    ]
    possible = [option for option in options if option is not None]
    return possible[_coin(seed, "undecided", repr(frame), sides=len(possible))] if possible else None


def _contradicting(frame: Frame, seed: int) -> Frame | None:
    """Denied as a whole or in a simpler form, or said of the opposite quality.

    What a negated premise denies in full may still hold in part, so it is contradicted only whole. Nothing is
    denied of a new subject: another dog may not have slept.
    """
    if not frame.subject.definite:
        return None
    if frame.negated:
        return denied(frame)
    other = opposite(frame) if frame.quality is not None else None
    weaker = [less for less in simpler(frame) if less.subject.definite]
    options = [*([other] if other else []), denied(frame), *(denied(less) for less in weaker)]
    return options[_coin(seed, "contradicting", repr(frame), sides=len(options))]


_HYPOTHESES: Mapping[str, Callable[[Frame, int], Frame | None]] = {
    "entailment": _entailed,
    "neutral": _undecided,
    "contradiction": _contradicting,
}


def _paraphrase(language: str, split: Split, seed: int) -> Iterator[Example]:
    tell = teller(language).tell
    for id, index, frame in _frames(split, seed):
        same = index % 2 == 0
        other = frame if same else _lookalike(frame, seed)
        if other is None:
            continue
        first, second = tell(frame).text, tell(other, style=1).text
        if first != second:
            yield LabelExample(id, language, first, second, "1" if same else "0")


def _lookalike(frame: Frame, seed: int) -> Frame | None:
    """Much the same words and another meaning: the parts exchanged, else another place or time, or a denial."""
    if frame.object is not None and _exchangeable(frame):
        return replace(frame, subject=frame.object, object=frame.subject)
    changed = elsewhere(frame, seed) if frame.place is not None else None
    if changed is None and frame.time is not None:
        changed = other_time(frame, seed)
    return changed or denied(frame)


def _exchangeable(frame: Frame) -> bool:
    verb = verbs()[frame.verb]
    assert frame.object is not None
    return (
        verb.id != "meet"  # meeting is mutual: exchanged, it says the same
        and fits(frame.object, verb.subjects)
        and fits(frame.subject, verb.objects)
    )


# Cause and effect


def _copa(language: str, split: Split, seed: int) -> Iterator[Example]:
    tell = teller(language).tell
    for id, index, frame in _frames(split, seed):
        effect = consequence(frame)
        if effect is None:
            continue
        question = ("effect", "cause")[_coin(seed, "question", split, index)]
        premise, right = (frame, effect) if question == "effect" else (effect, retold(frame))
        link = links()[frame.verb]
        wrong = _unlikely(right, link.no_effects if question == "effect" else link.no_causes, seed)
        if wrong is None:
            continue
        answer = _coin(seed, "answer", split, index)
        told = [tell(right).text, tell(wrong).text]
        choices = (told[answer], told[1 - answer])
        yield ChoiceExample(id, language, tell(premise).text, question, choices, answer)


def _unlikely(right: Frame, candidates: tuple[str, ...], seed: int) -> Frame | None:
    """The right choice with one of these verbs; None when none of them fits its parts."""
    frames = [other for verb in candidates if (other := unlikely(right, verb)) is not None]
    return frames[_coin(seed, "unlikely", repr(right), sides=len(frames))] if frames else None


# Facts


def _cloze(language: str, split: Split, seed: int) -> Iterator[Example]:
    """Each fact with its country left out, among four countries; the same facts in every split."""
    countries = [place.id for place in places().values() if place.type == "country"]
    for index, fact in enumerate(facts()):
        assert fact.place is not None
        right = fact.place.head
        others = [country for country in countries if country != right]
        chosen = generator(seed, "miniature", "cloze", index).permutation(len(others))[:3]
        options = sorted([right, *(others[at] for at in chosen)])
        told = {country: _lying_in(language, fact, country) for country in options}
        (start, answer), text = told[right]
        prompt = text[:start] + GAP + text[start + len(answer) :]
        candidates = tuple(told[country][0][1] for country in options)
        yield GapExample(f"fact-{index}", language, prompt, candidates, (answer,))


def _lying_in(language: str, fact: Frame, country: str) -> tuple[tuple[int, str], str]:
    """The span that tells the country, with its preposition or ending, and the whole text."""
    telling = teller(language).tell(replace(fact, place=Phrase(country, "place")))
    return telling.span("place"), telling.text


# Words and trees


def _entities(language: str, split: Split, seed: int) -> Iterator[Example]:
    tell = teller(language).tell
    for id, _, frame in _frames(split, seed):
        words = tell(frame).words
        yield TagsExample(id, language, tuple(w.form for w in words), tuple(w.entity for w in words))


def _parts_of_speech(language: str, split: Split, seed: int) -> Iterator[Example]:
    tell = teller(language).tell
    for id, _, frame in _frames(split, seed):
        words = tell(frame).words
        yield TagsExample(id, language, tuple(w.form for w in words), tuple(w.tag for w in words))


def _trees(language: str, split: Split, seed: int) -> Iterator[Example]:
    tell = teller(language).tell
    for id, index, frame in _frames(split, seed):
        words = tell(frame, style=_coin(seed, "tree", split, index)).words
        yield TreeExample(
            id,
            language,
            words=tuple(w.form for w in words),
            tags=tuple(w.tag for w in words),
            heads=tuple(w.head for w in words),
            relations=tuple(w.relation for w in words),
        )


# Questions


def _questions(language: str, split: Split, seed: int) -> Iterator[Example]:
    """A story of three sentences and a question that one of them answers."""
    said = teller(language)
    for number in count_from():
        story = [draw(seed, split, 3 * number + part) for part in range(3)]
        place = _coin(seed, "asked", split, number, sides=3)
        frame = story[place]
        slots = askable(frame)
        if not slots or not _apart({one.verb for one in story}):
            continue
        slot: Slot = slots[_coin(seed, "slot", split, number, sides=len(slots))]
        tellings = [said.tell(one) for one in story]
        context = " ".join(telling.text for telling in tellings)
        before = sum(len(telling.text) + 1 for telling in tellings[:place])
        start, answer = tellings[place].span(slot)
        yield SpanExample(
            f"{split}-{number}", language, said.ask(frame, slot), context, ((before + start, answer),)
        )


_TOLD_ALIKE = ({"bake", "cook"}, {"play", "steal"})
"""Turkish has one verb for each pair, so that a question could be for either deed."""


def _apart(deeds: set[str]) -> bool:
    """Whether the three sentences of a story have verbs that are told apart in every language."""
    return len(deeds) == 3 and not any(pair <= deeds for pair in _TOLD_ALIKE)


GOLD: Mapping[str, Maker] = {
    "lm": _text,
    "topic": _topic,
    "nli": _inference,
    "paraphrase": _paraphrase,
    "copa": _copa,
    "cloze": _cloze,
    "ner": _entities,
    "pos": _parts_of_speech,
    "parsing": _trees,
    "qa": _questions,
}
