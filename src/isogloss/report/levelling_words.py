"""What levelling did, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from isogloss.report.headline import listed
from isogloss.report.measurements import language_name
from isogloss.report.numbers import percent

Facts: TypeAlias = Mapping[str, Any]

_SELECTORS = {
    "confidence": "how sure each was, on average, of what all of them voted for",
    "confidence-others": "how sure each was, on average, of what the others voted for",
    "agreement": "how often each said what the others voted for",
    "agreement-own": "how often each said what all of them voted for",
    "reliability": "how often each is right, as Dawid and Skene estimate it from their agreements",
    "source": "how often each says what the source language says",
    "random": "drawing lots",
    "all": "letting all teach",
    "list": "their names in the recipe",
}


def _names(tags: Sequence[str]) -> str:
    return listed([language_name(tag) for tag in tags])


def aim(facts: Facts, recipe: Facts) -> str:
    """Who taught whom, and towards what, from `levelling.json` and the recipe."""
    teachers, students, towards = facts["teachers"], facts["students"], facts["aim"]
    items = f"{facts['items']['learnt']:,} unlabelled items"
    if towards == "self":
        alone = (recipe.get("distillation") or {}).get("learners") == "source"
        who = language_name(facts["source"]) if alone and facts["source"] else "Each language"
        return f"Self-training: {who} learnt from its own surest answers to {items}; nobody taught another."
    taught = f"{_names(teachers)} taught {_names(students) if students else 'one another'}"
    drawn = {
        "consensus": "every language was drawn to what the teachers believe together, each weighing as "
        "much as it is reliable",
        "pairs": "every language was drawn to each teacher",
    }
    return f"{taught} on {items}: {drawn.get(towards, towards)}."


def ending(facts: Facts) -> str:
    """How far the training went, what the guards refused, and which weights were kept."""
    guards = facts["guards"]
    steps = f"{guards['steps']:,} step{'s' * (guards['steps'] != 1)}"
    if guards["put_back"]:
        return (
            f"Nothing was kept of {steps}, and the model from before was put back: "
            f"{spelt_out(guards['put_back'], facts)}."
        )
    if guards["refused"]:
        why = spelt_out(guards["refused"], facts)
        kept = f"the weights of step {guards['kept_step']:,} stayed"
        return f"The guards refused what came of {steps}, and {kept}: {why}."
    return f"Of {steps} the weights of step {guards['kept_step']:,} were kept; the guards refused none."


def spelt_out(text: str, facts: Facts) -> str:
    """A guard's words with languages by name."""
    for tag in facts["languages"]:
        text = text.replace(tag, language_name(tag))
    return text


def outcome(facts: Facts, gained: Sequence[str], harmed: Sequence[str]) -> tuple[str, ...]:
    """Who gained and who was harmed beyond chance, by name."""
    if "changes" not in facts:
        return ("There was no test set, so what each language gained or lost is not known.",)
    if facts["guards"]["put_back"]:
        return ()
    winners, losers = listed(gained) or "nobody", listed(harmed) or "nobody"
    were = "were" if len(harmed) > 1 else "was"
    return (f"Beyond chance, {winners} gained, and {losers} {were} harmed.",)


def selected(facts: Facts) -> tuple[str, ...]:
    """How teachers were found, whether that hangs on the items, and how far languages agreed."""
    selection, stability, vote = facts["selection"], facts["stability"], facts["vote"]
    how = _SELECTORS.get(selection["selector"], selection["selector"])
    sentences = [f"Teachers were found by {how}."]
    if selection["selector"] not in ("list", "all", "random"):
        sentences.append(
            f"On {percent(stability['unchanged'], digits=0)} of {stability['draws']:,} resampled sets of"
            " items the same languages would teach."
        )
    sentences.append(
        f"Before, all languages gave the same answer to {percent(vote['unanimous'], digits=0)} of the items,"
        f" and the vote was won by {percent(vote['margin'], digits=0)} of the votes on average."
    )
    if dropped := sum(facts.get("dropped", {}).values()):
        sentences.append(f"{dropped:,} texts had no counterpart in every language and were left out.")
    return tuple(sentences)
