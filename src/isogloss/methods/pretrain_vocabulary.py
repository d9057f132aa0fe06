"""What a new model reads text with: a vocabulary, given or trained, of all languages or one for each."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from isogloss.core.by_language import TokenizerByLanguage, is_filler, tokenizer_of
from isogloss.core.config import Record
from isogloss.core.errors import IsoglossWarning
from isogloss.core.fields import EachOnce, LanguageShares, LanguageTag
from isogloss.core.files import whole_folder, write_json
from isogloss.core.processes import main_first
from isogloss.core.run import Run
from isogloss.data.batches import TextObjective
from isogloss.data.tokens import TokenFile
from isogloss.methods.text import Texts
from isogloss.models.backbone import load_tokenizer
from isogloss.vocab.folder import wrapped
from isogloss.vocab.merge import anchors, joined
from isogloss.vocab.train import Normaliser, VocabularyKind, train_vocabulary

FOLDER = "tokenizer"
_ANCHORS = "anchors.json"
_FEW = 0.5
"""A vocabulary smaller than this share of what was asked for is worth a word."""
_CHUNK = 2**24  # tokens counted at once

TokenizerFolders: TypeAlias = Annotated[dict[LanguageTag, str], EachOnce]


class VocabularySpec(Record):
    """A vocabulary to train on the corpora of the recipe.

    Attributes:
        kind: "unigram", "wordpiece" or "bpe" (byte-level).
        size: entries, special tokens among them; of each language's where it is not "joint".
        across: "joint": one vocabulary for all languages. "disjoint": one for each, side by side. "anchored":
            one for each, and identical pieces are one. Special tokens are shared in any case.
        shares: of the text it learns from, by language; None for the same of each. Of a joint one.
        budget: characters to learn from; None for the most that reads no text twice. A language too short for
            its share of a given budget is read again. Of each language's where it is not "joint".
        normaliser: Unicode form of what is read.
        coverage: share of the letters of the text that must be in the vocabulary.
    """

    kind: VocabularyKind = "unigram"
    size: int = Field(default=24_000, ge=64)
    across: Literal["joint", "disjoint", "anchored"] = "joint"
    shares: LanguageShares | None = None
    budget: int | None = Field(default=None, ge=1)
    normaliser: Normaliser = "nfkc"
    coverage: float = Field(default=0.9998, gt=0, le=1)

    @model_validator(mode="after")
    def _shares_of_one(self) -> VocabularySpec:
        if self.shares is not None and self.across != "joint":
            raise ValueError(f"shares, across: a vocabulary of each language ({self.across}) has no shares")
        return self

    def most(self, languages: int) -> int:
        """Rows of so many languages' vocabularies at most."""
        return self.size * (1 if self.across == "joint" else languages)


class TokenizersSpec(Record):
    """Tokenizers that are there, one for each language, to be joined.

    Attributes:
        of: folder or Hub id by language, the default first. Of a model with a tokenizer for each language,
            the language's own.
        across: "disjoint": side by side, of any kinds. "anchored": identical pieces are one; all must be
            spelt in the same way.
    """

    of: TokenizerFolders = Field(min_length=1)
    across: Literal["disjoint", "anchored"] = "disjoint"


def given_tokenizer(source: str | TokenizersSpec) -> Any:
    """A tokenizer that is there, or several joined.

    Raises:
        ModelError: one cannot be loaded, or they cannot be joined.
    """
    if isinstance(source, str):
        return load_tokenizer(source)
    loaded = {tag: tokenizer_of(load_tokenizer(folder), tag) for tag, folder in source.of.items()}
    return joined(loaded, anchored=source.across == "anchored").tokenizer


def tokenizer_in(
    run: Run,
    source: str | TokenizersSpec | VocabularySpec,
    texts: Texts,
    *,
    objective: TextObjective,
    max_length: int | None,
    seed: int,
) -> Any:
    """The tokenizer of a new model; what is trained or joined for it is in the run folder, and made once.

    Args:
        texts: to train on, by language.
        max_length: tokens that the model will take; None for no limit.

    Raises:
        ModelError: as `given_tokenizer`.
        RecipeError, DataError: as `train_vocabulary`.
    """
    if isinstance(source, str):
        return load_tokenizer(source)
    folder = run.folder / FOLDER
    with main_first():
        if not folder.exists():
            made = (
                given_tokenizer(source)
                if isinstance(source, TokenizersSpec)
                else _trained(source, texts, objective=objective, max_length=max_length, seed=seed)
            )
            _save(made, folder)
    return load_tokenizer(folder)


def _trained(
    spec: VocabularySpec, texts: Texts, *, objective: TextObjective, max_length: int | None, seed: int
) -> Any:
    settings = spec.model_dump(exclude={"across"})

    def one(corpora: Texts) -> Any:
        found = train_vocabulary(corpora, objective=objective, seed=seed, **settings)
        made = wrapped(found.tokenizer_json, roles=found.roles, max_length=max_length)
        _warn_of_few(len(made), spec, corpora)
        return made

    if spec.across == "joint":
        return one(texts)
    own = {tag: one({tag: text}) for tag, text in texts.items()}
    return joined(own, anchored=spec.across == "anchored").tokenizer


def _warn_of_few(pieces: int, spec: VocabularySpec, corpora: Texts) -> None:
    if pieces < _FEW * spec.size:
        why = (
            "languages have equal shares and no text is read twice, so the smallest bounds what the others "
            "give: set `vocabulary.shares`, or a `vocabulary.budget` that reads it again"
            if len(corpora) > 1 and spec.budget is None
            else "there is too little text"
        )
        warnings.warn(
            f"a vocabulary of {pieces:,} pieces instead of {spec.size:,} for {', '.join(corpora)}: {why}",
            IsoglossWarning,
            stacklevel=2,
        )


def _save(tokenizer: Any, folder: Path) -> None:
    with whole_folder(folder, seal=False) as unfinished:
        tokenizer.save_pretrained(unfinished)
        if isinstance(tokenizer, TokenizerByLanguage):
            shared = np.flatnonzero(anchors(tokenizer)).tolist()
            write_json(unfinished / _ANCHORS, _spelt(tokenizer, shared))


def _spelt(tokenizer: TokenizerByLanguage, shared: list[int]) -> list[str]:
    """Pieces that languages share; two of three may share one that the first has not."""
    by_id: dict[int, str] = {}
    for one in tokenizer.each:
        by_id |= {index: token for token, index in one.get_vocab().items() if not is_filler(token)}
    return [by_id[index] for index in shared]


def note_anchors(run: Run, tokenizer: Any, files: Mapping[str, TokenFile]) -> None:
    """Write what languages with vocabularies of their own share: pieces, and the share of each one's text.

    Args:
        files: text by language, in the ids of its tokenizer.
    """
    if not isinstance(tokenizer, TokenizerByLanguage):
        return
    shared = anchors(tokenizer)
    counted = {tag: _share(file, shared) for tag, file in files.items()}
    run.note(anchors={"pieces": int(shared.sum()), "rows": len(shared), "share_of_text": counted})
    run.rewind("vocabulary", -1)
    for tag, share in counted.items():
        run.log("anchored_share", share, phase="vocabulary", step=0, language=tag)


def _share(file: TokenFile, shared: npt.NDArray[np.bool_]) -> float:
    found = 0
    for start in range(0, len(file.ids), _CHUNK):
        found += int(shared[file.ids[start : start + _CHUNK]].sum())
    return found / max(1, len(file.ids))
