"""What levelling did, from `levelling.json` and `metrics.jsonl` alone: who taught, gained, was harmed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from isogloss.core.run import RunRecord, read_facts
from isogloss.report.curves import Curves, Series, score_curves
from isogloss.report.headline import number_word
from isogloss.report.levelling_words import aim, ending, outcome, selected
from isogloss.report.measurements import WATCHED, in_order, language_name
from isogloss.report.samples import Sample, sample
from isogloss.report.tables import Score

FILE = "levelling.json"

Role: TypeAlias = Literal["teaches", "learns"]
Tone: TypeAlias = Literal["good", "bad", ""]
_Facts: TypeAlias = Mapping[str, Any]

_SPREAD = {
    "mean": ("mean over languages", False),
    "transfer_gap": ("source − mean of others", True),
    "gap": ("best − worst", True),
    "deviation": ("standard deviation", True),
    "worst_mean": ("mean of the worst", False),
    "beyond_floor": ("share below the floor", True),
}
"""By the key in levelling.json: what it is called, and whether lower is better."""

_SHOWN_CHANGES = 2  # of one kind and language; the file has a few more


@dataclass(frozen=True)
class Teacher:
    """How one language was judged before anything was learnt.

    Attributes:
        score: by the selector, with an interval over items.
        normalised: what the threshold was compared with.
        share: of resampled sets of items on which it would teach.
        judges: its score by each judge, whichever of them chose.
        confidence, accuracy, error: its calibration against the vote.
    """

    language: str
    name: str
    role: Role
    score: Score
    normalised: float | None
    share: float | None
    judges: Mapping[str, float]
    confidence: float | None
    accuracy: float | None
    error: float | None


@dataclass(frozen=True)
class Effect:
    """What one language gained or lost on its test set.

    Attributes:
        change: after minus before, with a paired interval over items.
        mended: items that are right and were wrong; None where they were not counted.
        broken: items that are wrong and were right.
    """

    language: str
    name: str
    role: Role
    before: float
    after: float
    change: Score
    mended: int | None
    broken: int | None

    @property
    def tone(self) -> Tone:
        """Whether the whole interval lies on one side of 0."""
        return _tone(self.change, lower_is_better=False)


@dataclass(frozen=True)
class Spread:
    """One measure over all languages, before and after, with intervals.

    Attributes:
        metric: how its numbers are shown.
        change: after minus before; None when the model from before was put back.
    """

    label: str
    metric: str
    before: Score
    after: Score | None
    change: Score | None
    tone: Tone


@dataclass(frozen=True)
class Agreement:
    """How often each two languages chose the same class of held-out items.

    Attributes:
        names: teachers first, each from the surest down.
        shares: (languages, languages), in [0, 1].
        lowest: the lowest share before or after, for one scale.
    """

    when: str
    names: tuple[str, ...]
    codes: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    lowest: float


@dataclass(frozen=True)
class ChangedItem:
    """One item that is answered otherwise than before."""

    language: str
    name: str
    sample: Sample


@dataclass(frozen=True)
class ChangedGroup:
    """Some items that changed in one way."""

    title: str
    items: tuple[ChangedItem, ...]


@dataclass(frozen=True)
class Levelling:
    """All that the page shows of a levelling.

    Attributes:
        sentences: what was done, how it ended, and what came of it, in words.
        selected: how the teachers were found, in words.
        teachers: teachers first, from the highest score down.
        threshold: the score from which a language teaches, on the scale of the scores; None where no score
            decided.
        judges: the names of the judges that every teacher has a score by.
        effects: from the greatest gain to the greatest harm; empty without test sets, and where the model
            from before was put back.
        spread: empty without test sets.
        agreement: before, and after where it changed.
        watched: agreement and entropy by language over the training.
        kept_step: the step whose weights were kept; None where it is not one of the training's.
        put_back: whether the model from before was kept.
        changed: examples, by how they changed.
    """

    task: str | None
    metric: str
    sentences: tuple[str, ...]
    selected: tuple[str, ...]
    teachers: tuple[Teacher, ...]
    threshold: float | None
    judges: tuple[str, ...]
    effects: tuple[Effect, ...]
    spread: tuple[Spread, ...]
    agreement: tuple[Agreement, ...]
    watched: tuple[Curves, ...]
    kept_step: int | None
    put_back: bool
    changed: tuple[ChangedGroup, ...]

    @property
    def harmed(self) -> tuple[Effect, ...]:
        """Languages whose loss is beyond chance."""
        return tuple(effect for effect in self.effects if effect.tone == "bad")

    @property
    def gained(self) -> tuple[Effect, ...]:
        """Languages whose gain is beyond chance."""
        return tuple(effect for effect in self.effects if effect.tone == "good")


def levelling(run: RunRecord) -> Levelling | None:
    """What a run's `levelling.json` says; None for a run that has none (another method, or unfinished).

    Raises:
        CheckpointError: the file is damaged.
    """
    facts = read_facts(run.folder / FILE)
    if not facts:
        return None
    put_back = bool(facts["guards"]["put_back"])
    effects = () if put_back else _effects(facts)
    kept = facts["guards"]["kept_step"]
    gained, harmed = ([one.name for one in effects if one.tone == tone] for tone in ("good", "bad"))
    return Levelling(
        task=facts.get("task"),
        metric=facts.get("metric", "accuracy"),
        sentences=(aim(facts, run.recipe), ending(facts), *outcome(facts, gained, harmed)),
        selected=selected(facts),
        teachers=_teachers(facts),
        threshold=_threshold(facts),
        judges=tuple(facts["judges"]),
        effects=effects,
        spread=_spread(facts, put_back=put_back),
        agreement=_agreement(facts, put_back=put_back),
        watched=_watched(run, facts),
        kept_step=kept or None,
        put_back=put_back,
        changed=() if put_back else _changed(facts, run.recipe),
    )


def _order(facts: _Facts) -> list[str]:
    return [*facts["teachers"], *facts["students"]]


def _role(facts: _Facts, tag: str) -> Role:
    return "teaches" if tag in facts["teachers"] else "learns"


def _teachers(facts: _Facts) -> tuple[Teacher, ...]:
    selection, stability, calibration = facts["selection"], facts["stability"], facts["calibration"]
    return tuple(
        Teacher(
            tag,
            language_name(tag),
            _role(facts, tag),
            Score(*stability["scores"][tag]),
            selection["normalised"].get(tag),
            stability["shares"].get(tag),
            {judge: scores[tag] for judge, scores in facts["judges"].items()},
            *(calibration.get(tag, {}).get(key) for key in ("confidence", "accuracy", "error")),
        )
        for tag in _order(facts)
    )


def _threshold(facts: _Facts) -> float | None:
    """The threshold, which is on normalised scores, as a score."""
    selection = facts["selection"]
    limit, scores = selection["threshold"], list(selection["scores"].values())
    if limit is None or selection["selector"] in ("list", "all", "random"):
        return None
    if selection["normalisation"] == "softmax":
        return math.log(limit * sum(map(math.exp, scores)))
    return float(limit * sum(scores))


def _effects(facts: _Facts) -> tuple[Effect, ...]:
    moves = facts.get("moves", {})
    found = [
        Effect(
            tag,
            language_name(tag),
            _role(facts, tag),
            change["before"],
            change["after"],
            Score(change["mean"], change["low"], change["high"]),
            moves.get(tag, {}).get("mended"),
            moves.get(tag, {}).get("broken"),
        )
        for tag, change in facts.get("changes", {}).items()
    ]
    return tuple(sorted(found, key=lambda effect: (-effect.change.value, effect.name)))


def _spread(facts: _Facts, *, put_back: bool) -> tuple[Spread, ...]:
    found = facts.get("disparity")
    if not found:
        return ()
    rows = []
    for key, (label, lower) in _SPREAD.items():
        if key not in found["before"]:
            continue
        before, after, change = (_score(found[when][key]) for when in ("before", "after", "change"))
        tone = "" if put_back else _tone(change, lower_is_better=lower)
        label = f"{label} {number_word(min(3, len(facts['changes'])))}" if key == "worst_mean" else label
        name = key if key == "beyond_floor" else facts["metric"]
        rows.append(
            Spread(label, name, before, None if put_back else after, None if put_back else change, tone)
        )
    return tuple(rows)


def _score(estimate: _Facts) -> Score:
    return Score(estimate["value"], estimate["low"], estimate["high"])


def _tone(change: Score, *, lower_is_better: bool) -> Tone:
    if change.low is None or change.high is None or change.low <= 0 <= change.high:
        return ""
    return "good" if (change.high < 0) == lower_is_better else "bad"


def _agreement(facts: _Facts, *, put_back: bool) -> tuple[Agreement, ...]:
    tags = facts["languages"]
    order = [tags.index(tag) for tag in _order(facts)]
    names = tuple(language_name(tags[place]) for place in order)
    whens = ("before",) if put_back else ("before", "after")
    found = {
        when: tuple(tuple(facts["agreement"][when][one][other] for other in order) for one in order)
        for when in whens
    }
    lowest = min(share for shares in found.values() for row in shares for share in row)
    codes = _codes([tags[place] for place in order])
    return tuple(Agreement(when, names, codes, shares, lowest) for when, shares in found.items())


def _codes(tags: Sequence[str]) -> tuple[str, ...]:
    """The languages' short codes, or their whole tags where two would be called the same."""
    short = [tag.partition("-")[0] for tag in tags]
    return tuple(tags) if len(set(short)) < len(short) else tuple(short)


def watched(curves: Curves) -> bool:
    """Whether curves are of what the guards watched, which stand in a place of their own."""
    return curves.metric in WATCHED


def _watched(run: RunRecord, facts: _Facts) -> tuple[Curves, ...]:
    """What was watched at each evaluation, from the start on."""
    start = facts["guards"]["start"]
    found = []
    for drawn in score_curves(run, once=True):
        if watched(drawn):
            begun = start.get(str(drawn.metric), {})
            series = [_from_start(series, begun) for series in drawn.series]
            lines = tuple(line for line in series if len(line.steps) > 1)
            found += [Curves(drawn.phase, None, drawn.metric, lines)] if lines else []
    return tuple(found)


def _from_start(series: Series, start: Mapping[str, float]) -> Series:
    begun = {language_name(tag): value for tag, value in start.items()}.get(series.name)
    if begun is None or series.steps[0] == 0:
        return series
    return Series(series.name, (0, *series.steps), (begun, *series.values))


def _changed(facts: _Facts, recipe: _Facts) -> tuple[ChangedGroup, ...]:
    groups = {
        "From wrong to right": (False, True),
        "From right to wrong": (True, False),
        "From one wrong answer to another": (False, False),
    }
    found = []
    for title, way in groups.items():
        lines = [x for x in facts.get("changed", []) if (x["was_correct"], x["correct"]) == way]
        first = [
            line
            for tag in in_order(line["language"] for line in lines)
            for line in [line for line in lines if line["language"] == tag][:_SHOWN_CHANGES]
        ]
        if first:
            found.append(ChangedGroup(title, tuple(_changed_item(line, recipe) for line in first)))
    return tuple(found)


def _changed_item(line: _Facts, recipe: _Facts) -> ChangedItem:
    before = {**line, "model": "before", "predicted": line["before"], "correct": line["was_correct"]}
    after = {**line, "model": str(recipe.get("as_name") or "after")}
    tag = str(line["language"])
    return ChangedItem(tag, language_name(tag), sample([before, after]))
