"""Options of a command as a recipe: each has its place there, and a mistake is told by the option's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isogloss.core.config import Document, KeyPath, RecordType, override, validate
from isogloss.methods.pairs import files_by_language


def recipe_of(
    schema: type[RecordType],
    options: Mapping[str, Any],
    places: Mapping[str, KeyPath],
    *,
    usual: Mapping[str, Any],
    overrides: Iterable[str],
    command: str,
) -> RecordType:
    """The recipe that a command's options ask for.

    Args:
        schema: the recipe's record.
        options: by the option's name; what is None stays as the recipe has it by default.
        places: by the option's name, where in the recipe it belongs.
        usual: values that stand before any option.
        overrides: `key=value` assignments, the key dotted, laid over the rest.
        command: such as `isogloss level`, for messages.

    Raises:
        RecipeError: an assignment is not of its form, or the recipe cannot be.
    """
    values: dict[str, Any] = dict(usual)
    origins: dict[KeyPath, str] = {}
    for option, value in options.items():
        if value is not None:
            *path, last = places[option]
            place = values
            for key in path:
                place = place.setdefault(str(key), {})
            place[str(last)] = value
            origins[places[option]] = option
    return validate(override(Document(values, origins, source=command), overrides), schema)


def files_of(options: Mapping[str, Iterable[str]]) -> dict[str, dict[str, list[str]]]:
    """By option, the files of each language, from `LANGUAGE=FILE` entries.

    Raises:
        RecipeError: an entry is not of that form, or its language is unknown.
    """
    return {
        option: {tag: list(places) for tag, places in files_by_language(entries, option=option).items()}
        for option, entries in options.items()
    }
