"""Items to learn from, to choose by and to be judged on: no item may be in two of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from isogloss.core.errors import DataError
from isogloss.data.aligned import wording
from isogloss.data.records import Example

Part = Mapping[str, Sequence[Example]]


def refuse_shared(parts: Mapping[str, Part]) -> None:
    """Refuse an item that is in two parts in the same language, whatever its id, spacing and letters' case.

    Args:
        parts: by name ("unlabelled", "dev", "test"), examples by language.

    Raises:
        DataError: there are such items; one is shown.
    """
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for name, by_language in parts.items():
        for tag, examples in by_language.items():
            for example in examples:
                key = tag, wording(example)
                other, identifier = seen.setdefault(key, (name, example.id))
                if other != name:
                    raise _shared(parts, (other, name), tag, (identifier, example.id), example)


def without(part: Part, other: Part) -> dict[str, list[Example]]:
    """A part's examples that are not in another in the same language; languages that have some left."""
    left = {}
    for tag, examples in part.items():
        there = {wording(example) for example in other.get(tag, ())}
        if found := [example for example in examples if wording(example) not in there]:
            left[tag] = found
    return left


def _shared(
    parts: Mapping[str, Part], names: tuple[str, str], tag: str, ids: tuple[str, str], example: Example
) -> DataError:
    first, second = ({wording(one) for one in parts[name].get(tag, ())} for name in names)
    shown = " | ".join(wording(example).split("\x1f")).strip(" |")
    return DataError(
        f"{len(first & second)} items in {tag} are in both {names[0]} and {names[1]}, such as "
        f"{ids[0]!r} and {ids[1]!r}: {shown[:100]!r}",
        wanted="nothing in common between what is learnt from, chosen by and judged on",
        fix=f"leave these items out of {names[0]}, or name another split",
    )
