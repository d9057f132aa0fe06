"""From a recipe's mixture or schedule to the draws of a training, and what watches over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import nn

from isogloss.data.batches import LanguageModelBatches, Layout, WholeFileBatches
from isogloss.data.mixture import Mixture, MixtureSpec, Sizes
from isogloss.data.schedule import Adaptive, Schedule, Stages, timeline_of
from isogloss.data.timeline import Timeline, fixed_shares
from isogloss.data.tokens import TokenFile
from isogloss.evaluate.gradients import ALL, gradient_cosines
from isogloss.methods.text import draws_of, every, mean_loss, steps_of
from isogloss.training.adaptive import AdaptiveShares, Measure
from isogloss.training.hooks import Hook, Ledger
from isogloss.training.plan import TrainingPlan
from isogloss.training.update import Step

_OFTEN, _LOOKS = 100, 20
"""Steps between two looks at the ledger; where shares change there are at least so many looks."""
_SKETCH = 1 << 12
"""Numbers kept of each tensor's gradient where gradients are compared."""


@dataclass(frozen=True)
class Course:
    """The shares of a training, as far as they are known before it.

    Attributes:
        timeline: over draws, each language's share of the sequences.
        asked: over steps, each language's share of what the recipe counts.
        steps: of the optimiser.
        draws: of one of them, over all processes.
        ends: the last step of each stage; () where there are none.
    """

    timeline: Timeline
    asked: Timeline
    steps: int
    draws: int
    ends: tuple[int, ...]


def course(
    mixture: MixtureSpec,
    schedule: Schedule | None,
    files: Mapping[str, TokenFile],
    plan: TrainingPlan,
    *,
    layout: Layout,
    texts: Mapping[str, str] = MappingProxyType({}),
) -> Course:
    """What a recipe asks for.

    Args:
        files: a language's text, in the order of the languages.
        layout: of the sequences.
        texts: the language whose text a language reads, for those that read another's.

    Raises:
        RecipeError: shares that do not fit the languages, the training or the budget.
    """
    sizes = {tag: file.count for tag, file in files.items()}
    steps = steps_of(files, plan, layout=layout, texts=texts)
    draws = draws_of(plan)
    if schedule is None:
        if mixture.kind == "unimax":  # its cap is on passes over a text, however many read it
            readers = Counter(texts.get(tag, tag) for tag in files)
            sizes = {tag: max(1, count // readers[texts.get(tag, tag)]) for tag, count in sizes.items()}
        shares = mixture.resolve(sizes, budget=steps * draws * layout.stride)
        asked = Timeline.of([(0, shares)])
    else:
        asked = timeline_of(schedule, sizes, steps=steps)
    ends = (*schedule.starts(steps)[1:], steps) if isinstance(schedule, Stages) else ()
    timeline = asked.scaled(draws)
    if (mixture if schedule is None else schedule).by == "tokens":
        timeline = timeline.weighed({tag: 1 / _tokens_each(file, layout) for tag, file in files.items()})
    return Course(timeline, asked, steps, draws, ends)


def _tokens_each(file: TokenFile, layout: Layout) -> float:
    """The mean tokens of a sequence: all are full but the last of a text."""
    return layout.tokens(file) / layout.sequences(file)


def watchers(
    asked: Course,
    schedule: Schedule | None,
    mixture: Mixture,
    batches: LanguageModelBatches,
    probes: Mapping[str, WholeFileBatches],
    *,
    step: Step,
    seed: int,
) -> list[Hook]:
    """The ledger of a training, and of an adaptive schedule the hook that decides.

    Args:
        mixture: that of the batches; an adaptive schedule changes it.
        probes: what each language is measured on.
        step: of training.
        seed: of the run.
    """
    adapts = isinstance(schedule, Adaptive)
    budget = fixed_shares(schedule.budget) if isinstance(schedule, Adaptive) and schedule.budget else None

    def so_far(step: int) -> dict[str, float]:
        return budget or (mixture.timeline.mean(step * asked.draws) if adapts else asked.asked.mean(step))

    ledger = Ledger(
        batches.languages,
        requested=so_far,
        sizes=batches.tokens_in_a_pass(),
        every=_OFTEN if schedule is None else max(1, min(_OFTEN, asked.steps // _LOOKS)),
        stages=asked.ends,
    )
    if not isinstance(schedule, Adaptive):
        return [ledger]
    make = _losses if schedule.signal == "progress" else _agreements
    measure = make({tag: probes[tag] for tag in mixture.names}, step, seed)
    return [ledger, AdaptiveShares(mixture, measure, schedule, draws=asked.draws)]


def _losses(probes: Mapping[str, WholeFileBatches], step: Step, seed: int) -> Measure:
    def measure(model: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            return {tag: mean_loss(model, every(one), step) for tag, one in probes.items()}

    return measure


def _agreements(probes: Mapping[str, WholeFileBatches], step: Step, seed: int) -> Measure:
    """Each language's mean cosine with the others."""
    names = tuple(probes)
    pairs = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]

    def measure(model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device

        def loss(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            return step(model, {name: tensor.to(device) for name, tensor in batch.items()})["loss"]

        items = (
            dict(zip(names, batches, strict=True))
            for batches in zip(*map(every, probes.values()), strict=False)
        )
        found = gradient_cosines(model, items, loss=loss, pairs=pairs, sketch=_SKETCH, seed=seed)
        values = {pair: float(np.nanmean(found.by_group(pair)[ALL])) for pair in pairs}
        return {
            tag: float(np.mean([value for pair, value in values.items() if tag in pair])) for tag in names
        }

    return measure


def planned(
    mixture: MixtureSpec, schedule: Schedule | None, languages: tuple[str, ...], steps: int
) -> Timeline | None:
    """The shares of each step where they are known before any text is read; None where they are not."""
    sizes: Sizes = dict.fromkeys(languages, 1)
    if schedule is None:
        return Timeline.of([(0, mixture.resolve(sizes, budget=0))]) if mixture.kind == "fixed" else None
    known = schedule.kind != "annealed"
    return timeline_of(schedule, sizes, steps=steps) if known else None
