"""Encoded examples, and how a batch of them becomes tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from isogloss.data.records import Kind

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""The label that no loss counts."""


class Entry(NamedTuple):
    """A piece that speaks for a class: the class's score is made of log p(token) over its entries.

    Attributes:
        row: of the example's rows; for an encoder-decoder, of its decoder rows.
        place: the position in that row whose scores are for this token.
        token: the piece.
        choice: the class.
    """

    row: int
    place: int
    token: int
    choice: int


@dataclass(frozen=True, slots=True)
class Features:
    """One example, or one window or right candidate of it, as numbers.

    Attributes:
        example: position of the example in the list that was encoded.
        rows: token ids; one row, but several for the alternatives of a choice and the windows of a tree.
        types: token types of each row, or None where the tokenizer has none.
        labels: label: one number; choice: the right alternative; gap and text: the target at each position
            (of the decoder, for encoder-decoders); tags: a number at each token; tree: the head of each
            word, 0 the root; span: first and last token of the answer, 0 and 0 without one. None: no gold.
        relations: tree: the relation's number of each word, or None without gold.
        words: tags and tree: (row, position) of the token that stands for each word.
        first_word: tags: the sentence's word that `words[0]` is.
        offsets: span: each token's characters in the context, (-1, -1) outside it.
        n_bytes: text: UTF-8 bytes that this window is charged for.
        entries: the pieces that speak for each class, where a language model scores classes; () elsewhere.
        mean: whether a class's score is the mean over its entries; False for their sum.
        decoder: with entries, of an encoder-decoder: (row, the pieces said before the last) of each reading.
    """

    kind: Kind
    example: int
    rows: tuple[list[int], ...]
    types: tuple[list[int], ...] | None = None
    labels: list[int] | None = None
    relations: list[int] | None = None
    words: tuple[tuple[int, int], ...] = ()
    first_word: int = 0
    offsets: tuple[tuple[int, int], ...] = ()
    n_bytes: int = 0
    entries: tuple[Entry, ...] = ()
    mean: bool = False
    decoder: tuple[tuple[int, list[int]], ...] = ()

    @property
    def length(self) -> int:
        """Tokens of the longest row, by which batches are sorted."""
        return max(len(row) for row in self.rows)

    @property
    def alternatives(self) -> int:
        """choice and gap: how many there are."""
        return len({entry.choice for entry in self.entries}) or len(self.rows)


def collate(features: Sequence[Features], pad_id: int) -> dict[str, Tensor]:
    """Pad a batch of features of one kind.

    Always: `input_ids` and `attention_mask`, rows by length, and `token_type_ids` where there are types.
    With gold: `labels`, and for tree `heads` and `relations`, for span `start_positions` and `end_positions`.
    Besides: choice has `group` (the example of each row), tree `words` (batch by words; index into the
    flattened rows, -1 for padding), span `context` (True on tokens of the context).
    Features with entries have, instead of what is their kind's: `entries` (entries by item, class, row, place
    and token), `weights` (of each entry), `classes` (how many each item has), and for encoder-decoders
    `decoder` (what was said, by readings) and `source` (the row of each reading).
    """
    import torch

    rows = [row for one in features for row in one.rows]
    batch = {
        "input_ids": _pad(rows, pad_id),
        "attention_mask": _pad([[1] * len(row) for row in rows], 0),
    }
    if all(one.types is not None for one in features):
        batch["token_type_ids"] = _pad([row for one in features for row in one.types or ()], 0)
    extras = _classes if features[0].entries else _EXTRAS[features[0].kind]
    extra = extras(features, batch["input_ids"].shape[1])
    return {**batch, **{name: torch.as_tensor(value) for name, value in extra.items()}}


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    import torch

    padded = torch.full((len(rows), max((len(row) for row in rows), default=0)), value, dtype=torch.long)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = torch.tensor(row, dtype=torch.long)
    return padded


def _gold(features: Sequence[Features]) -> list[list[int]] | None:
    """The labels of all, or None when one has none."""
    labels = [one.labels for one in features if one.labels is not None]
    return labels if len(labels) == len(features) else None


def _one_number(features: Sequence[Features], length: int) -> dict[str, object]:
    gold = _gold(features)
    return {} if gold is None else {"labels": [labels[0] for labels in gold]}


def _groups(features: Sequence[Features], length: int) -> dict[str, object]:
    group = [index for index, one in enumerate(features) for _ in one.rows]
    return {"group": group, **_one_number(features, length)}


def _classes(features: Sequence[Features], length: int) -> dict[str, object]:
    entries, weights, classes, decoder, source = [], [], [], [], []
    rows = readings = 0
    for item, one in enumerate(features):
        sizes = Counter(entry.choice for entry in one.entries)
        classes.append(len(sizes))
        first = readings if one.decoder else rows
        for entry in one.entries:
            entries.append((item, entry.choice, first + entry.row, entry.place, entry.token))
            weights.append(1 / sizes[entry.choice] if one.mean else 1.0)
        decoder += [said for _, said in one.decoder]
        source += [rows + row for row, _ in one.decoder]
        rows, readings = rows + len(one.rows), readings + len(one.decoder)
    batch: dict[str, object] = {"entries": entries, "weights": weights, "classes": classes}
    if decoder:
        batch |= {"decoder": _pad(decoder, 0), "source": source}
    return {**batch, **_one_number(features, length)}


def _per_token(features: Sequence[Features], length: int) -> dict[str, object]:
    gold = _gold(features)
    return {} if gold is None else {"labels": _pad(gold, IGNORED)}


def _tree(features: Sequence[Features], length: int) -> dict[str, object]:
    before, words = 0, []
    for one in features:
        words.append([(before + row) * length + position for row, position in one.words])
        before += len(one.rows)
    batch: dict[str, object] = {"words": _pad(words, -1)}
    gold, relations = _gold(features), [one.relations for one in features if one.relations is not None]
    if gold is not None and len(relations) == len(features):
        batch |= {"heads": _pad(gold, IGNORED), "relations": _pad(relations, IGNORED)}
    return batch


def _span(features: Sequence[Features], length: int) -> dict[str, object]:
    inside = [[int(begin >= 0) for begin, _ in one.offsets] for one in features]
    batch: dict[str, object] = {"context": _pad(inside, 0).bool()}
    gold = _gold(features)
    if gold is not None:
        batch |= {"start_positions": [g[0] for g in gold], "end_positions": [g[1] for g in gold]}
    return batch


_EXTRAS: dict[Kind, Callable[[Sequence[Features], int], dict[str, object]]] = {
    "label": _one_number,
    "choice": _groups,
    "gap": _per_token,
    "tags": _per_token,
    "tree": _tree,
    "span": _span,
    "text": _per_token,
}
