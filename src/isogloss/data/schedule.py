"""Shares that change while a model is trained: in stages, gliding, by an annealed temperature, or adaptively.

A schedule becomes a `Timeline` of steps before training begins; what is adaptive begins with one piece, and
`data.adaptive` decides the others on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from isogloss.core.config import Record
from isogloss.core.errors import RecipeError
from isogloss.core.fields import LanguageShares
from isogloss.data.mixture import Sizes, Unit, same_languages, tempered_shares
from isogloss.data.timeline import Shares, Timeline, fixed_shares

_MOST_PIECES = 1000
"""Into how many steps of constant shares a continuous course is cut."""
_TOLERANCE = 0.002
"""By how much a language's share of a training may differ from its budget."""


class Stage(Record):
    """A stretch of training at fixed shares.

    Attributes:
        shares: by language; they need not sum to 1.
        steps: its length; None where stages are told by `fraction`, or all are equally long.
        fraction: its length as a share of all steps.
    """

    shares: LanguageShares
    steps: int | None = Field(default=None, ge=1)
    fraction: float | None = Field(default=None, gt=0, le=1)


class _Schedule(Record):
    """What all schedules have.

    Attributes:
        budget: the share of the whole training that each language shall have; a schedule that spends
            another is refused. None claims nothing.
        by: as of a mixture.
    """

    budget: LanguageShares | None = None
    by: Unit = "sequences"


class Stages(_Schedule):
    """One mixture after another, with a hard switch.

    Attributes:
        stages: in order; or as the paper writes them, "0.1_0.9": stages of equal length (steps that are left
            over go to the last) by the share of all languages but the first together.
    """

    kind: Literal["stages"] = "stages"
    stages: str | Annotated[tuple[Stage, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_measure_of_length(self) -> Stages:
        if isinstance(self.stages, str):
            _short(self.stages)
            return self
        given = {(stage.steps is None, stage.fraction is None) for stage in self.stages}
        if len(given) > 1 or given == {(False, False)}:
            raise ValueError("stages: the lengths of all by steps, or of all by fraction, or of none")
        fractions = math.fsum(stage.fraction or 0.0 for stage in self.stages)
        if fractions and not math.isclose(fractions, 1.0, abs_tol=1e-6):
            raise ValueError(f"stages: their fractions sum to {fractions:g} instead of 1")
        return self

    def course(self, sizes: Sizes, *, steps: int) -> Timeline:
        """See `timeline_of`."""
        return Timeline.of(list(zip(self.starts(steps), self._shares(sizes), strict=True)))

    def starts(self, steps: int) -> tuple[int, ...]:
        """The first step of each stage, counted from 0.

        Raises:
            RecipeError: the stages' steps do not sum to those of the training, or there are too few.
        """
        lengths = self._lengths(steps)
        if sum(lengths) != steps or min(lengths) < 1:
            raise RecipeError(
                f"stages of {', '.join(map(str, lengths))} steps in a training of {steps}",
                wanted="stages of at least one step each that fill the training",
                fix="correct schedule.stages or training.steps; without lengths, all stages are equally long",
            )
        return tuple(sum(lengths[:index]) for index in range(len(lengths)))

    def _lengths(self, steps: int) -> list[int]:
        stages = () if isinstance(self.stages, str) else self.stages
        if stages and stages[0].steps is not None:
            return [stage.steps or 0 for stage in stages]
        if stages and stages[0].fraction is not None:
            ends = [round(end * steps) for end in accumulate(stage.fraction or 0.0 for stage in stages)]
            return [end - start for start, end in pairwise([0, *ends])]
        count = len(stages) or len(_short(str(self.stages)))
        return [*[steps // count] * (count - 1), steps - steps // count * (count - 1)]

    def _shares(self, sizes: Sizes) -> list[Shares]:
        if isinstance(self.stages, str):
            return [_but_the_first(tuple(sizes), share) for share in _short(self.stages)]
        for number, stage in enumerate(self.stages):
            same_languages(stage.shares, sizes, of=f"schedule.stages.{number}")
        return [{tag: stage.shares[tag] for tag in sizes} for stage in self.stages]


class Glide(_Schedule):
    """From one mixture to another, evenly or along half a cosine.

    Attributes:
        start: shares at the beginning.
        end: shares at the end.
    """

    kind: Literal["linear", "cosine"]
    start: LanguageShares
    end: LanguageShares

    def course(self, sizes: Sizes, *, steps: int) -> Timeline:
        """See `timeline_of`."""
        for key in ("start", "end"):
            same_languages(getattr(self, key), sizes, of=f"schedule.{key}")
        first, last = fixed_shares(self.start), fixed_shares(self.end)

        def shares(done: float) -> Shares:
            way = done if self.kind == "linear" else (1 - math.cos(math.pi * done)) / 2
            return {tag: (1 - way) * first[tag] + way * last[tag] for tag in sizes}

        return _cut(shares, steps)


class Annealed(_Schedule):
    """Share ∝ tokens^alpha with an alpha that falls, and languages that enter late.

    As mmBERT was trained (Marone et al., 2025, 2509.06888): from alpha 0.7, which favours large languages,
    to 0.3, with the small ones among them at the end alone.

    Attributes:
        alpha: at the beginning and at the end; between them it changes evenly.
        enters: after which share of the training a language joins in; 0 for those not named.
    """

    kind: Literal["annealed"]
    alpha: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.7, 0.3)
    enters: LanguageShares = Field(default_factory=dict)

    @model_validator(mode="after")
    def _enter_before_the_end(self) -> Annealed:
        if late := [tag for tag, share in self.enters.items() if not 0 <= share < 1]:
            raise ValueError(f"enters.{late[0]}: a share of the training, at least 0 and below 1")
        return self

    def course(self, sizes: Sizes, *, steps: int) -> Timeline:
        """See `timeline_of`."""
        same_languages({**dict.fromkeys(sizes, 0.0), **self.enters}, sizes, of="schedule.enters")
        if all(self.enters.get(tag, 0.0) > 0 for tag in sizes):
            raise RecipeError("schedule.enters leaves no language to begin with")
        joins = [round(share * steps) for share in self.enters.values()]

        def shares(done: float) -> Shares:
            alpha = self.alpha[0] + done * (self.alpha[1] - self.alpha[0])
            inside = {tag: sizes[tag] for tag in sizes if self.enters.get(tag, 0.0) <= done}
            return dict.fromkeys(sizes, 0.0) | tempered_shares(inside, alpha=alpha)

        return _cut(shares, steps, joins)


class Adaptive(_Schedule):
    """Shares follow what is measured of each language, decided every so many steps.

    Attributes:
        signal: "progress": how much the held-out loss of a language fell since the last decision, in nats per
            token. "agreement": how well its gradient agrees with those of the others (mean cosine).
        every: steps between decisions.
        rate: how far one decision moves the shares: a factor of at most exp(rate) before they are scaled.
        floor: the least share a language can fall to, until its budget is spent.
        shares: to begin with; None for the budget, or the same for all.
        probe: sequences of each language that the signal is measured on.
        budget: held to throughout: with the draws that are left, each language gets what is left of its
            budget. What adapts is when.
    """

    kind: Literal["adaptive"]
    signal: Literal["progress", "agreement"] = "progress"
    every: int = Field(default=100, ge=1)
    rate: float = Field(default=0.3, gt=0, le=3)
    floor: float = Field(default=0.02, ge=0, lt=0.5)
    shares: LanguageShares | None = None
    probe: int = Field(default=32, ge=1)

    @model_validator(mode="after")
    def _one_beginning(self) -> Adaptive:
        if self.shares is not None and self.budget is not None:
            raise ValueError("shares: with a budget, an adaptive schedule begins with the budget's shares")
        if self.by != "sequences":
            raise ValueError("by: an adaptive schedule counts sequences")
        return self

    def course(self, sizes: Sizes, *, steps: int) -> Timeline:
        """What it begins with; see `timeline_of`.

        Raises:
            RecipeError: besides, a floor that languages or budget do not leave room for; the agreement of two
                languages; no decision before the end.
        """
        if self.signal == "agreement" and len(sizes) < 3:
            raise RecipeError(
                "schedule.signal: the agreement of two languages, which is the same number for both",
                wanted="at least three languages, or progress",
            )
        shares = self.budget or self.shares or dict.fromkeys(sizes, 1.0)
        same_languages(shares, sizes, of="schedule.budget" if self.budget else "schedule.shares")
        self._check_room(shares)
        if self.every >= steps - 1:  # what is decided is first drawn a step later
            raise RecipeError(
                f"schedule.every: {self.every} steps, in a training of {steps}, which would decide nothing",
                wanted="a decision two steps before the training ends, or earlier",
                fix="decide more often, or give fixed shares",
            )
        return Timeline.of([(0, {tag: shares[tag] for tag in sizes})])

    def _check_room(self, shares: Shares) -> None:
        least = min(fixed_shares(shares).values()) if self.budget else 1.0
        if self.floor > least or self.floor * len(shares) > 1:
            raise RecipeError(
                f"schedule.floor: {self.floor:g} for each of {len(shares)} languages",
                wanted="a floor below every language's budget, and below 1 in all",
                fix="lower the floor",
            )


def _told_short(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError('a schedule; YAML reads 0.1 and 0_9 as numbers, so put it in quotes: "0.1_0.9"')
    return {"kind": "stages", "stages": value} if isinstance(value, str) else value


Schedule: TypeAlias = Annotated[
    Annotated[Stages | Glide | Annealed | Adaptive, Field(discriminator="kind")],
    BeforeValidator(_told_short),
]
"""The `schedule:` part of a recipe; "0.1_0.9" stands for `{kind: stages, stages: "0.1_0.9"}`."""


def timeline_of(schedule: Schedule, sizes: Sizes, *, steps: int) -> Timeline:
    """The shares of each step, counted from 0, in the order of the languages of `sizes`.

    Args:
        sizes: available tokens per language; their names alone matter where nothing is tempered.
        steps: of the training.

    Raises:
        RecipeError: other languages than those of `sizes`, lengths that do not fill the training, or
            a budget that is not spent.
    """
    found = schedule.course(sizes, steps=steps)
    if schedule.budget is not None:
        same_languages(schedule.budget, sizes, of="schedule.budget")
        _check_budget(fixed_shares(schedule.budget), found.mean(steps), steps)
    return found


def _short(text: str) -> list[float]:
    """The shares of a schedule in short form."""
    try:
        shares = [float(share) for share in text.split("_")]
    except ValueError:
        shares = []
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise ValueError('stages: numbers from 0 to 1 with _ between them, such as "0.1_0.9", or a list')
    return shares


def _but_the_first(names: tuple[str, ...], share: float) -> Shares:
    """The share of all languages but the first together, spread evenly over them."""
    if len(names) < 2:
        raise RecipeError(
            "a schedule of shares in short form for a single language",
            wanted="at least two languages",
            fix="add a corpus or clones",
        )
    return {names[0]: 1 - share} | dict.fromkeys(names[1:], share / (len(names) - 1))


def _cut(shares: Callable[[float], Shares], steps: int, joins: Sequence[int] = ()) -> Timeline:
    """A continuous course as pieces, each with the shares of its middle, so that means come out right."""
    count = min(steps, _MOST_PIECES)
    starts = sorted(
        {index * steps // count for index in range(count)} | {step for step in joins if step < steps}
    )
    ends = [*starts[1:], steps]
    return Timeline.of(
        [(start, shares((start + end) / 2 / steps)) for start, end in zip(starts, ends, strict=True)]
    )


def _check_budget(claimed: Mapping[str, float], spent: Mapping[str, float], steps: int) -> None:
    off = {tag: share for tag, share in claimed.items() if abs(spent[tag] - share) > _TOLERANCE + 1 / steps}
    if off:
        told = ", ".join(f"{tag} {spent[tag]:.1%} instead of {share:.1%}" for tag, share in off.items())
        raise RecipeError(
            f"the schedule does not spend the budget it claims: {told}",
            wanted="stages or courses whose mean over the training is schedule.budget",
            fix="correct the shares or the lengths, or leave the budget out",
        )
