"""Cloned languages: the same text with pieces of its own, so that two languages differ in nothing but ids.

Schäfer et al. (2024, 2404.07982, section 3) shift ids by a whole vocabulary for each clone, which leaves rows
that nothing uses as soon as ids are shared, and share ids between two languages at most. Here clone *k* of
the *r*-th cloned id is `size + (k - 2) * m + r`, with *m* cloned ids of `size`: any number of clones, any
share of anchors, every row in use.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from isogloss.core.config import Record
from isogloss.core.errors import ModelError
from isogloss.core.fields import LanguageTag
from isogloss.core.languages import clone_of, language
from isogloss.core.seeds import generator
from isogloss.core.tokenizer import own_size, special_flags

Ids: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]


def _no_clone(tag: str) -> str:
    if language(tag).number > 1:
        raise ValueError(f"{tag} is a clone itself; name its original, {language(tag).original}")
    return tag


Original: TypeAlias = Annotated[LanguageTag, AfterValidator(_no_clone)]
"""A language that is no clone."""

SHARED = 0
"""What `Clones.number` says of an id that all clones share."""


class ClonesSpec(Record):
    """The `clones:` part of a recipe.

    Attributes:
        of: the language to clone; it has a corpus.
        count: how many there are in all, the original included.
        anchors: share of the ordinary pieces that all clones share: 0 none, 1 all.
        specials: "shared": no special token is cloned. "published": the unknown token and the one between
            documents are, as in the paper; padding and mask never.
        seed: of the draw of anchors.
    """

    of: Original
    count: int = Field(default=2, ge=2)
    anchors: float = Field(default=0.0, ge=0, le=1)
    specials: Literal["shared", "published"] = "shared"
    seed: int = 0

    @property
    def languages(self) -> tuple[str, ...]:
        """The tags of the original and its clones, in order."""
        return tuple(clone_of(self.of, number).tag for number in range(1, self.count + 1))

    def clones(self, tokenizer: Any, *, separator: int) -> Clones:
        """The map of ids for a tokenizer.

        Args:
            tokenizer: of the original; a transformers tokenizer of the fast kind.
            separator: the id between documents.
        """
        special = special_flags(tokenizer)[: own_size(tokenizer)]
        cloned = anchored(~special, share=self.anchors, seed=self.seed)
        if self.specials == "published":
            roles = (separator, tokenizer.unk_token_id)
            never = (tokenizer.pad_token_id, tokenizer.mask_token_id)
            cloned[[role for role in roles if role is not None and role not in never]] = True
        return Clones(len(special), cloned, self.count)


class Clones:
    """A map between the ids of an original vocabulary and those of its clones.

    Attributes:
        size: ids of the original.
        cloned: which of them every clone has for itself; the others are shared; (size,).
        count: languages, the original included.
        rows: ids in all.
    """

    def __init__(self, size: int, cloned: Flags, count: int) -> None:
        """Args as the attributes.

        Raises:
            ModelError: `cloned` is not of `size`, or there is no original.
        """
        if cloned.shape != (size,) or count < 1:
            raise ModelError(
                f"{count} clones of {size:,} ids, with a choice among {len(cloned):,}",
                wanted="a choice for every id, and at least the original",
            )
        self.size, self.cloned, self.count = size, cloned.astype(np.bool_), count
        self._originals = np.flatnonzero(self.cloned).astype(np.int64)
        self.rows = size + (count - 1) * len(self._originals)

    def places(self, number: int) -> Ids:
        """The id that each original id has in a clone; (size,).

        Args:
            number: 1 is the original.
        """
        assert 1 <= number <= self.count, f"clone {number} of {self.count}"
        found = np.arange(self.size, dtype=np.int64)
        if number > 1:
            each = len(self._originals)
            found[self._originals] = self.size + (number - 2) * each + np.arange(each)
        return found

    def apply(self, ids: npt.ArrayLike, number: int) -> Ids:
        """Text of the original as a clone has it; any shape."""
        return self.places(number)[np.asarray(ids, dtype=np.int64)]

    def original(self, ids: npt.ArrayLike) -> Ids:
        """Text of any clone, or of several mixed, as the original has it; any shape."""
        ids = np.asarray(ids, dtype=np.int64)
        above = np.maximum(ids - self.size, 0)
        each = max(1, len(self._originals))
        beyond = self._originals[above % each] if len(self._originals) else ids
        return np.where(ids < self.size, ids, beyond)

    def number(self, ids: npt.ArrayLike) -> Ids:
        """Which clone each id belongs to, 1 for the original's, `SHARED` for those of all; any shape."""
        ids = np.asarray(ids, dtype=np.int64)
        own = self.cloned[np.minimum(ids, self.size - 1)]
        clone = 2 + np.maximum(ids - self.size, 0) // max(1, len(self._originals))
        return np.where(ids >= self.size, clone, np.where(own, 1, SHARED))


def anchored(ordinary: Flags, *, share: float, seed: int) -> Flags:
    """Which ids to clone when a share of the ordinary ones are anchors; like `ordinary`.

    The anchors of a smaller share are among those of a larger one.
    """
    candidates = np.flatnonzero(ordinary)
    order = generator(seed, "anchors").permutation(candidates)
    cloned = ordinary.copy()
    cloned[order[: round(share * len(order))]] = False
    return cloned
