"""What levelling did to each language: scores before and after, who taught, what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from isogloss.analysis.calibration import calibration, variety
from isogloss.analysis.panel import Array, Panel
from isogloss.analysis.selection import scores_on
from isogloss.analysis.vote import majority_vote
from isogloss.core.files import write_json
from isogloss.core.run import Run
from isogloss.core.seeds import generator
from isogloss.data.records import Example
from isogloss.data.tasks import TASKS
from isogloss.evaluate.disparity import Measures, disparity_changes, disparity_estimates
from isogloss.evaluate.intervals import paired_difference
from isogloss.evaluate.items import items, items_by_id
from isogloss.evaluate.samples import sample_lines
from isogloss.evaluate.suite import Evaluation
from isogloss.methods.guards import Judge
from isogloss.methods.scores import forget_scores, log_scores, score
from isogloss.methods.teachers import Teachers, believed
from isogloss.models.tasks import TaskModel
from isogloss.training.loop import Outcome

if TYPE_CHECKING:
    from isogloss.methods.level import LevelRecipe
    from isogloss.methods.self_distillation import Material

FILE = "levelling.json"
BEFORE = "before"
CHANGED = 6
"""Examples kept per language whose prediction changed."""
JUDGES = ("confidence", "confidence-others", "agreement", "reliability", "source")


def write_facts(
    run: Run,
    recipe: LevelRecipe,
    tokenizer: Any,
    material: Material,
    teachers: Teachers,
    judge: Judge,
    *,
    before: TaskModel,
    after: TaskModel,
    outcome: Outcome,
    put_back: str | None,
) -> None:
    """Score the model before and after on the test sets, and write all that the report shows.

    Args:
        put_back: why the model from before was kept, so that `after` is equal to it; None if it was not.
    """
    panels, found = [], []
    for model in (before, after)[: 1 if after is before else 2]:
        panels.append(believed(model, tokenizer, material.held_out, max_length=recipe.max_length))
        if material.test:
            found.append(_score(model, tokenizer, recipe, material.test))
    if after is before:  # the guards put it back: the same model says the same
        panels, found = panels * 2, found * 2
    _log(run, recipe, material.test, found, step=outcome.step)
    facts = {
        "task": recipe.task,
        "source": recipe.source,
        "aim": recipe.distillation.aim,
        "items": {"learnt": len(material.learnt), "held_out": len(material.held_out)},
        "dropped": dict(material.learnt.missing),
        "languages": list(teachers.panel.languages),
        **_teaching(teachers, recipe),
        "guards": _guarding(judge, outcome, put_back),
        "agreement": {
            name: _agreement(panel) for name, panel in zip(("before", "after"), panels, strict=True)
        },
        "entropy": {
            name: {tag: one.labels for tag, one in variety(panel).items()}
            for name, panel in zip(("before", "after"), panels, strict=True)
        },
        **(_effect(recipe, material.test, *found) if found else {}),
    }
    write_json(run.folder / FILE, facts)


def _score(
    model: TaskModel, tokenizer: Any, recipe: LevelRecipe, test: Mapping[str, Sequence[Example]]
) -> Evaluation:
    source = recipe.source if recipe.source in test else None
    return score(model, tokenizer, test, task=recipe.task, max_length=recipe.max_length, source=source)


def _log(
    run: Run,
    recipe: LevelRecipe,
    test: Mapping[str, Sequence[Example]],
    found: Sequence[Evaluation],
    *,
    step: int,
) -> None:
    """Write both models' scores to the run; without a test, nothing."""
    forget_scores(run)
    for name, each in zip((BEFORE, recipe.as_name), found, strict=False):
        log_scores(run, each, test, task=recipe.task, model=name, step=step)


def _teaching(teachers: Teachers, recipe: LevelRecipe) -> dict[str, Any]:
    """Who teaches, by which numbers, and how every other judge would have scored."""
    panel, selection = teachers.panel, teachers.selection
    vote = majority_vote(panel)
    once = np.ones((1, len(panel.ids)), dtype=np.int64)
    return {
        "teachers": list(selection.teachers),
        "students": list(selection.students),
        "selection": {
            name: value for name, value in asdict(selection).items() if name not in ("teachers", "students")
        },
        "stability": asdict(teachers.stability),
        "judges": {
            judge: _by_language(panel, scores_on(panel, judge, once, source=recipe.source)[0])
            for judge in JUDGES
            if judge != "source" or recipe.source is not None
        },
        "vote": {"margin": float(vote.margin.mean()), "unanimous": float((vote.share == 1.0).mean())},
        "calibration": {tag: asdict(one) for tag, one in calibration(panel).items()},
    }


def _by_language(panel: Panel, values: Array) -> dict[str, float]:
    return dict(zip(panel.languages, values.tolist(), strict=True))


def _guarding(judge: Judge, outcome: Outcome, put_back: str | None) -> dict[str, Any]:
    return {
        "steps": outcome.step,
        "kept_step": 0 if put_back else outcome.best_step or outcome.step,
        "refused": outcome.refused,
        "put_back": put_back,
        "start": asdict(judge.start),
    }


def _agreement(panel: Panel) -> list[list[float]]:
    """How often each two languages choose the same class, (languages, languages)."""
    same: Array = (panel.choices[:, None] == panel.choices[None]).mean(-1)
    return [[float(share) for share in row] for row in same]


def _effect(
    recipe: LevelRecipe, test: Mapping[str, Sequence[Example]], before: Evaluation, after: Evaluation
) -> dict[str, Any]:
    """What each language gained or lost on its test set, and the spread over languages."""
    metric = TASKS[recipe.task].metrics[0]
    changes = {tag: _change(metric, found, before, after, tag) for tag, found in test.items()}
    harmed = [tag for tag, change in changes.items() if change is not None and change["high"] < 0]
    moved = {tag: _moved(found, before, after, tag) for tag, found in test.items()}
    return {
        "metric": metric,
        "changes": {tag: change for tag, change in changes.items() if change is not None},
        "harmed": harmed,
        "disparity": _spread(recipe, test, before, after, metric),
        "moves": {tag: _moves(lines) for tag, lines in moved.items()},
        "changed": [line for tag, lines in moved.items() for line in _some(lines, tag)],
    }


def _spread(
    recipe: LevelRecipe,
    test: Mapping[str, Sequence[Example]],
    before: Evaluation,
    after: Evaluation,
    metric: str,
) -> dict[str, Any]:
    """The measures of disparity before and after, and their change, each with an interval."""
    scored = [
        {tag: items_by_id(metric, found, each.predictions[tag], tag) for tag, found in test.items()}
        for each in (before, after)
    ]
    measures = Measures(source=recipe.source if recipe.source in test else None, floor=recipe.floor)
    found = {
        "before": disparity_estimates(scored[0], measures),
        "after": disparity_estimates(scored[1], measures),
        "change": disparity_changes(scored[0], scored[1], measures),
    }
    return {
        when: {name: estimate._asdict() for name, estimate in each.items()} for when, each in found.items()
    }


def _change(
    metric: str, examples: Sequence[Example], before: Evaluation, after: Evaluation, tag: str
) -> dict[str, float] | None:
    scored = [
        [item.score for item in items(metric, examples, each.predictions[tag], tag)]
        for each in (before, after)
    ]
    if not scored[0]:
        return None
    found = paired_difference(*scored, seed=0)
    return {"before": before.scores[tag][metric], "after": after.scores[tag][metric], **found._asdict()}


def _moved(
    examples: Sequence[Example], before: Evaluation, after: Evaluation, tag: str
) -> list[dict[str, Any]]:
    """The items that are answered otherwise than before."""
    lines = [list(sample_lines(examples, each.predictions[tag])) for each in (before, after)]
    return [
        {**new, "before": old["predicted"], "was_correct": old["correct"]}
        for old, new in zip(*lines, strict=True)
        if old["predicted"] != new["predicted"]
    ]


def _moves(moved: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many items are right that were wrong, wrong that were right, and wrong in another way."""
    ways = [(line["was_correct"], line["correct"]) for line in moved]
    return {
        "mended": ways.count((False, True)),
        "broken": ways.count((True, False)),
        "otherwise": len(ways) - ways.count((False, True)) - ways.count((True, False)),
    }


def _some(moved: Sequence[dict[str, Any]], tag: str) -> list[dict[str, Any]]:
    """A few of them, drawn at random."""
    chosen = generator(0, "changed", tag).permutation(len(moved))[:CHANGED]
    return [moved[place] for place in sorted(chosen.tolist())]
