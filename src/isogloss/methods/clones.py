"""The clones of a recipe: which languages there are, whose text they read, and what their pieces are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from isogloss.core.by_language import TokenizerByLanguage, tokenizer_of
from isogloss.core.errors import ModelError
from isogloss.core.languages import language
from isogloss.data.clones import Clones, ClonesSpec, Ids
from isogloss.methods.text import separator_of
from isogloss.vocab.merge import own_pieces, placed

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

    def tokenizer(self, tokenizer: Any, languages: Iterable[str]) -> Any:
        """What a model of these languages is read with: of clones, one tokenizer for each.

        Args:
            tokenizer: of the original.
            languages: whose text the model meets.
        """
        if self.clones is None:
            return tokenizer
        first = placed(tokenizer, self.clones.places(1), self.clones.rows)
        clones = {tag: placed(tokenizer, ids, self.clones.rows) for tag, ids in self.places.items()}
        others = [tag for tag in languages if tag not in clones]
        return TokenizerByLanguage(dict.fromkeys(others, first) | clones)

    def check(self, model: Any, tokenizer: Any, *, where: str) -> None:
        """Refuse to go on from a model whose rows are not those of the clones.

        Args:
            tokenizer: that the model is read with, by language.

        Raises:
            ModelError: it has another number of rows, or a clone's pieces stand in others.
        """
        if self.clones is None:
            return
        rows = int(model.config.vocab_size)
        if rows != self.clones.rows:
            got = (
                f"a model with {rows:,} rows, but {self.clones.count} clones of its "
                f"{self.clones.size:,} pieces take {self.clones.rows:,}"
            )
        elif other := next((tag for tag in self.places if not self._has_rows_of(tokenizer, tag)), None):
            got = f"a model in which the pieces of {other} have other rows"
        else:
            return
        raise ModelError(
            got,
            wanted="a model that was pretrained on as many clones, with the same anchors and seed",
            fix="begin anew with `architecture` and `tokenizer`, or give the `clones` it was made with",
            where=where,
        )

    def _has_rows_of(self, tokenizer: Any, clone: str) -> bool:
        original = own_pieces(tokenizer_of(tokenizer, self.texts[clone]))
        places = self.places[clone]
        wanted = {piece: int(places[index]) for piece, index in original.items()}
        return own_pieces(tokenizer_of(tokenizer, clone)) == wanted


def cloned_text(spec: ClonesSpec | None, tokenizer: Any) -> ClonedText:
    """What the `clones:` of a recipe mean for a tokenizer, that of the original or of a model of clones."""
    if spec is None:
        return ClonedText()
    original = tokenizer_of(tokenizer, spec.of)
    clones = spec.clones(original, separator=separator_of(original))
    others = spec.languages[1:]
    return ClonedText(
        texts=dict.fromkeys(others, spec.of),
        places={tag: clones.places(language(tag).number) for tag in others},
        clones=clones,
    )
