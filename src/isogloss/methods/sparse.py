"""Sparse fine-tuning: the Lottery Ticket algorithm of LT-SFT.

Ansell et al. 2022, arXiv 2110.07560, section 3: train all of theta from theta_0; keep the k entries that
moved most; put theta back to theta_0; train these alone. What is left is phi = theta - theta_0, which is zero
everywhere else and can be added to what another training left of the same theta_0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from isogloss.compress.rows import FewerRows
from isogloss.core.run import Run
from isogloss.methods.records import LanguageSparseRule, SparseRule
from isogloss.models.distillation import Distillation
from isogloss.models.portions import Portions, portions
from isogloss.models.tasks import TaskModel
from isogloss.models.ties import untie
from isogloss.sparse.delta import Change, Delta, apply, fingerprint
from isogloss.sparse.select import checksum, count, select, shares
from isogloss.sparse.storage import save_delta
from isogloss.sparse.tuned import Entries, SparselyTuned, distance
from isogloss.training.loop import Outcome
from isogloss.training.optimiser import OptimiserBuilder, adamw
from isogloss.training.plan import TrainingPlan
from isogloss.training.sparse import sparse_adamw
from isogloss.training.update import Losses, Step

Training: TypeAlias = Callable[[nn.Module, TrainingPlan, str, Step, OptimiserBuilder], Outcome]
"""Trains a model by a plan, as a phase of a run of that name: `train` with everything else filled in."""


def tune_sparsely(
    model: TaskModel,
    rule: SparseRule,
    first: TrainingPlan,
    training: Training,
    *,
    step: Step,
    run: Run,
    phase: str,
    task: str,
    vocabulary: str,
    rows: FewerRows | None = None,
    base: str | None = None,
) -> Outcome:
    """Tune a task model sparsely, in place, and leave the delta in the run folder.

    The model ends as its start with the delta on it, to the bit.

    Args:
        model: on its start values theta_0, with a fresh head.
        first: the plan of the first phase, in which everything is trained (`phase`-full in the log).
        step: from the model and a batch to losses.
        phase: the second phase's name.
        task: the delta's name, and a fact in it.
        vocabulary: fingerprint of the tokenizer.
        rows: of its vocabulary, where the model has but some; the density is a share of what it has, and the
            delta is one for the whole model. None: it has all.
        base: fingerprint of the model without the language's delta that it wears, which is what the task's
            delta is one of; None where it wears none.

    Returns:
        How the second phase ended.
    """
    delta, outcome = _tune(model, rule, first, training, step=step, phase=phase)
    delta = replace(delta, vocabulary=vocabulary, about={**_facts(model, task), **delta.about})
    delta = rows.lift(delta) if rows else delta
    _leave(replace(delta, base=base or delta.base), portions(model), run, name=task)
    return outcome


def tune_to_languages(
    model: TaskModel,
    rule: LanguageSparseRule,
    first: TrainingPlan,
    training: Training,
    *,
    step: Step,
    run: Run,
    phase: str,
    languages: Sequence[str],
    vocabulary: str,
    rows: FewerRows | None = None,
) -> Outcome:
    """Tune a language model sparsely on text, in place, and leave the languages' delta in the run folder.

    The delta goes by the languages' tags, `fi-Latn` or `et-Latn+fi-Latn`. The model ends as its start with
    the delta on it, to the bit; with frozen heads its output layer keeps the table it had.

    Args:
        model: of kind "text", on its start values theta_0.
        first, step, phase, vocabulary, rows: as for `tune_sparsely`.
        languages: of the text.

    Returns:
        How the second phase ended.

    Raises:
        ModelError: heads are to stay frozen, and the model has none apart from its embedding.
    """
    if rule.heads == "frozen":
        untie(model)
    delta, outcome = _tune(model, rule, first, training, step=step, phase=phase)
    name = "+".join(sorted(languages))
    about = {"language": name, "heads": rule.heads, **delta.about}
    delta = replace(delta, vocabulary=vocabulary, about=about)
    _leave(rows.lift(delta) if rows else delta, portions(model), run, name=name)
    return outcome


def _tune(
    model: TaskModel,
    rule: SparseRule,
    first: TrainingPlan,
    training: Training,
    *,
    step: Step,
    phase: str,
) -> tuple[Delta, Outcome]:
    """Both phases; the delta, and how the second one ended."""
    parts = portions(model)
    base = fingerprint(parts.base)
    chosen = _find_entries(model, parts, rule, first, training, step=step, phase=phase)
    tuned, entries = _tuned(model, parts, chosen, rule)
    pull = _Pull(rule.l1, model, lambda: [(each.values, each.start) for each in entries.values()])
    outcome = training(tuned, rule.training or first, phase, pull.on(step), sparse_adamw)
    tuned.release()
    delta = Delta(
        {name: _change(parts.body[name], each) for name, each in entries.items()},
        {name: tensor.detach().cpu().clone() for name, tensor in _whole_parts(parts, rule).items()},
        base,
        about={"selection": checksum(chosen)},
    )
    _set_to_start_and_delta(parts, delta, entries)
    return delta, outcome


def _tuned(
    model: nn.Module, parts: Portions, chosen: Mapping[str, Tensor], rule: SparseRule
) -> tuple[SparselyTuned, dict[str, Entries]]:
    """The model with only these entries and the whole parts to train, and the entries by their names."""
    own = {id(parameter): name for name, parameter in model.named_parameters()}
    names = {name: own[id(parts.body[name])] for name in chosen}
    tuned = SparselyTuned(
        model,
        {names[name]: positions for name, positions in chosen.items()},
        dense=[own[id(tensor)] for tensor in _whole_parts(parts, rule).values()],
    )
    entries = tuned.by_name()
    return tuned, {name: entries[names[name]] for name in chosen if names[name] in entries}


def delta_file(run: Run, name: str) -> Path:
    """Where a run leaves the delta of a task or of languages."""
    return run.folder / "deltas" / f"{name}.safetensors"


def _leave(delta: Delta, parts: Portions, run: Run, *, name: str) -> None:
    if run.writes:
        save_delta(delta_file(run, name), delta)
    size = sum(tensor.numel() for tensor in parts.body.values())
    facts = {"entries": delta.entries, "of": size, "base": delta.base, "selection": delta.about["selection"]}
    run.note(delta=facts)


def task_of(model: nn.Module) -> TaskModel:
    """The task model that is being trained, on its values as they stand."""
    if isinstance(model, Distillation):
        model = model.student
    if isinstance(model, SparselyTuned):
        model.place()
        model = model.model
    assert isinstance(model, TaskModel), type(model)
    return model


def entries_to_tune(parts: Portions, rule: SparseRule) -> int:
    """How many entries of a model's body a rule takes."""
    return count(rule.density, sum(tensor.numel() for tensor in parts.body.values()))


def _find_entries(
    model: nn.Module,
    parts: Portions,
    rule: SparseRule,
    plan: TrainingPlan,
    training: Training,
    *,
    step: Step,
    phase: str,
) -> dict[str, Tensor]:
    """The first phase: train all, choose, and put everything back."""
    start = {name: parameter.detach().clone() for name, parameter in parts.all.items()}
    whole = _whole_parts(parts, rule)
    for name, parameter in {**parts.norms, **parts.heads}.items():
        parameter.requires_grad_(name in whole)
    before = [start[name] for name in parts.body]
    pull = _Pull(rule.l1, model, lambda: list(zip(parts.body.values(), before, strict=True)))
    training(model, plan, f"{phase}-full", pull.on(step), adamw)
    chosen = _choose(parts, start, rule)
    with torch.no_grad():
        for name, parameter in parts.all.items():
            parameter.copy_(start[name])
    return chosen


def _choose(parts: Portions, start: Mapping[str, Tensor], rule: SparseRule) -> dict[str, Tensor]:
    entries = entries_to_tune(parts, rule)
    groups: dict[str, Mapping[str, str] | None] = {
        "model": None,
        "layer": parts.layers,
        "part": parts.parts,
        "tensor": {name: name for name in parts.body},
    }
    group_of = groups[rule.within]
    if group_of is None:
        return select(parts.body, start, entries)
    sizes: dict[str, int] = {}
    for name, tensor in parts.body.items():
        sizes[group_of[name]] = sizes.get(group_of[name], 0) + tensor.numel()
    return select(parts.body, start, shares(sizes, entries), groups=group_of)


def _whole_parts(parts: Portions, rule: SparseRule) -> dict[str, nn.Parameter]:
    """What is trained whole; a task's head always is, for it begins at random."""
    frozen = isinstance(rule, LanguageSparseRule) and rule.heads == "frozen"
    return {**({} if frozen else parts.heads), **(parts.norms if rule.norms == "dense" else {})}


def _change(tensor: Tensor, entries: Entries) -> Change:
    return Change(tuple(tensor.shape), entries.positions.cpu(), entries.moved().cpu())


@torch.no_grad()
def _set_to_start_and_delta(parts: Portions, delta: Delta, entries: Mapping[str, Entries]) -> None:
    """theta_0 + (theta - theta_0) may be theta but for the last bit: the model takes what the delta gives."""
    for name, each in entries.items():
        parts.body[name].data.view(-1).index_copy_(0, each.positions.long(), each.start)
    apply(delta, parts.all)


def _facts(model: TaskModel, task: str) -> dict[str, str]:
    labels = json.dumps(list(model.labels), ensure_ascii=False)
    facts = {"task": task, "kind": model.kind, "labels": labels, "pooling": model.pooling}
    return facts if model.prompt is None else facts | {"prompt": model.prompt.model_dump_json()}


@dataclass
class _Pull:
    """L1 regularisation towards the start, added to a step's loss and logged as "pull".

    Attributes:
        strength: of the pull; 0 leaves the step as it is.
        model: whose parameters, all of them, the distance is divided by the number of.
        pairs: the tensors that are pulled, each with its start.
    """

    strength: float
    model: nn.Module
    pairs: Callable[[], Sequence[tuple[Tensor, Tensor]]]

    def on(self, step: Step) -> Step:
        """The step with the pull in its loss."""
        if not self.strength:
            return step
        weight = self.strength / sum(parameter.numel() for parameter in self.model.parameters())

        def pulled(model: nn.Module, batch: Mapping[str, Tensor]) -> Losses:
            losses = step(model, batch)
            pull = weight * distance(self.pairs())
            return {**losses, "loss": losses["loss"] + pull, "pull": pull.detach()}

        return pulled
