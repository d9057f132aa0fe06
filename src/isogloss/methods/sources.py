"""Where text and examples come from: files, the Hub, or the embedded world, written the same way in a recipe.

`miniature/train:2000` is the first 2000 sentences of the training split of the embedded world, in the
language under which it stands. Everything else is a file, a pattern, a folder or an `hf://` name, read by
`data.corpora` and `data.tasks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, TypeAlias, cast

from isogloss.core.errors import DataError, did_you_mean
from isogloss.core.languages import original_of
from isogloss.core.run import Run
from isogloss.data.corpora import Corpus
from isogloss.data.records import Example, has_gold
from isogloss.data.tasks import read
from isogloss.methods.records import ByLanguage, SplitName, TaskData

MiniatureSplit: TypeAlias = Literal["train", "dev", "test"]

_MINIATURE = re.compile(r"miniature(?:/(?P<split>[^:]*))?(?::(?P<count>.*))?")
_COUNTS: dict[MiniatureSplit, int] = {"train": 2000, "dev": 200, "test": 400}


@dataclass(frozen=True)
class MiniatureText:
    """Sentences of the embedded world as a corpus; the same interface as `data.corpora.Corpus`."""

    language: str
    split: MiniatureSplit
    count: int
    seed: int = 0

    def __iter__(self) -> Iterator[str]:
        from isogloss.data.miniature import sentences

        return sentences(original_of(self.language), self.split, self.count, seed=self.seed)

    def fingerprint(self) -> str:
        """Changes with the sentences: the generator's version is part of it."""
        from isogloss.data.miniature import VERSION

        told = original_of(self.language)
        return f"miniature-{VERSION}-{told}-{self.split}-{self.count}-{self.seed}"


def corpora(sources: ByLanguage) -> dict[str, Corpus | MiniatureText]:
    """A re-iterable corpus for each language."""
    return {tag: _corpus(tag, places) for tag, places in sources.items()}


def _corpus(tag: str, places: tuple[str, ...]) -> Corpus | MiniatureText:
    if embedded := miniature(places):
        return MiniatureText(tag, *embedded)
    return Corpus(tag, places)


def examples(data: TaskData, split: SplitName) -> dict[str, list[Example]]:
    """The examples of one split of a task ("unlabelled" where the recipe has such files), by language.

    Raises:
        DataError: a file is missing or malformed, or holds no example, or, of a split that is learnt from or
            scored, none with an answer.
    """
    sources: ByLanguage = getattr(data, split)
    return {tag: _examples(data, split, tag, places) for tag, places in sources.items()}


def _examples(data: TaskData, split: SplitName, tag: str, places: tuple[str, ...]) -> list[Example]:
    limit = data.most(split)
    if embedded := miniature(places):
        from isogloss.data.miniature import task_examples

        told, count = embedded
        found = task_examples(data.task, original_of(tag), told, min(count, limit or count))
        return [replace(example, language=tag) for example in found]
    options = data.options.get(split, {})
    if data.task == "lm":  # running text: patterns and folders too
        found = [*islice(Corpus(tag, places, **options).examples(), limit)]
    else:
        found = [
            example
            for place in places
            for example in read(data.task, place, language=tag, format=data.format, limit=limit, **options)
        ]
    if not found:
        raise DataError("no examples", wanted=f"at least one example of {data.task}", where=", ".join(places))
    if split != "unlabelled" and not any(map(has_gold, found)):
        raise DataError(
            f"{len(found):,} examples of {data.task} in {tag}, and none with an answer",
            wanted=f"files for `{split}` that have some",
            fix="choose another split: of some benchmarks the test set is published without answers",
            where=", ".join(places),
        )
    return found


def miniature(places: tuple[str, ...]) -> tuple[MiniatureSplit, int] | None:
    """Split and count of an embedded source, or None for files."""
    matches = [_MINIATURE.fullmatch(place) for place in places]
    if not any(matches):
        return None
    match = matches[0]
    if len(places) > 1 or match is None:
        raise DataError(
            f"the embedded world among other sources: {', '.join(places)}",
            wanted="miniature/… alone",
            fix="write its sentences to a file if they are to be mixed within a language",
        )
    name = match["split"] or "train"
    if name not in _COUNTS:
        raise DataError(f"miniature/{name}", wanted="train, dev or test", fix=did_you_mean(name, _COUNTS))
    split = cast(MiniatureSplit, name)
    count = match["count"] or str(_COUNTS[split])
    if not count.isdigit() or int(count) == 0:
        raise DataError(
            f"miniature/{split}:{count}", wanted="a number of sentences, such as miniature/train:2000"
        )
    return split, int(count)


def note_data(run: Run, sources: Mapping[str, Corpus | MiniatureText]) -> None:
    """Write what the data is to environment.json.

    Raises:
        DataError: it is another than when this run began, which went on to a vocabulary and steps of that.
    """
    found = {tag: corpus.fingerprint() for tag, corpus in sources.items()}
    before = run.environment.get("data", {})
    if changed := [tag for tag in found if before.get(tag, found[tag]) != found[tag]]:
        raise DataError(
            f"the text of {', '.join(changed)} is another than when this run began",
            wanted="the same text, to go on with",
            fix="put it back; or begin anew with the new text, by another `name` in the recipe or by "
            f"deleting {run.folder}",
        )
    run.note(data=found)
