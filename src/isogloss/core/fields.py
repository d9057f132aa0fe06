"""Recipe fields that name languages: any spelling is read, the resolved recipe holds internal tags."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from isogloss.core.config import Refused
from isogloss.core.errors import LanguageError
from isogloss.core.languages import language


def _tag(spelling: str) -> str:
    try:
        return language(spelling).tag
    except LanguageError as error:
        raise Refused(error) from error


def _each_once(value: Any) -> Any:
    """Two spellings of one language would be one entry, and the first of them lost in silence."""
    seen: dict[str, str] = {}
    for spelling in value if isinstance(value, dict) else ():
        with contextlib.suppress(Refused):  # an unknown one is refused by name
            tag = _tag(str(spelling))
            if tag in seen:
                raise ValueError(f"{spelling}: the same language as {seen[tag]}; give it once")
            seen[tag] = str(spelling)
    return value


LanguageTag: TypeAlias = Annotated[str, AfterValidator(_tag)]
"""A language."""

EachOnce = BeforeValidator(_each_once)
"""For a mapping from languages: none may stand under two spellings."""

LanguageShares: TypeAlias = Annotated[dict[LanguageTag, float], EachOnce]
"""A number for each language."""
