"""The languages of the miniature world. To add one: a module with `tell` and `ask`, and a line in `TELLERS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

from isogloss.core.errors import LanguageError, did_you_mean
from isogloss.data.miniature.frames import Frame, Slot
from isogloss.data.miniature.grammar import Telling
from isogloss.data.miniature.languages import english, french, german, russian, swahili, turkish


class Teller(Protocol):
    """What each language's module offers."""

    def tell(self, frame: Frame, *, style: int = 0) -> Telling:
        """The frame as a sentence. `style` 1 is a paraphrase: another order of words, or another wording.

        Both styles say the same and tell the same slots. They differ in text whenever the language has another
        natural way; a short frame may have none.
        """

    def ask(self, frame: Frame, slot: Slot) -> str:
        """A question for one of `askable(frame)`, that the telling's span of the slot answers."""


TELLERS: Mapping[str, Teller] = {
    "en-Latn": cast(Teller, english),
    "de-Latn": cast(Teller, german),
    "fr-Latn": cast(Teller, french),
    "ru-Cyrl": cast(Teller, russian),
    "sw-Latn": cast(Teller, swahili),
    "tr-Latn": cast(Teller, turkish),
}


def teller(language: str) -> Teller:
    """The teller of a language by tag, such as "sw-Latn". Raises LanguageError for others."""
    if language not in TELLERS:
        raise LanguageError(
            f"the miniature world is not told in {language!r}", fix=did_you_mean(language, TELLERS)
        )
    return TELLERS[language]
