"""What one model believes of the same items in several languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isogloss.core.errors import DataError

Array = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_TOLERANCE = 1e-4  # of a row's sum: bfloat16 logits, softmax in float32


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One distribution over classes for each item in each language.

    Attributes:
        languages: two or more, each once.
        ids: of the items, each once; item i is the same item in every language.
        probabilities: (languages, items, classes), float64, read-only; rows sum to 1. Where items have
            different numbers of classes (choice, gap), those that an item lacks are 0 in every language.

    Raises:
        DataError: from the constructor, when one of these does not hold.
    """

    languages: tuple[str, ...]
    ids: tuple[str, ...]
    probabilities: Array

    def __post_init__(self) -> None:
        values = np.array(self.probabilities, dtype=np.float64)
        _check_names(self.languages, self.ids, values.shape)
        _check_rows(self.languages, self.ids, values)
        values.setflags(write=False)
        object.__setattr__(self, "probabilities", values)

    @classmethod
    def of(cls, rows: Mapping[str, Mapping[str, Sequence[float]]]) -> Panel:
        """From each language's probabilities by item id, in any order; the first language's order stays.

        Args:
            rows: language, id, one probability per class; items may differ in how many classes they have.

        Raises:
            DataError: languages that do not have the same items, or an item with different numbers of
                classes in two languages.
        """
        ids = tuple(next(iter(rows.values()), {}))
        if not ids:
            raise DataError("no item in any language", wanted="at least one item in two languages")
        for language, found in rows.items():
            _check_aligned(language, found, next(iter(rows)), ids)
        widths = [_width(item, rows) for item in ids]
        values = np.zeros((len(rows), len(ids), max(widths)))
        for place, found in enumerate(rows.values()):
            for item, (name, width) in enumerate(zip(ids, widths, strict=True)):
                values[place, item, :width] = found[name]
        return cls(tuple(rows), ids, values)

    @property
    def choices(self) -> Classes:
        """(languages, items): each language's most probable class; of equals the lowest number."""
        return self.probabilities.argmax(axis=2)

    @property
    def possible(self) -> Mask:
        """(items, classes): whether an item has a class, seen from anyone's giving it some probability."""
        return np.asarray(self.probabilities.max(axis=0) > 0)

    def restricted(
        self, *, items: Sequence[str] | None = None, languages: Sequence[str] | None = None
    ) -> Panel:
        """The panel of some items and languages, in the order asked for; None keeps all.

        Raises:
            DataError: one that the panel does not have, or too few left.
        """
        rows = _places(languages, self.languages, "language")
        columns = _places(items, self.ids, "item")
        return Panel(
            tuple(self.languages[row] for row in rows),
            tuple(self.ids[column] for column in columns),
            self.probabilities[np.ix_(rows, columns)],
        )


def _check_names(languages: tuple[str, ...], ids: tuple[str, ...], shape: tuple[int, ...]) -> None:
    if len(languages) < 2 or not ids:
        raise DataError(
            f"a panel of {len(languages)} languages and {len(ids)} items",
            wanted="two languages or more, and at least one item",
            fix="give more languages, or items that all of them have",
        )
    if len(shape) != 3 or shape[:2] != (len(languages), len(ids)) or not shape[2]:
        raise DataError(
            f"probabilities of shape {shape} for {len(languages)} languages and {len(ids)} items",
            wanted="(languages, items, classes)",
        )
    for what, names in (("language", languages), ("item", ids)):
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"the {what} {twice!r} is in the panel twice", wanted="each once")


def _check_rows(languages: tuple[str, ...], ids: tuple[str, ...], values: Array) -> None:
    """Refuse the first row that is no distribution; NaN fails each comparison."""
    good = (values >= 0).all(axis=2) & (np.abs(values.sum(axis=2) - 1) <= _TOLERANCE)
    if not good.all():
        language, item = np.argwhere(~good)[0]
        raise DataError(
            f"the probabilities of item {ids[item]!r} in {languages[language]} are "
            f"{', '.join(f'{value:.4g}' for value in values[language, item])}",
            wanted="finite numbers from 0 on that sum to 1",
            fix="give probabilities, not scores or log-probabilities",
        )


def _check_aligned(language: str, found: Mapping[str, object], first: str, ids: Sequence[str]) -> None:
    odd = sorted(set(ids) ^ set(found))
    if odd:
        place = language if odd[0] not in found else first
        raise DataError(
            f"{len(odd)} items are not in both {first} and {language}; {place} has no {odd[0]!r}",
            wanted="the same items in every language",
            fix="keep the items that all languages have",
        )


def _width(item: str, rows: Mapping[str, Mapping[str, Sequence[float]]]) -> int:
    widths = {language: len(found[item]) for language, found in rows.items()}
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{width} in {language}" for language, width in widths.items())
        raise DataError(f"item {item!r} has different numbers of classes: {listed}", wanted="one number")
    return next(iter(widths.values()))


def _places(wanted: Sequence[str] | None, names: tuple[str, ...], what: str) -> list[int]:
    known = {name: place for place, name in enumerate(names)}
    missing = [name for name in wanted or () if name not in known]
    if missing:
        raise DataError(f"the panel has no {what} {missing[0]!r}", wanted=f"one of its {len(names)}")
    return list(range(len(names))) if wanted is None else [known[name] for name in wanted]
