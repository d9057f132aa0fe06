"""How large a student's vocabulary will be, as far as that can be known before the recipe runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isogloss.core.run import find_run
from isogloss.data.corpora import Corpus
from isogloss.methods.distil import DistilRecipe
from isogloss.methods.prompts import pieces_needed
from isogloss.methods.records import STAGE
from isogloss.methods.sources import corpora
from isogloss.methods.text import Texts
from isogloss.models.backbone import load_tokenizer
from isogloss.vocab.trim import trim_vocabulary
from isogloss.vocab.trimmed import load_trimmed

_SMALL = 5_000_000  # characters that are counted unasked, in a few seconds


@dataclass(frozen=True)
class Expected:
    """The vocabulary of a student to come.

    Attributes:
        rows: entries.
        exact: whether it will have just as many, and not fewer.
        why: how that is known, for the plan's note.
    """

    rows: int
    exact: bool
    why: str


def expected_vocabulary(recipe: DistilRecipe, full: int, *, out: Path, count: bool) -> Expected:
    """What trimming will leave of the teacher's vocabulary.

    The run's own folder tells where it has begun; else the corpora are counted where they are small or that
    is asked for; else the rule may bound it.

    Args:
        full: entries of the teacher's vocabulary.
        out: the folder that holds run folders.
        count: count the corpora however large they are.

    Raises:
        DataError: a corpus is missing or empty.
    """
    rule = recipe.student.vocabulary
    if not rule.trim:
        return Expected(full, True, "the whole vocabulary of its teacher")
    folder = find_run(out, recipe, name=recipe.name or recipe.method) / "vocabulary"
    if folder.exists():
        return Expected(len(load_trimmed(folder).kept), True, f"its vocabulary is in {folder}")
    texts = corpora(recipe.corpora)
    if not recipe.teacher.startswith(STAGE) and (count or _small(texts)):
        return Expected(_counted(recipe, texts), True, "its vocabulary counted on the corpora")
    if rule.size is not None and rule.size < full:
        return Expected(rule.size, False, "its vocabulary may be smaller than `size` if the text uses fewer")
    return Expected(
        full, False, "before its vocabulary is trimmed; `isogloss plan --count` counts the rows that stay"
    )


def _small(texts: Texts) -> bool:
    """Whether there is little text, all of it here."""
    if any(isinstance(text, Corpus) and _is_far(text) for text in texts.values()):
        return False
    room = _SMALL
    for text in texts.values():
        for piece in text:
            room -= len(piece)
            if room < 0:
                return False
    return True


def _is_far(corpus: Corpus) -> bool:
    return any(source.startswith("hf://") for source in corpus.sources)


def _counted(recipe: DistilRecipe, texts: Texts) -> int:
    rule = recipe.student.vocabulary
    keep = (*rule.keep, *pieces_needed(recipe.phase2))
    tokenizer = load_tokenizer(recipe.teacher)
    trimmed = trim_vocabulary(tokenizer, texts, rule=rule.rule(), alphabet=rule.alphabet, keep=keep)
    return len(trimmed.kept)
