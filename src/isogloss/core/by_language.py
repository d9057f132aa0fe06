"""A tokenizer for each of several languages, all giving ids of one space.

Cloned languages and languages with vocabularies of their own share a model whose rows are numbered once; each
language's tokenizer knows where its pieces stand among them. What nobody of a language may say has a filler
for a name there: it fits no text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isogloss.core.errors import LanguageError, ModelError
from isogloss.core.files import write_json
from isogloss.core.languages import language as find_language

FOLDER = "tokenizers"
_LIST = "languages.json"
_ROOT = "."
_FILLER = "\ufdd0 "
"""A noncharacter of Unicode, which no text holds, and a space, which tokenizers split at or replace."""


def filler(index: int) -> str:
    """The name of an id that a tokenizer's language has no piece for."""
    return f"{_FILLER}{index}"


def is_filler(token: str) -> bool:
    """Whether a token is a filler."""
    return token.startswith(_FILLER)


class TokenizerByLanguage:
    """Several languages' tokenizers in one id space; in itself the first one's, the default.

    Whatever a transformers tokenizer has or does it has and does as the default, save that all languages'
    special tokens are special, and that all are saved. Text of a known language is read by `tokenizer_of`.
    """

    def __init__(self, tokenizers: Mapping[str, Any]) -> None:
        """Put them together.

        Args:
            tokenizers: transformers tokenizers of the fast kind by language tag, all of the same length, the
                default first; languages may share one.
        """
        assert tokenizers, "no tokenizer"
        assert len({len(one) for one in tokenizers.values()}) == 1, "tokenizers of different id spaces"
        self._tokenizers = dict(tokenizers)
        self._default = next(iter(tokenizers.values()))

    @property
    def languages(self) -> tuple[str, ...]:
        """The tags it has a tokenizer for."""
        return tuple(self._tokenizers)

    @property
    def each(self) -> tuple[Any, ...]:
        """Every tokenizer once, the default first."""
        return tuple({id(one): one for one in self._tokenizers.values()}.values())

    @property
    def all_special_ids(self) -> list[int]:
        """Special ids of any language."""
        return list(dict.fromkeys(index for one in self.each for index in one.all_special_ids))

    def of(self, language: str) -> Any:
        """The tokenizer of a language, in any spelling; of all languages where there is but one tokenizer.

        Raises:
            ModelError: a language without one, where there are several.
        """
        found = self._tokenizers.get(language) or self._tokenizers.get(_tag(language))
        if found is None and len(self.each) > 1:
            raise ModelError(
                f"text in {language}, for which this model has no tokenizer",
                wanted=f"a language it was made for: {', '.join(self.languages)}",
                fix="leave it out, or pretrain a model on that language too: where languages have ids of "
                "their own, none is read by another's tokenizer",
            )
        return self._default if found is None else found

    def save_pretrained(self, folder: str | Path, **more: Any) -> None:
        """Write the default where transformers looks for it, the others below `tokenizers/`."""
        root = Path(folder)
        self._default.save_pretrained(root, **more)
        places = {tag: self._place(tag) for tag in self.languages}
        for tag, place in places.items():
            if place == f"{FOLDER}/{tag}":
                self._tokenizers[tag].save_pretrained(root / place, **more)
        write_json(root / FOLDER / _LIST, places)

    def _place(self, tag: str) -> str:
        """The folder of a language's tokenizer: the first one's that has the same."""
        mine = self._tokenizers[tag]
        first = next(other for other, one in self._tokenizers.items() if one is mine)
        return _ROOT if mine is self._default else f"{FOLDER}/{first}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the default."""
        return self._default(*args, **kwargs)

    def __len__(self) -> int:
        return len(self._default)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copies ask before there is anything to ask of
            raise AttributeError(name)
        return getattr(self._default, name)


def tokenizer_of(tokenizer: Any, language: str) -> Any:
    """The tokenizer that reads text of a language: a plain tokenizer reads all.

    Raises:
        ModelError: it is one of several, and none is the language's.
    """
    return tokenizer.of(language) if isinstance(tokenizer, TokenizerByLanguage) else tokenizer


def each_tokenizer(tokenizer: Any) -> tuple[Any, ...]:
    """All tokenizers that a model is read with, the default first."""
    return tokenizer.each if isinstance(tokenizer, TokenizerByLanguage) else (tokenizer,)


def groups(tokenizer: Any, languages: Sequence[str]) -> Iterator[tuple[Any, list[int]]]:
    """Each tokenizer that texts of these languages need, and the positions of its texts.

    Raises:
        ModelError: a language that it has none for.
    """
    own = {tag: tokenizer_of(tokenizer, tag) for tag in dict.fromkeys(languages)}
    places: dict[int, list[int]] = {}
    for place, tag in enumerate(languages):
        places.setdefault(id(own[tag]), []).append(place)
    by_id = {id(one): one for one in own.values()}
    yield from ((by_id[key], found) for key, found in places.items())


def saved_places(folder: Path) -> dict[str, Path]:
    """The folder of each language's tokenizer below a model's; {} where the model has but one."""
    file = folder / FOLDER / _LIST
    if not file.is_file():
        return {}
    written: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return {tag: folder / place for tag, place in written.items()}


def _tag(spelling: str) -> str:
    try:
        return find_language(spelling).tag
    except LanguageError:
        return spelling
