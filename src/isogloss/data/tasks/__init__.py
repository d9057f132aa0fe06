"""The tasks and the file formats they are read from: one table of each, and `read`.

A new task is a row of `TASKS`; a new file format is a function in `FORMATS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from isogloss.core.errors import DataError, did_you_mean
from isogloss.data.corpora import Corpus
from isogloss.data.lines import check_file, numbered_lines, suffix
from isogloss.data.records import Example, Kind, TextExample
from isogloss.data.tasks.cloze import gaps
from isogloss.data.tasks.columns import names, parts_of_speech
from isogloss.data.tasks.conllu import UPOS, tags, trees
from isogloss.data.tasks.copa import choices
from isogloss.data.tasks.labelled import labelled
from isogloss.data.tasks.squad import questions

Reader: TypeAlias = Callable[..., Iterator[Example]]
"""`reader(path, *, language, **options)`."""


@dataclass(frozen=True)
class Task:
    """What a task is read from and scored by; its head follows from `kind`.

    Attributes:
        kind: which record its examples are.
        formats: the formats it can be read from, by name; the first is the usual one.
        metrics: names of metrics, the one that decides first.
        labels: the classes or tags where they are fixed; None where the training file decides.
        options: what every reader of this task is given.
    """

    name: str
    kind: Kind
    formats: tuple[str, ...]
    metrics: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    options: Mapping[str, Any] | None = None


NLI_LABELS = ("entailment", "neutral", "contradiction")
PARAPHRASE_LABELS = ("0", "1")

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "nli",
            "label",
            ("table",),
            ("accuracy", "macro_f1"),
            NLI_LABELS,
            {"pairs": True, "known": NLI_LABELS},
        ),
        Task(
            "paraphrase",
            "label",
            ("table",),
            ("accuracy", "macro_f1"),
            PARAPHRASE_LABELS,
            {"pairs": True, "known": PARAPHRASE_LABELS},
        ),
        Task("topic", "label", ("table",), ("accuracy", "macro_f1"), None, {"pairs": False}),
        Task("classify", "label", ("table",), ("accuracy", "macro_f1"), None, {"pairs": False}),
        Task("classify-pairs", "label", ("table",), ("accuracy", "macro_f1"), None, {"pairs": True}),
        Task("copa", "choice", ("xcopa",), ("accuracy",)),
        Task("cloze", "gap", ("geomlama",), ("accuracy", "mrr")),
        Task("ner", "tags", ("columns",), ("span_f1", "accuracy")),
        Task("pos", "tags", ("columns-pos", "conllu-pos"), ("accuracy",), UPOS),
        Task("parsing", "tree", ("conllu",), ("las", "uas")),
        Task("qa", "span", ("squad",), ("f1", "em")),
        Task("lm", "text", ("text",), ("bits_per_byte", "perplexity")),
    )
}


def _corpus(path: Path, *, language: str, column: str = "text") -> Iterator[TextExample]:
    return Corpus(language, path, column=column).examples()


FORMATS: dict[str, Reader] = {
    "table": labelled,
    "xcopa": choices,
    "geomlama": gaps,
    "columns": names,
    "columns-pos": parts_of_speech,
    "conllu-pos": tags,
    "conllu": trees,
    "squad": questions,
    "text": _corpus,
}


def read(
    task: str,
    path: str | Path,
    *,
    language: str,
    format: str | None = None,
    limit: int | None = None,
    **options: Any,
) -> list[Example]:
    """The examples of one file.

    Ids are what makes items findable in other languages: the file's own (SIB-200's index_id, a sent_id, a
    question id), or the row's number from 1. An id that comes again in the file gets `#2`, `#3`, ...

    Args:
        task: a name of `TASKS`.
        language: the file's language, in any spelling.
        format: a name of `FORMATS`; None guesses it from task, file name and content.
        limit: read this many examples at most, from the start; None reads all.
        **options: of the format's reader, such as `labels` (a file of XNLI's test labels), `columns`, `names`
            (of labels that are numbers), `types` (of entities), `spans` (of `squad.questions`), or `column`
            (of a corpus).

    Raises:
        DataError: unknown task or format, whatever is wrong with the file (named with its place), or a file
            without a single example.
    """
    row, path = task_named(task), Path(path).expanduser()
    check_file(path)
    reader = FORMATS[_format(row, path, format)]
    if "labels" in options and options["labels"] is not None:
        options["labels"] = Path(options["labels"])
    try:
        found = reader(path, language=language, **{**(row.options or {}), **options})
    except TypeError as error:
        known = [name for name in signature(reader).parameters if name not in ("path", "language")]
        strange = ", ".join(name for name in options if name not in known)
        raise DataError(
            f"unknown option for {task}: {strange}", wanted=f"of {', '.join(known) or 'none'}"
        ) from error
    examples = list(_with_unique_ids(islice(found, limit)))
    if not examples and limit != 0:
        raise DataError(f"no {task} examples in this file: it is empty", where=str(path))
    return examples


def task_named(name: str) -> Task:
    """The row of a task.

    Raises:
        DataError: there is none of that name; the nearest is named.
    """
    if name not in TASKS:
        wanted = f"one of {', '.join(sorted(TASKS))}"
        raise DataError(f"unknown task {name!r}", wanted=wanted, fix=did_you_mean(name, TASKS))
    return TASKS[name]


def _format(task: Task, path: Path, format: str | None) -> str:
    if format is not None:
        if format not in FORMATS:
            raise DataError(f"unknown format {format!r}", fix=did_you_mean(format, FORMATS))
        return format
    if task.name == "pos":
        return "conllu-pos" if suffix(path) == ".conllu" or _has_ten_columns(path) else "columns-pos"
    return task.formats[0]


def _has_ten_columns(path: Path) -> bool:
    """CoNLL-U under another name: its first line that is no comment has ten columns."""
    lines = (line for _, line in numbered_lines(path) if line.strip() and not line.startswith("#"))
    return next(lines, "").count("\t") == 9


def _with_unique_ids(examples: Iterable[Example]) -> Iterator[Example]:
    seen: Counter[str] = Counter()
    for example in examples:
        seen[example.id] += 1
        again = seen[example.id]
        yield example if again == 1 else replace(example, id=f"{example.id}#{again}")
