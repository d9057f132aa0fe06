"""New ids in all parts of a tokenizer.json but its model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isogloss.core.errors import ModelError

Renumber = Callable[[int], int]


def renumber(described: dict[str, Any], new_id: Renumber) -> None:
    """Change added tokens, padding and post-processors in place.

    Args:
        described: tokenizer.json.
        new_id: of an old one that is kept.

    Raises:
        ModelError: a post-processor of a type whose ids are not known.
    """
    for token in described["added_tokens"]:
        token["id"] = new_id(token["id"])
    if described.get("padding"):
        described["padding"]["pad_id"] = new_id(described["padding"]["pad_id"])
    if described.get("post_processor"):
        _processor(described["post_processor"], new_id)


def _processor(processor: dict[str, Any], new_id: Renumber) -> None:
    kind = processor["type"]
    if kind == "Sequence":
        for part in processor["processors"]:
            _processor(part, new_id)
    elif kind == "TemplateProcessing":
        for token in processor["special_tokens"].values():
            token["ids"] = [new_id(index) for index in token["ids"]]
    elif kind in ("RobertaProcessing", "BertProcessing"):
        for end in ("sep", "cls"):
            processor[end] = [processor[end][0], new_id(processor[end][1])]
    elif kind != "ByteLevel":
        raise ModelError(
            f"a post-processor of type {kind}, whose token ids cannot be renumbered",
            wanted="TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel or a Sequence of them",
            fix="keep the ids of this tokenizer: where it was to be trimmed, say trim: false",
        )


def mentioned_ids(described: dict[str, Any]) -> set[int]:
    """Every id that `renumber` would change."""
    found: set[int] = set()

    def note(index: int) -> int:
        found.add(index)
        return index

    renumber(described, note)
    return found
