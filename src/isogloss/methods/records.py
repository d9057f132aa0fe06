"""The parts of a recipe that every method shares: where text and tasks come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from isogloss.core.config import Record, Refused
from isogloss.core.errors import DataError
from isogloss.core.fields import EachOnce, LanguageTag
from isogloss.data.tasks import task_named
from isogloss.training.plan import TrainingPlan


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Sources: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
"""One or more places: files, patterns, folders, `hf://…`, or `miniature/train:2000` (the embedded world)."""

STAGE = "stage:"
"""In a pipeline, `stage:NAME` stands for the model that the earlier stage NAME left."""

SplitName: TypeAlias = Literal["train", "dev", "test", "unlabelled"]

Count: TypeAlias = Annotated[int, Field(ge=1)]

ByLanguage: TypeAlias = Annotated[dict[LanguageTag, Sources], EachOnce]


def _known_task(name: str) -> str:
    try:
        return task_named(name).name
    except DataError as error:
        raise Refused(error) from error


TaskName: TypeAlias = Annotated[str, AfterValidator(_known_task)]


class TaskData(Record):
    """A task and its files, per language.

    Attributes:
        task: a name from the table of tasks (`isogloss.data.tasks.TASKS`).
        format: the file format when the files' names do not tell; None guesses.
        train: what to learn from; several languages are mixed by size.
        dev: chooses the checkpoint and stops early; empty means the last checkpoint is kept.
        test: every language to report.
        options: what else the reader is told, by split: {test: {labels: xnli/test.labels.txt}}.
        limit: examples to read per language and file at most, of every split, or by split: {train: 128}; None
            reads all.
    """

    task: TaskName
    format: str | None = None
    train: ByLanguage = Field(default_factory=dict)
    dev: ByLanguage = Field(default_factory=dict)
    test: ByLanguage = Field(default_factory=dict)
    options: dict[SplitName, dict[str, Any]] = Field(default_factory=dict)
    limit: Count | dict[SplitName, Count] | None = None

    def most(self, split: SplitName) -> int | None:
        """Examples to read of a file of a split; None for all."""
        return self.limit.get(split) if isinstance(self.limit, dict) else self.limit

    @model_validator(mode="after")
    def _test_or_train(self) -> TaskData:
        if not (self.train or self.test):
            raise ValueError("`train` or `test` files: a task without either does nothing")
        return self


class SparseRule(Record):
    """Sparse fine-tuning (LT-SFT, Ansell et al. 2022): tune few entries of a model, and leave a delta.

    Everything is trained, the entries that moved most are kept, and these alone are trained from the start
    again. What became of them is a file in `deltas/` of the run folder.

    Attributes:
        density: the share of the entries to tune: of the backbone and its embeddings, normalisations apart.
        within: where the share holds: in the whole model (the largest movements, wherever they are), or in
            each layer, each part (embedding, attention, feed-forward) or each tensor by itself.
        norms: normalisations stay frozen throughout, as published, or are trained whole. Heads always are.
        l1: pull towards the start in both phases: this times the sum of |theta - theta_0| over the backbone,
            divided by the number of the model's parameters. Published language deltas used 0.1.
        training: of the second phase; None takes the first one's. Published: 3 epochs of all, then 10.
    """

    density: float = Field(default=0.08, gt=0, le=1)
    within: Literal["model", "layer", "part", "tensor"] = "model"
    norms: Literal["frozen", "dense"] = "frozen"
    l1: float = Field(default=0.0, ge=0)
    training: TrainingPlan | None = None


class LanguageSparseRule(SparseRule):
    """Sparse tuning of a language model on text: the delta of a language, for any model with its backbone.

    Attributes:
        density: as in `SparseRule`; published deltas have 4.3 % of mBERT's parameters.
        l1: as in `SparseRule`, with the published strength.
        heads: "frozen": nothing above the backbone is trained, and an output layer that shares the embedding
            table gets a copy of it to keep while the embedding moves. Published deltas were learnt so but for
            the layer before the output layer, which they trained and left out. "dense": the head is trained
            whole, and is in the delta.
    """

    density: float = Field(default=0.043, gt=0, le=1)
    l1: float = Field(default=0.1, ge=0)
    heads: Literal["frozen", "dense"] = "frozen"
