"""A model and the deltas it wears in turn: BiStil's teacher wears the delta of each batch's language.

Ansell et al. 2023 (arXiv 2306.01709) add a language's delta to the teacher's weights and subtract it again
when the language changes, over and over for as long as the student learns; the rounding errors of that add
up. Here what a delta overwrote is kept and put back, so after any number of changes the model is to the bit
what it would be had it never worn another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from isogloss.core.errors import ModelError, did_you_mean
from isogloss.sparse.delta import Applied, Delta, apply, check_fits, check_tensors


class Wardrobe:
    """A model's tensors, and a delta for each language.

    Nothing else may change the tensors' values while a delta is on; the model may be moved to another device.

    Attributes:
        wearing: the language whose delta is on; None when the model is bare.
        copies: whether it holds each dressed tensor once more.
        base: the bare model's fingerprint; None if it was not given.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        deltas: Mapping[str, Delta | None],
        *,
        copies: bool = False,
        base: str | None = None,
        vocabulary: str | None = None,
    ) -> None:
        """Look whether all deltas fit; put on none.

        Args:
            tensors: the bare model's parameters by the deltas' names. What deltas replace rather than change
                (heads, norms that were trained whole) is worn where it is among them and left out where
                not, so `portions(model).base` does without heads and `portions(model).all` asks for them.
            deltas: by language; None for a language that wears nothing.
            copies: hold each dressed tensor of each language once more, and swap tensors by pointer instead
                of writing entries. Takes `bytes_of_copies` of memory, and changes in no time.
            base, vocabulary: the bare model's fingerprints; None leaves that uncompared.

        Raises:
            ModelError: a delta is of another model or vocabulary, or changes what the model does not have.
        """
        self.wearing: str | None = None
        self.copies, self.base = copies, base
        self._tensors = tensors
        self._deltas = {tag: _fitting(delta, tensors) for tag, delta in deltas.items()}
        for tag, delta in self._deltas.items():
            check_fits(delta, base=base, vocabulary=vocabulary, where=f"the delta of {tag}")
            check_tensors(delta, tensors)
        self._applied = Applied([])
        self._outfits = _outfits(tensors, self._deltas) if copies else None

    def wear(self, language: str | None) -> None:
        """Take off what is on, and put on the delta of a language, or nothing for None.

        Returns at once when that is how the model is; otherwise the time grows with the entries of both
        deltas, or with the number of tensors where there are copies.

        Raises:
            ModelError: it was never told of this language.
        """
        if language == self.wearing:
            return
        if language is not None and language not in self._deltas:
            raise _unknown(language, list(self._deltas))
        if self._outfits is not None:
            self._swap(self._outfits[language])
        else:
            self._write(language)
        self.wearing = language

    def _write(self, language: str | None) -> None:
        self._applied.revert()
        if language is not None and (touched := _touched(self._deltas[language])):
            device = self._tensors[touched[0]].device
            self._deltas[language] = self._deltas[language].to(device)  # after the model, once
            self._applied = apply(self._deltas[language], self._tensors)

    def _swap(self, outfit: dict[str, Tensor]) -> None:
        for name, value in outfit.items():
            tensor = self._tensors[name]
            outfit[name] = value.to(tensor)  # after the model, once
            tensor.data = outfit[name]


def bytes_of_copies(tensors: Mapping[str, Tensor], deltas: Mapping[str, Delta | None]) -> int:
    """What `Wardrobe(..., copies=True)` holds beside the model, in bytes."""
    return sum(
        tensors[name].nbytes for delta in deltas.values() for name in _touched(_fitting(delta, tensors))
    )


def _fitting(delta: Delta | None, tensors: Mapping[str, Tensor]) -> Delta:
    """The delta without what it would replace and is not here."""
    if delta is None:
        return Delta({})
    dense = {name: value for name, value in delta.dense.items() if name in tensors}
    return replace(delta, dense=dense)


def _touched(delta: Delta) -> list[str]:
    return [*delta.changes, *delta.dense]


def _outfits(
    tensors: Mapping[str, Tensor], deltas: Mapping[str, Delta]
) -> dict[str | None, dict[str, Tensor]]:
    """For each language, and None, every tensor that any delta touches: dressed, or the model's own."""
    bare = {name: tensors[name].detach() for delta in deltas.values() for name in _touched(delta)}
    found: dict[str | None, dict[str, Tensor]] = {None: bare}
    for tag, delta in deltas.items():
        dressed = {name: bare[name].clone() for name in _touched(delta)}
        apply(delta, dressed)
        found[tag] = bare | dressed
    return found


def _unknown(language: str, known: list[str]) -> ModelError:
    return ModelError(
        f"the delta of {language}, which is not in the wardrobe",
        wanted=f"one of: {', '.join(known)}",
        fix=did_you_mean(language, known),
    )
