"""The clones of a recipe: which languages there are, whose text they read, and what their pieces are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from isogloss.core.errors import ModelError
from isogloss.core.languages import language
from isogloss.data.clones import Clones, ClonesSpec, Ids
from isogloss.methods.text import separator_of

T = TypeVar("T")


@dataclass(frozen=True)
class ClonedText:
    """How the languages of a training read their text; without clones, each its own as it is.

    Attributes:
        texts: for each clone, the language whose text it reads.
        places: for each clone, the id of each id of that text.
        clones: the map behind `places`; None without clones.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Ids] = field(default_factory=dict)
    clones: Clones | None = None

    def beside(self, originals: Mapping[str, T]) -> dict[str, T]:
        """What there is by language, with each clone right after its original and of the same value."""
        found: dict[str, T] = {}
        for tag, value in originals.items():
            found[tag] = value
            found |= {clone: value for clone, text in self.texts.items() if text == tag}
        return found

    def rows(self, tokenizer: Any) -> int:
        """Rows of vocabulary that a model of these languages needs."""
        return len(tokenizer) if self.clones is None else max(self.clones.rows, len(tokenizer))

    def check(self, model: Any, *, where: str) -> None:
        """Refuse to go on from a model whose rows are not those of the clones.

        Raises:
            ModelError: it has another number of rows.
        """
        rows = int(model.config.vocab_size)
        if self.clones is not None and rows != self.clones.rows:
            raise ModelError(
                f"a model with {rows:,} rows, but {self.clones.count} clones of its "
                f"{self.clones.size:,} pieces take {self.clones.rows:,}",
                wanted="a model that was pretrained on as many clones with the same anchors",
                fix="begin anew with `architecture` and `tokenizer`, or give the `clones` it was made with",
                where=where,
            )


def cloned_text(spec: ClonesSpec | None, tokenizer: Any) -> ClonedText:
    """What the `clones:` of a recipe mean for a tokenizer, that of the original."""
    if spec is None:
        return ClonedText()
    clones = spec.clones(tokenizer, separator=separator_of(tokenizer))
    others = spec.languages[1:]
    return ClonedText(
        texts=dict.fromkeys(others, spec.of),
        places={tag: clones.places(language(tag).number) for tag in others},
        clones=clones,
    )


class PlacedIds:
    """A tokenizer whose ids are those of a clone; it behaves as the original's in everything else."""

    def __init__(self, tokenizer: Any, places: Ids) -> None:
        """Args:
        tokenizer: of the original, a transformers tokenizer of the fast kind.
        places: the clone's id of each of its ids.
        """
        self._tokenizer, self._places = tokenizer, places

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, *texts: Any, **settings: Any) -> Any:
        """As the original, with the clone's ids."""
        rows = self._tokenizer(*texts, **settings)
        ids = rows["input_ids"]
        nested = bool(ids) and isinstance(ids[0], list)
        rows["input_ids"] = [self._placed(row) for row in ids] if nested else self._placed(ids)
        return rows

    def _placed(self, ids: list[int]) -> list[int]:
        placed: list[int] = self._places[ids].tolist()
        return placed
