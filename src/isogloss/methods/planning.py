"""What a recipe would cost, worked out before anything runs: parameters, steps, memory, disk.

Parameters and disk are exact arithmetic on configurations; no weights are read. Memory is an estimate:
weights, gradients and AdamW's two moments at 4 bytes a parameter each, and activations by Korthikanti et al.
(2022, arXiv 2205.05198, equation 2) at 4 bytes a number.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from isogloss.compress.layers import layer_map
from isogloss.data.aligned import align
from isogloss.data.mixture import Mixture
from isogloss.data.prompts import Prompt
from isogloss.data.records import PIECES, Example, Kind
from isogloss.data.schedule import Adaptive
from isogloss.data.tasks import TASKS
from isogloss.methods.audit import AuditRecipe
from isogloss.methods.clones import cloned_text
from isogloss.methods.distil import DistilRecipe
from isogloss.methods.expected import expected_vocabulary
from isogloss.methods.finetune import FinetuneRecipe
from isogloss.methods.level import LevelRecipe
from isogloss.methods.mixing import planned
from isogloss.methods.pipeline import PipelineRecipe
from isogloss.methods.pretrain_recipe import PretrainRecipe
from isogloss.methods.pretrain_vocabulary import given_tokenizer
from isogloss.methods.records import STAGE
from isogloss.methods.sources import examples
from isogloss.methods.student import student_config
from isogloss.methods.task import labels_of
from isogloss.methods.task_recipe import TaskTraining
from isogloss.methods.text import draws_of
from isogloss.models.architecture import architecture_config
from isogloss.models.backbone import Auto, empty_model, load_config
from isogloss.models.gpt import plain_config
from isogloss.models.sizes import sizes
from isogloss.models.tasks import (
    HEAD_FACTS,
    Pooling,
    build_task_model,
    head_facts,
    objective_of,
    saved_prompt,
)
from isogloss.training.plan import TrainingPlan

_STATES = 4  # weights, gradients and two moments, each 4 bytes a parameter
_NUMBERS_PER_TOKEN = 17  # of the hidden width, per layer: Korthikanti's 34 bytes at 2 bytes each
_MOST_COUNTED = 10**7
"""Draws that a plan counts one by one; it tells only what is expected of more."""
_TYPICAL_LENGTH = 64  # tokens of a sentence in a task, for want of counting


@dataclass(frozen=True)
class Row:
    """One line of a plan: what, how much, and how that comes about."""

    what: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What one method would cost; a pipeline has one for each stage.

    Attributes:
        title: the method, or the stage's name and method.
        rows: in the order to read them.
        config: the transformers configuration of the model it leaves, for later stages.
        vocabulary: rows of that model's vocabulary.
        counted: parameters of that model, part by part as in `models.sizes`.
    """

    title: str
    rows: tuple[Row, ...]
    config: Any
    vocabulary: int
    counted: Mapping[str, int]


@dataclass(frozen=True)
class _Known:
    """What a plan can look up: earlier stages by name, the folder of runs; and whether to count corpora."""

    stages: Mapping[str, Plan]
    out: Path
    count: bool


def plan(recipe: Any, *, out: Path = Path("runs"), count: bool = False) -> list[Plan]:
    """The cost of a recipe, stage by stage.

    Args:
        out: the folder of run folders, in which a run of this recipe may have begun.
        count: count corpora, however large, to know what trimming will leave of a vocabulary.
    """
    if isinstance(recipe, PipelineRecipe):
        return list(_stages(recipe, out=out, count=count))
    return [_PLANS[type(recipe)](recipe, recipe.method, _Known({}, out, count))]


def _stages(recipe: PipelineRecipe, *, out: Path, count: bool) -> Iterator[Plan]:
    stages: dict[str, Plan] = {}
    for name, stage in recipe.stages.items():
        known = _Known(stages, out, count)
        stages[name] = _PLANS[type(stage)](stage, f"{name}: {stage.method}", known)
        yield stages[name]


def _pretrain(recipe: PretrainRecipe, title: str, known: _Known) -> Plan:
    if recipe.architecture is None:
        config, vocabulary = _model(str(recipe.model), known)
    else:
        vocabulary = _new_vocabulary(recipe)
        config = architecture_config(recipe.architecture, vocabulary=vocabulary)
    counted = sizes(config, auto=recipe.objective, vocabulary=vocabulary)
    rows = [
        *_size_rows(counted),
        *_vocabulary_rows(recipe),
        *_language_model_rows(recipe.training, recipe.length),
        *_mixture_rows(recipe),
        *_sparse_rows(recipe),
        *_memory_rows(config, counted["total"], recipe.training, recipe.length),
    ]
    return Plan(title, tuple(rows), plain_config(config), vocabulary, counted)


def _mixture_rows(recipe: PretrainRecipe) -> Iterator[Row]:
    """What each language is expected to get, and what this seed draws for it."""
    if len(recipe.languages) < 2:
        return
    steps, by = recipe.training.steps, (recipe.schedule or recipe.mixture).by
    shares = planned(recipe.mixture, recipe.schedule, recipe.languages, steps) if steps else None
    if steps is None or shares is None:
        why = f"{(recipe.schedule or recipe.mixture).kind} shares" if steps else "a training by epochs"
        yield Row("– by language", "not yet known", f"{why}: told when the corpora are tokenised")
        return
    draws = steps * draws_of(recipe.training)
    exact = None
    if not isinstance(recipe.schedule, Adaptive) and by == "sequences" and draws <= _MOST_COUNTED:
        drawn = Mixture(shares.scaled(draws_of(recipe.training)), seed=recipe.seed).drawn(0, draws)
        exact = dict(zip(recipe.languages, drawn.tolist(), strict=True))
    adapts = isinstance(recipe.schedule, Adaptive) and recipe.schedule.budget is None
    word = "if nothing moves" if adapts else "expected"
    for tag, share in shares.mean(steps).items():
        told = f"{word}, {share:.2%} of the {by}"
        told += f"; this seed draws {exact[tag]:,} of {draws:,} sequences" if exact else ""
        yield Row(f"– {tag}", f"{round(share * draws * recipe.length):,} tokens", told)


def _sparse_rows(recipe: PretrainRecipe) -> Iterator[Row]:
    if recipe.sparse is not None:
        second = recipe.sparse.training or recipe.training
        steps = f"{second.epochs} epochs" if second.steps is None else f"{second.steps:,}"
        yield Row("steps, sparse", steps, f"{recipe.sparse.density:.2%} of the backbone, then trained alone")


def _vocabulary_rows(recipe: PretrainRecipe) -> Iterator[Row]:
    if recipe.vocabulary is not None:
        note = "of which a small corpus may give fewer; the model is then smaller by their rows"
        if recipe.vocabulary.across != "joint":
            note = f"at most, {recipe.vocabulary.across}; special tokens are shared"
        yield Row("vocabulary", f"{recipe.vocabulary.most(len(recipe.corpora)):,}", note)
    if recipe.clones is not None and not (recipe.model or "").startswith(STAGE):
        note = (
            f"at most, in {recipe.clones.count} clones; {recipe.clones.anchors:.0%} of the pieces are shared"
        )
        yield Row("rows", f"{_new_vocabulary(recipe):,}", note)


def _new_vocabulary(recipe: PretrainRecipe) -> int:
    if recipe.vocabulary is None:
        source = recipe.model or recipe.tokenizer
        assert source is not None, "a new model without a tokenizer"
        tokenizer = given_tokenizer(source)
        return cloned_text(recipe.clones, tokenizer).rows(tokenizer)
    size = recipe.vocabulary.most(len(recipe.corpora))
    clones = recipe.clones
    return size if clones is None else size + (clones.count - 1) * round((1 - clones.anchors) * size)


def _finetune(recipe: FinetuneRecipe, title: str, known: _Known) -> Plan:
    config, vocabulary = _model(recipe.model, known)
    learnt = examples(recipe, "train")
    counted = task_sizes(recipe, learnt, config, vocabulary)
    rows = [*_size_rows(counted), *_task_rows(recipe, learnt, config, counted["total"], known)]
    return Plan(title, tuple(rows), config, vocabulary, counted)


def _level(recipe: LevelRecipe, title: str, known: _Known) -> Plan:
    config, vocabulary = _model(recipe.model, known)
    items = align(examples(recipe, "unlabelled"))
    learnt = min(recipe.items or len(items), len(items) - round(recipe.guards.held_out * len(items)))
    languages = len(items.languages)
    size = recipe.training.batch_size
    steps = recipe.training.total_steps(math.ceil(learnt / size))
    counted = _counted(recipe.model, config, vocabulary, known)
    rows = [
        *_size_rows(counted),
        Row(
            "items",
            f"{learnt:,}",
            f"in {languages} languages; {len(items) - learnt:,} others held out or left",
        ),
        Row("steps", f"{steps:,}", f"of {size} items, {size * languages:,} rows"),
        *_memory_rows(
            config,
            counted["total"],
            recipe.training.model_copy(update={"batch_size": size * languages}),
            recipe.max_length or _TYPICAL_LENGTH,
            besides=4 * counted["total"] * (1 + recipe.distillation.second_model),
        ),
    ]
    return Plan(title, tuple(rows), config, vocabulary, counted)


def _distil(recipe: DistilRecipe, title: str, known: _Known) -> Plan:
    config, vocabulary = _model(recipe.teacher, known)
    layers = layer_map(config.num_hidden_layers, recipe.student.layers.keep)
    student = student_config(recipe.student, config)
    objective: Auto = objective_of(config)
    expected = expected_vocabulary(recipe, vocabulary, out=known.out, count=known.count)
    whole = sizes(config, auto=objective, vocabulary=vocabulary)
    part = sizes(student, auto=objective, vocabulary=expected.rows)
    bound = "" if expected.exact else ", at most"
    left: Mapping[str, int] = part
    rows = [
        Row("teacher", f"{whole['total']:,} parameters", f"{config.num_hidden_layers} layers"),
        Row(f"student{bound}", f"{part['total']:,} parameters"),
        Row(f"student's vocabulary{bound}", f"{expected.rows:,}", expected.why),
        Row("student's layers", ", ".join(map(str, layers)), "of the teacher's, counted from 0"),
    ]
    if recipe.phase1 is not None:
        rows += [
            Row("phase 1", ""),
            *_language_model_rows(recipe.phase1.training, recipe.phase1.length),
            *_memory_rows(
                student, part["total"], recipe.phase1.training, recipe.phase1.length,
                besides=4 * whole["total"],
            ),
        ]  # fmt: skip
    if recipe.phase2 is not None:
        learnt = examples(recipe.phase2, "train")
        left = task_sizes(recipe.phase2, learnt, student, expected.rows)
        rows += [Row("phase 2", ""), *_task_rows(recipe.phase2, learnt, student, left["total"], known)]
    return Plan(title, tuple(rows), student, expected.rows, left)


def _audit(recipe: AuditRecipe, title: str, known: _Known) -> Plan:
    """Passes over sentences; nothing is trained."""
    config, vocabulary = _model(recipe.model, known)
    counted = _counted(recipe.model, config, vocabulary, known)
    languages = len({*recipe.text, *recipe.aligned})
    weights = 4 * counted["total"]
    rows = [
        *_size_rows(counted),
        Row("sentences", f"{recipe.sentences:,}", f"at most, of each of {languages} languages"),
        Row("lines", f"{recipe.lines:,}", "at most, of each language, cut into tokens"),
        Row("gradients", f"{recipe.gradients}", "sentences of each aligned language"),
        Row("memory", f"about {_size((3 if recipe.gradients else 1) * weights)}", "weights and gradients"),
    ]
    return Plan(title, tuple(rows), config, vocabulary, counted)


_PLANS: dict[type, Callable[[Any, str, _Known], Plan]] = {
    PretrainRecipe: _pretrain,
    FinetuneRecipe: _finetune,
    DistilRecipe: _distil,
    LevelRecipe: _level,
    AuditRecipe: _audit,
}


def _model(source: str, known: _Known) -> tuple[Any, int]:
    """Configuration and vocabulary of a model that is there, or that an earlier stage will leave."""
    if source.startswith(STAGE):
        stage = known.stages[source.removeprefix(STAGE)]
        return stage.config, stage.vocabulary
    config = load_config(source)
    return config, int(config.vocab_size)


def _counted(source: str, config: Any, vocabulary: int, known: _Known) -> Mapping[str, int]:
    """Parameters of a model as it is, with the head it has."""
    if source.startswith(STAGE):
        return known.stages[source.removeprefix(STAGE)].counted
    if not (Path(source) / HEAD_FACTS).exists():
        auto: Auto = objective_of(config)
        return sizes(config, auto=auto, vocabulary=vocabulary)
    facts = head_facts(Path(source))
    return _sizes_for(
        facts["kind"], facts["labels"], facts["pooling"], saved_prompt(source), config, vocabulary
    )


def task_sizes(
    task: TaskTraining, learnt: Mapping[str, Sequence[Example]], config: Any, vocabulary: int
) -> dict[str, int]:
    """Parameters of a task model on a backbone of this configuration, part by part as in `models.sizes`."""
    labels = labels_of(task, [example for found in learnt.values() for example in found])
    return _sizes_for(TASKS[task.task].kind, labels, task.pooling or "mean", task.prompt, config, vocabulary)


def _sizes_for(
    kind: Kind, labels: Sequence[str], pooling: Pooling, prompt: Prompt | None, config: Any, vocabulary: int
) -> dict[str, int]:
    config = copy.deepcopy(config)
    config.vocab_size = vocabulary
    auto: Auto = objective_of(config) if kind in PIECES or prompt is not None else "base"
    with torch.device("meta"):
        empty = empty_model(config, auto)
        model = build_task_model(kind, empty, labels=labels, pooling=pooling, prompt=prompt)
        counted = sizes(model.model)
    own = sum(parameter.numel() for parameter in model.head.parameters()) if model.head else 0
    return counted | {"head": counted["head"] + own, "total": counted["total"] + own}


def _size_rows(counted: Mapping[str, int]) -> Iterator[Row]:
    parts = ", ".join(f"{counted[part]:,} {part}" for part in ("embedding", "layers", "head"))
    yield Row("parameters", f"{counted['total']:,}", parts)
    yield Row("model on disk", _size(4 * counted["total"]), "float32")


def _language_model_rows(training: TrainingPlan, length: int) -> Iterator[Row]:
    per_step = training.batch_size * training.accumulate * length
    if training.steps is None:
        yield Row("steps", f"{training.epochs} epochs", "of the corpora, counted when they are tokenised")
    else:
        yield Row("steps", f"{training.steps:,}")
        yield Row("tokens", f"{training.steps * per_step:,}", f"at most; {per_step:,} a step")


def _task_rows(
    task: TaskTraining,
    learnt: Mapping[str, Sequence[Example]],
    config: Any,
    parameters: int,
    known: _Known,
) -> Iterator[Row]:
    total = sum(map(len, learnt.values()))
    yield Row("examples", f"{total:,}", ", ".join(f"{len(found):,} {tag}" for tag, found in learnt.items()))
    steps = _steps(task.training, total)
    yield Row("steps", f"{steps:,}")
    micro_batches = steps * task.training.accumulate
    if task.sparse is not None:
        second = task.sparse.training or task.training
        density = f"{task.sparse.density:.2%} of the backbone, then trained alone"
        yield Row("steps, sparse", f"{_steps(second, total):,}", density)
        micro_batches += _steps(second, total) * second.accumulate
    beside = 0
    if (text := task.unlabelled) is not None:
        each = text.batch_size * text.length
        yield Row("tokens of text", f"{micro_batches * each:,}", f"at most; {each:,} beside each batch")
        beside = _activations(config, text.batch_size, text.length)
    length = task.max_length or _TYPICAL_LENGTH
    teacher = _teacher_bytes(task, known)
    yield from _memory_rows(config, parameters, task.training, length, besides=teacher, acting=beside)


def _steps(training: TrainingPlan, examples: int) -> int:
    return training.total_steps(math.ceil(examples / training.batch_size))


def _teacher_bytes(task: TaskTraining, known: _Known) -> int:
    """What a task teacher takes beside the student, but for its head."""
    if task.teacher is None:
        return 0
    config, vocabulary = _model(task.teacher.model, known)
    return 4 * sizes(config, auto="base", vocabulary=vocabulary)["total"]


def _memory_rows(
    config: Any,
    parameters: int,
    training: TrainingPlan,
    length: int,
    *,
    besides: int = 0,
    acting: int = 0,
) -> Iterator[Row]:
    """Memory while training and disk for checkpoints.

    Args:
        besides: bytes of what else is held.
        acting: bytes of the activations of what else is read with each batch.
    """
    states = 4 * _STATES * parameters
    acting += _activations(config, training.batch_size, length)
    yield Row(
        "memory",
        f"about {_size(states + acting + besides)}",
        f"{_size(states + besides)} of weights and optimiser, {_size(acting)} of activations",
    )
    kept = training.keep_checkpoints + (training.select != "last")
    yield Row(
        "checkpoints on disk",
        f"at most {_size(12 * parameters * kept)}",
        f"{kept} of {_size(12 * parameters)}",
    )


def _activations(config: Any, batch: int, length: int) -> int:
    """Bytes held for the backward pass: s b h (34 + 5 a s / h) per layer at 2 bytes a number, here at 4."""
    width, heads = int(config.hidden_size), int(config.num_attention_heads)
    per_layer = batch * length * (_NUMBERS_PER_TOKEN * width + 2.5 * heads * length)
    return int(4 * per_layer * config.num_hidden_layers)


def _size(n_bytes: float) -> str:
    unit = next(u for u in ("GB", "MB", "kB") if n_bytes >= _UNITS[u] or u == "kB")
    return f"{n_bytes / _UNITS[unit]:.1f} {unit}"


_UNITS = {"GB": 1e9, "MB": 1e6, "kB": 1e3}
