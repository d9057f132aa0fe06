"""Vocabularies of several languages in one id space: side by side, or meeting in the pieces they share.

After Schaefer et al. (2024, 2404.07982): two SentencePiece models of 16,384 pieces are put side by side
("disjoint") or share the ids of identical pieces ("anchored"; 3,728 of English and French, which leaves
29,040 ids). Here special tokens are shared in either case, for any number of languages, and no row is unused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isogloss.core.by_language import TokenizerByLanguage, each_tokenizer, filler, is_filler
from isogloss.core.errors import ModelError
from isogloss.core.tokenizer import backend_of
from isogloss.vocab.folder import longest_of, roles_of, settings_of, wrapped
from isogloss.vocab.renumber import renumber

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Model = dict[str, Any]


def placed(tokenizer: Any, places: Ints, size: int) -> Any:
    """A tokenizer that cuts text as another does and gives other ids.

    Args:
        tokenizer: a transformers tokenizer of the fast kind.
        places: (ids,) the new id of each old one, all different, in [0, `size`). Fillers need none.
        size: ids of the new space. Those that no old one comes to get fillers, which fit no text.

    Returns:
        A transformers tokenizer of the fast kind with `size` tokens. It decodes its own ids as the old one
        decodes the old ids, and has the same special tokens, post-processing and settings.

    Raises:
        ModelError: a post-processor of a type whose ids are not known, or an added token outside the
            vocabulary that only whole words match.
    """
    described = json.loads(backend_of(tokenizer).to_str())
    vocabulary = own_pieces(tokenizer)
    _check_places(vocabulary, places, size)
    _require_room_inside(described)
    tokens = [filler(index) for index in range(size)]
    for token, index in vocabulary.items():
        tokens[int(places[index])] = token
    moved = _listed if described["model"]["type"] == "Unigram" else _mapped
    described["model"] = moved(described["model"], tokens, places)
    renumber(described, lambda index: int(places[index]))
    described["added_tokens"].sort(key=lambda token: token["id"])
    return wrapped(
        json.dumps(described, ensure_ascii=False),
        roles=roles_of(tokenizer),
        max_length=longest_of(tokenizer),
        settings=settings_of(tokenizer),
    )


def own_pieces(tokenizer: Any) -> dict[str, int]:
    """Its vocabulary without fillers."""
    return {token: index for token, index in tokenizer.get_vocab().items() if not is_filler(token)}


def _check_places(vocabulary: Mapping[str, int], places: Ints, size: int) -> None:
    used = places[sorted(vocabulary.values())]
    assert len(np.unique(used)) == len(used), "two ids in one place"
    assert used.min() >= 0, "a place below 0"
    assert used.max() < size, "a place outside the space"


def _require_room_inside(described: Mapping[str, Any]) -> None:
    """Every added token becomes a piece; one that is not matched everywhere could be made by the model."""
    pieces = _pieces(described["model"])
    for token in described["added_tokens"]:
        if token["single_word"] and token["content"] not in pieces:
            raise ModelError(
                f"the added token {token['content']!r}, which only whole words match",
                wanted="added tokens that are matched everywhere, or pieces of the vocabulary",
                fix="take single_word off this token in tokenizer.json",
            )


def _pieces(model: Mapping[str, Any]) -> set[str]:
    vocabulary = model["vocab"]
    return set(vocabulary) if isinstance(vocabulary, dict) else {piece for piece, _ in vocabulary}


def _listed(model: Model, tokens: list[str], places: Ints) -> Model:
    """Unigram: the order is the id. What fills the gaps must not be below the lowest score.

    The score of unknown letters is derived from that one, and text with such letters would be cut otherwise.
    """
    scores = dict(model["vocab"])
    lowest = min(scores.values())
    unknown = model["unk_id"]
    return {
        **model,
        "vocab": [(token, scores.get(token, lowest)) for token in tokens],
        "unk_id": None if unknown is None else int(places[unknown]),
    }


def _mapped(model: Model, tokens: list[str], places: Ints) -> Model:
    """WordPiece, BPE and lists of words: pieces and merges are spelt, only the vocabulary has ids."""
    return {**model, "vocab": {token: index for index, token in enumerate(tokens)}}


@dataclass(frozen=True)
class Joint:
    """Vocabularies of several languages in one id space.

    Attributes:
        size: ids of the space; each is some language's.
        places: by language, (its own ids,) the joint id of each own one.
        tokenizer: each language's, in the joint space; the first language's by default.
    """

    size: int
    places: dict[str, Ints]
    tokenizer: TokenizerByLanguage


def joined(tokenizers: Mapping[str, Any], *, anchored: bool) -> Joint:
    """Put the vocabularies of several languages into one id space.

    Ids of the first language stay; those of the others follow in their order. Special tokens are shared:
    those spelt alike, and those with the same role, such as padding. Two tokens of a language never become
    one.

    Args:
        tokenizers: transformers tokenizers of the fast kind, by language tag.
        anchored: identical pieces share an id. False: only special tokens do, and the kinds of the
            vocabularies may differ.

    Raises:
        ModelError: anchored, but pieces are spelt in different ways (▁house, Ġhouse); or as `placed`.
    """
    if anchored:
        _require_one_spelling(tokenizers)
    space = _Space(anchored)
    places = {tag: space.add(one) for tag, one in tokenizers.items()}
    moved = {tag: placed(one, places[tag], space.size) for tag, one in tokenizers.items()}
    return Joint(space.size, places, TokenizerByLanguage(moved))


class _Space:
    """Ids given out so far, by what may share them: special tokens, their roles, and pieces."""

    def __init__(self, anchored: bool) -> None:
        self.size = 0
        self._anchored = anchored
        self._given: dict[tuple[str, str], int] = {}

    def add(self, tokenizer: Any) -> Ints:
        """The place of each of a tokenizer's ids: one that is there, or the next; -1 for a filler's."""
        vocabulary = own_pieces(tokenizer)
        keys = _keys(tokenizer)
        found = self._known(keys)
        places = np.full(max(vocabulary.values()) + 1, -1, dtype=np.int64)
        for token, index in sorted(vocabulary.items(), key=lambda item: item[1]):
            places[index] = found[token] if token in found else self._next()
            for key in keys[token]:
                self._given.setdefault(key, int(places[index]))
        return places

    def _known(self, keys: Mapping[str, list[tuple[str, str]]]) -> dict[str, int]:
        """Tokens with a place already, no two in one; by spelling first, by role where that gives none."""
        found: dict[str, int] = {}
        taken: set[int] = set()
        for sort in ("special", "role", *(["piece"] if self._anchored else [])):
            for token, names in keys.items():
                offered = (self._given[name] for name in names if name[0] == sort and name in self._given)
                place = next((place for place in offered if place not in taken), None)
                if token not in found and place is not None:
                    found[token] = place
                    taken.add(place)
        return found

    def _next(self) -> int:
        self.size += 1
        return self.size - 1


def _keys(tokenizer: Any) -> dict[str, list[tuple[str, str]]]:
    """By token, what another language's token must be to share its id."""
    special, roles = _special_tokens(tokenizer), roles_of(tokenizer)
    ordered = sorted(own_pieces(tokenizer).items(), key=lambda item: item[1])
    keys = {token: [("special" if token in special else "piece", token)] for token, _ in ordered}
    for role, token in roles.items():
        keys[token].append(("role", role))
    return keys


def _special_tokens(tokenizer: Any) -> set[str]:
    added = backend_of(tokenizer).get_added_tokens_decoder().values()
    marked = {token.content for token in added if token.special} | set(roles_of(tokenizer).values())
    return marked & set(own_pieces(tokenizer))


def _require_one_spelling(tokenizers: Mapping[str, Any]) -> None:
    found = {tag: _spelling(one) for tag, one in tokenizers.items()}
    if len(set(found.values())) > 1:
        told = ", ".join(f"{tag}: {spelling}" for tag, spelling in found.items())
        raise ModelError(
            f"vocabularies that spell their pieces in different ways ({told})",
            wanted="one way of spelling, for identical pieces to mean the same",
            fix="join them with `across: disjoint`, or train all with the same kind",
        )


def _spelling(tokenizer: Any) -> str:
    """How a vocabulary marks where words begin or go on."""
    described = json.loads(backend_of(tokenizer).to_str())
    parts = [described["normalizer"], described["pre_tokenizer"]]
    model, around = described["model"], json.dumps(parts, ensure_ascii=False)
    if '"ByteLevel"' in around:
        return "bytes, Ġ begins a word"
    if suffix := model.get("end_of_word_suffix"):
        return f"{suffix} ends a word"
    if prefix := model.get("continuing_subword_prefix"):
        return f"{prefix} goes on with a word"
    return "▁ begins a word" if "▁" in around else "nothing marks words"


def own_ids(tokenizer: Any) -> Flags:
    """True for each id that is a piece of a tokenizer's own and no filler; (ids,)."""
    own = np.zeros(len(tokenizer), dtype=np.bool_)
    own[list(own_pieces(tokenizer).values())] = True
    return own


def anchors(tokenizer: Any) -> Flags:
    """True for each id that is a piece of two languages or more, special tokens left out; (ids,)."""
    each = each_tokenizer(tokenizer)
    shared: Flags = np.sum([own_ids(one) for one in each], axis=0) > 1
    for one in each:
        vocabulary = one.get_vocab()
        shared[[vocabulary[token] for token in _special_tokens(one)]] = False
    return shared
