"""Audit: what a model costs and can do in each language, where it is weak, and what to try.

Nothing is trained. Every number is measured on the same sentences in all languages where there are such, and
stands beside the source language's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from isogloss.core.config import Record
from isogloss.core.errors import LanguageError
from isogloss.core.fields import LanguageTag
from isogloss.core.files import write_json
from isogloss.core.languages import language
from isogloss.core.run import Run
from isogloss.data.prompts import PromptField
from isogloss.methods.audit_advice import LIMITS, advise, weak
from isogloss.methods.audit_measures import MEASURES, Facts, ticks_of
from isogloss.methods.audit_subject import Subject, subject_of
from isogloss.methods.audit_texts import Material, gather
from isogloss.methods.inventory import note_model
from isogloss.methods.records import ByLanguage, Count, SplitName, TaskData, TaskName
from isogloss.methods.scores import forget_scores
from isogloss.training.progress import ticking

FILE = "audit.json"
EMBEDDED = {tag: "miniature/test:200" for tag in ("eng", "fra", "deu", "rus", "tur", "swa")}
"""What is read when no text is given: the embedded world, which says the same in six languages."""


class AuditRecipe(Record):
    """Audit a model.

    Attributes:
        model: folder or Hub id of any model that transformers or isogloss saved.
        source: the language the others are measured against; None takes English where it is read, else the
            first one of those that are read.
        text: held-out text by language; a language that has none is read in its `aligned` sentences. With
            neither, the sentences are the embedded world's.
        aligned: the same sentences in each language: files in step line by line, or tables with the columns
            `index_id` and `text`; one file a language.
        task: also score this task on `test`; None scores none.
        format, test, options, limit: as in any recipe of a task.
        prompt: how the task is asked of a language model.
        tuned: folder of a task model that was made of `model`, to score the task with; None asks `model`.
        sentences: how many of each language the model reads, of the text and of the aligned sentences each,
            drawn at random.
        lines: how many lines of each text are cut into tokens to count these.
        gradients: aligned sentences to compare gradients on, a pass forth and back for each language; 0 none.
        max_length: tokens of the longest input; None takes what the model allows, 512 at most.
        as_name: what tables of scores and sizes call the model.
        name: of the run folder; None takes the method.
        seed: of everything random.
    """

    method: Literal["audit"] = "audit"
    model: str
    source: LanguageTag | None = None
    text: ByLanguage = Field(default_factory=dict)
    aligned: ByLanguage = Field(default_factory=dict)
    task: TaskName | None = None
    format: str | None = None
    test: ByLanguage = Field(default_factory=dict)
    options: dict[SplitName, dict[str, Any]] = Field(default_factory=dict)
    limit: Count | dict[SplitName, Count] | None = None
    prompt: PromptField | None = None
    tuned: str | None = None
    sentences: int = Field(default=200, ge=8)
    lines: int = Field(default=10_000, ge=1)
    gradients: int = Field(default=16, ge=0)
    max_length: int | None = Field(default=None, ge=8)
    as_name: str = "model"
    name: str | None = None
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, values: Any) -> Any:
        """What is read and measured against, where the recipe leaves it open."""
        if not isinstance(values, dict):
            return values
        if not (values.get("text") or values.get("aligned")):
            values = values | {"aligned": dict(EMBEDDED)}
        languages = values.get("aligned") or values.get("text")
        if values.get("source") is None and isinstance(languages, dict):
            values = values | {"source": next(filter(_is_english, languages), next(iter(languages)))}
        return values

    @model_validator(mode="after")
    def _goes_together(self) -> AuditRecipe:
        if (self.task is None) != (not self.test):
            raise ValueError("task, test: give both, or neither: the task's name and its labelled files")
        if self.task == "lm":
            raise ValueError("task: lm is what an audit measures anyway; give the files as `text`")
        if self.task is None and (self.prompt is not None or self.tuned is not None):
            raise ValueError("prompt, tuned: say how a task is done; name the `task` too")
        if len(self.aligned) == 1:
            raise ValueError("aligned: the same sentences in one language only; give a second")
        compared = "aligned" if self.aligned else "text"
        if self.source not in getattr(self, compared):
            raise ValueError(f"source: {self.source} is not among the languages of `{compared}`")
        return self

    @property
    def reference(self) -> str:
        """The language that the others are measured against."""
        assert self.source is not None, "written out by the validator"
        return self.source

    @property
    def tested(self) -> TaskData | None:
        """The task and its files; None without."""
        if self.task is None:
            return None
        return TaskData(
            task=self.task, format=self.format, test=self.test, options=self.options, limit=self.limit
        )


def _is_english(spelling: Any) -> bool:
    with contextlib.suppress(LanguageError):  # what is no language is refused by its own field
        return language(str(spelling)).tag == "en-Latn"
    return False


def audit(recipe: AuditRecipe, run: Run) -> None:
    """Read the sentences, take each measure that the model can give, and say what is weak and what to try."""
    if not run.writes:  # one process is enough to read
        return
    material = gather(recipe)
    subject = subject_of(recipe)
    note_model(run, recipe.as_name, subject.model, subject.tokenizer)
    forget_scores(run)
    found, skipped = _measured(recipe, run, subject, material)
    facts = {**subject.facts(), **material.facts(), **found, "skipped": skipped}
    measures: Mapping[str, Any] = facts["measures"]
    facts["limits"] = {name: LIMITS[name].to_json() for name in measures if name in LIMITS}
    facts["weak"] = weak(measures, source=material.source)
    facts["advice"] = [one.to_json() for one in advise(facts, recipe.model_dump(mode="json"))]
    write_json(run.folder / FILE, facts)
    _log(run, measures, model=recipe.as_name)


def _measured(
    recipe: AuditRecipe, run: Run, subject: Subject, material: Material
) -> tuple[Facts, dict[str, str]]:
    """What the measures found, and why those that are missing could not be had."""
    facts: Facts = {"measures": {}}
    skipped: dict[str, str] = {}
    with ticking("audit", sum(ticks_of(name, material, recipe) for name in MEASURES)) as tick:
        for name, measure in MEASURES.items():
            found = measure(subject, material, recipe, run, tick)
            if isinstance(found, str):
                skipped[name] = found
            else:
                facts["measures"] |= _there(found.pop("measures"))
                facts |= found
    return facts, skipped


def _there(measures: Mapping[str, Any]) -> dict[str, Any]:
    """Without numbers that are not finite, and without measures that have no number."""
    kept = {
        name: {tag: triple for tag, triple in own.items() if triple[0] is not None}
        for name, own in measures.items()
    }
    return {name: own for name, own in kept.items() if own}


def _log(run: Run, measures: Mapping[str, Any], *, model: str) -> None:
    run.rewind("audit", -1)
    for metric, by_language in measures.items():
        for tag, (value, low, high) in by_language.items():
            bounds = {} if low is None else {"low": low, "high": high}
            run.log(metric, value, phase="audit", step=0, split="audit", language=tag, model=model, **bounds)
