"""What a recipe names, looked for before anything costly runs: files, folders of models, lengths.

A run of days shall not end at a test file whose name was misspelt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from isogloss.compress.layers import layer_map
from isogloss.core.config import Record
from isogloss.core.errors import DataError, ModelError, RecipeError
from isogloss.data.corpora import Corpus
from isogloss.data.lines import check_file
from isogloss.data.records import PIECES
from isogloss.data.tasks import TASKS
from isogloss.methods.audit import AuditRecipe
from isogloss.methods.distil import DistilRecipe
from isogloss.methods.finetune import FinetuneRecipe
from isogloss.methods.guide import refuse_stranger
from isogloss.methods.level import LevelRecipe
from isogloss.methods.pretrain_recipe import PretrainRecipe
from isogloss.methods.records import STAGE, ByLanguage, TaskData
from isogloss.methods.scores import refuse_other_kind
from isogloss.methods.sources import miniature
from isogloss.methods.student import student_config
from isogloss.methods.task_recipe import TaskTraining
from isogloss.models.backbone import load_config, load_tokenizer
from isogloss.models.tasks import longest_input, objective_of, task_kind
from isogloss.training.plan import TrainingPlan
from isogloss.training.selection import SUMMARIES, check_worst, is_summary
from isogloss.vocab.fingerprint import fingerprint


def check(recipe: Any) -> None:
    """Refuse a recipe that names what is not there; what an earlier stage shall leave is not looked for.

    Raises:
        DataError: a file is missing.
        ModelError: a model is missing, or of another kind than the task.
        RecipeError: sequences longer than the model takes, or a checkpoint chosen by a language
            without dev, or by the worst of more languages than have dev.
    """
    stages: dict[str, Record] = getattr(recipe, "stages", {})
    for path, one in {f"stages.{name}.": stage for name, stage in stages.items()}.items() or [("", recipe)]:
        _check_one(one, path)


def _check_one(recipe: Record, path: str) -> None:
    for where, part in _records(recipe, path):
        for split in ("corpora", "train", "dev", "test", "unlabelled", "text", "aligned"):
            if isinstance(sources := getattr(part, split, None), dict):
                _check_sources(sources, f"{where}{split}", of_task=_has_files(part, split))
        if isinstance(part, TaskTraining):
            _check_beside(part, where)
            _check_task_teacher(part, where)
        if isinstance(deltas := getattr(part, "deltas", None), dict):
            _check_deltas(deltas.values(), f"{where}deltas")
        for key, training, judged in _trainings(part):
            _check_selection(training, judged, f"{where}{key}")
    for key in ("model", "teacher"):
        _check_model(recipe, key, path)
    if isinstance(recipe, LevelRecipe):
        _check_levelled(recipe, path)
    if isinstance(recipe, AuditRecipe):
        _check_audited(recipe, path)


def _trainings(part: Record) -> Iterator[tuple[str, TrainingPlan, ByLanguage]]:
    """Every training of a record, by the beginning of its key, and what its checkpoints are chosen by."""
    if isinstance(part, TaskTraining | PretrainRecipe):
        yield "", part.training, part.dev
        if part.sparse is not None and part.sparse.training is not None:
            yield "sparse.", part.sparse.training, part.dev
    if isinstance(part, DistilRecipe) and part.phase1 is not None:
        yield "phase1.", part.phase1.training, part.dev
    if isinstance(part, LevelRecipe):
        yield "", part.training, part.dev if part.guards.choose_by == "source" else part.unlabelled


def _records(record: Record, path: str) -> Iterator[tuple[str, Record]]:
    """A record and those in its fields, each with the beginning of its keys."""
    yield path, record
    for name in type(record).model_fields:
        if isinstance(inner := getattr(record, name), Record):
            yield from _records(inner, f"{path}{name}.")


def _has_files(part: Record, split: str) -> bool:
    """Whether its sources are plain files rather than running text, which may be folders and more."""
    if isinstance(part, AuditRecipe):
        return split == "aligned" or (split == "test" and part.task != "lm")
    return isinstance(part, TaskData) and part.task != "lm"


def _check_sources(sources: ByLanguage, key: str, *, of_task: bool) -> None:
    for tag, places in sources.items():
        try:
            if miniature(places):
                continue
            if not of_task:
                Corpus(tag, places)
            for place in places if of_task else ():
                check_file(Path(place).expanduser())
        except DataError as error:
            where = f"{error.where}  ({key}.{tag})" if error.where else f"{key}.{tag}"
            raise DataError(error.got, wanted=error.wanted, fix=error.fix, where=where) from error


def _check_model(recipe: Record, key: str, path: str) -> None:
    source = getattr(recipe, key, None)
    if not isinstance(source, str) or source.startswith(STAGE):
        return
    config = load_config(source)
    if isinstance(recipe, DistilRecipe) and objective_of(config) == "seq2seq":
        raise ModelError(
            f"{path}teacher: {source} is an encoder-decoder",
            wanted="a masked or causal language model, such as XLM-R, mmBERT or GPT-2",
            fix="distil another teacher; `trim` and `finetune` take encoder-decoders too",
        )
    if isinstance(recipe, PretrainRecipe):
        _check_direction(recipe, config, path)
    if key == "teacher" and isinstance(recipe, DistilRecipe):
        _check_comparable(recipe, config, path)
        _check_teachers_akin(recipe, config)
    for name, length in _lengths(recipe):
        _check_length(length, longest_input(config), f"{path}{name}")


def _check_direction(recipe: PretrainRecipe, config: Any, path: str) -> None:
    """Refuse to go on from a model by another objective than its own."""
    own = objective_of(config)
    if recipe.objective != own:
        told = "an encoder-decoder" if own == "seq2seq" else f"{own}"
        raise RecipeError(
            f"{path}objective: {recipe.objective}, and {recipe.model}, a {config.model_type}, is {told}",
            wanted="a model with the recipe's objective",
            fix="go on from another model" if own == "seq2seq" else f"--set {path}objective={own}",
        )


def _check_levelled(recipe: LevelRecipe, path: str) -> None:
    """A model that can do the task or be asked, and teachers that have items."""
    unknown = [tag for tag in recipe.selection.teachers if tag not in recipe.unlabelled]
    if unknown:
        raise RecipeError(
            f"{path}selection.teachers: {unknown[0]}, which has no items",
            wanted=f"languages of `unlabelled`: {', '.join(recipe.unlabelled)}",
            fix="give its items, or name another teacher",
        )
    learnt_a_task = recipe.prompt is None and TASKS[recipe.task].kind not in PIECES
    if learnt_a_task and not recipe.model.startswith(STAGE):
        _check_task_model(recipe.model, recipe.task, f"{path}model")


def _check_audited(recipe: AuditRecipe, path: str) -> None:
    """A model that can do the task, where one is named, and that was made from the one that is audited."""
    both = [recipe.model, recipe.tuned] if recipe.tuned is not None else []
    if both and not any(folder.startswith(STAGE) for folder in both):
        audited, tuned = (_shape(load_config(folder)) for folder in both)
        if audited != tuned:
            raise RecipeError(
                f"{path}tuned: {recipe.tuned} has {tuned}, where {recipe.model} has {audited}",
                wanted="the audited model, tuned to the task",
                fix="audit the model that it was tuned from, or tune this one",
            )
    if recipe.task is None or recipe.prompt is not None or TASKS[recipe.task].kind in PIECES:
        return
    key = "model" if recipe.tuned is None else "tuned"
    folder = recipe.tuned or recipe.model
    if not folder.startswith(STAGE):
        _check_task_model(folder, recipe.task, f"{path}{key}")


def _shape(config: Any) -> str:
    return f"{config.num_hidden_layers} layers of {config.hidden_size} and {config.vocab_size:,} rows"


def _check_comparable(recipe: DistilRecipe, config: Any, path: str) -> None:
    """Refuse losses that need of the student what it will not have."""
    student = student_config(recipe.student, config)
    phases = {"phase1": recipe.phase1, "phase2": recipe.phase2}
    if recipe.phase2 is not None and recipe.phase2.teacher is None:
        del phases["phase2"]
    turned_to = student.hidden_size if recipe.student.start == "copied" else None
    for name, phase in phases.items():
        if phase is not None:
            phase.losses.refuse_incomparable(
                student, config, turned_to=turned_to, where=f"{path}{name}.losses"
            )


def _check_teachers_akin(recipe: DistilRecipe, config: Any) -> None:
    """The second phase's teacher was tuned from the first one's; to find that out after it would be dear."""
    tuned = recipe.phase2.teacher if recipe.phase2 else None
    if tuned is None or tuned.model.startswith(STAGE):
        return
    refuse_stranger(
        fingerprint(load_tokenizer(tuned.model)),
        load_config(tuned.model).num_hidden_layers,
        vocabularies=(fingerprint(load_tokenizer(recipe.teacher)),),
        layers=layer_map(config.num_hidden_layers, recipe.student.layers.keep),
        where=tuned.model,
    )


def _lengths(recipe: Record) -> Iterator[tuple[str, int | None]]:
    """Every length in tokens that a recipe asks of its model, by key."""
    if isinstance(recipe, PretrainRecipe):
        yield "length", recipe.length
        if recipe.perplexity is not None and recipe.objective == "causal":
            yield "perplexity.window", recipe.perplexity.window
    if isinstance(recipe, FinetuneRecipe | LevelRecipe | AuditRecipe):
        yield "max_length", recipe.max_length
    if isinstance(recipe, DistilRecipe) and recipe.phase1 is not None:
        yield "phase1.length", recipe.phase1.length
    if isinstance(recipe, DistilRecipe) and recipe.phase2 is not None:
        yield "phase2.max_length", recipe.phase2.max_length


def _check_length(length: int | None, longest: int | None, key: str) -> None:
    if length is not None and longest is not None and length > longest:
        raise RecipeError(
            f"{key}: {length} tokens, but the model reads {longest} at most",
            wanted=f"a number up to {longest}",
            fix=f"--set {key}={longest}",
        )


def _check_beside(task: TaskTraining, path: str) -> None:
    for name, folder in task.beside.items():
        if folder.startswith(STAGE):
            continue
        _check_task_model(folder, task.task, f"{path}beside.{name}")


def _check_task_teacher(task: TaskTraining, path: str) -> None:
    if task.teacher is None:
        return
    _check_deltas(task.teacher.deltas, f"{path}teacher.deltas")
    folder = task.teacher.model
    if not (task.teacher.deltas or folder.startswith(STAGE)):
        _check_task_model(folder, task.task, f"{path}teacher")


def _check_deltas(files: Iterable[str], key: str) -> None:
    for file in files:
        if not (file.startswith(STAGE) or Path(file).exists()):
            raise DataError(f"no such file: {file}", wanted="the file of a delta", where=key)


def _check_task_model(folder: str, task: str, key: str) -> None:
    """A task model's folder, and of the task's kind."""
    try:
        kind = task_kind(folder)
    except ModelError as error:
        raise ModelError(
            error.got, wanted=error.wanted, fix=error.fix, where=f"{error.where}  ({key})"
        ) from error
    refuse_other_kind(kind, task, where=folder)


def _check_selection(training: TrainingPlan, judged: ByLanguage, path: str) -> None:
    if judged:
        check_worst(training.select, len(judged), path=f"{path}training.")
    if training.select != "last" and not is_summary(training.select) and training.select not in judged:
        known = ", ".join(judged) or "none"
        raise RecipeError(
            f"{path}training.select: {training.select}, in which nothing is evaluated",
            wanted=f"{SUMMARIES}, last or a language with items to choose by: {known}",
            fix="give that language some, such as a `dev` set, or select another",
        )
