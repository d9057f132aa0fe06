"""A budget in, a plan out: the student that fits a disk and a deadline, chosen before any training.

Bytes are exact arithmetic on configurations. Times come from a table measured elsewhere. Which of the plans
that fit is best is said by `PREFERENCES`, a table; docs/decisions has the reasons.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

import torch

from isogloss.compress.feedforward import units_of, with_units
from isogloss.compress.heads import own_head_size
from isogloss.compress.layers import layer_map, layered_config
from isogloss.compress.shape import narrow_config
from isogloss.core.errors import ModelError, UserError
from isogloss.models.backbone import Auto, empty_model
from isogloss.models.matrices import head_size
from isogloss.models.storage import Storage, header_bytes, stored_bytes
from isogloss.vocab.curve import VocabularySize

_SMALL_FILES = 16_000  # config.json, tokenizer_config.json and a manifest, generously
_SHARES = ((1.0, 1.0), (1.0, 0.75), (1.0, 0.5), (0.75, 0.75), (0.5, 0.5))
"""Of the teacher's width and of its feed-forward units, what a student's layers may have."""
_STORAGE_RANK: dict[Storage, float] = {"fp32": 1.0, "bf16": 0.5, "int8": 0.0}

Quality: TypeAlias = Literal["coverage", "depth", "width", "feedforward", "precision"]
PREFERENCES: tuple[tuple[Quality, float], ...] = (
    ("coverage", 0.99),
    ("depth", 1 / 3),
    ("coverage", 0.999),
    ("width", 1.0),
    ("depth", 1 / 2),
    ("feedforward", 1.0),
    ("depth", 1.0),
    ("coverage", 1.0),
    ("precision", 1.0),
)
"""What is wanted, up to how much, most important first: a plan that has more of the first thing, up to that
much, wins whatever the others say. Coverage is of the language that loses most; depth, width and feed-forward
are shares of the teacher's."""


@dataclass(frozen=True)
class Block:
    """The sizes of every layer of a student.

    Attributes:
        width: of the hidden states.
        heads: attention heads.
        feedforward: units of the feed-forward block.
    """

    width: int
    heads: int
    feedforward: int


@dataclass(frozen=True)
class Limits:
    """What must hold; None: anything goes.

    Attributes:
        disk: bytes of the whole folder at most: weights, tokenizer and small files.
        latency: seconds of a forward pass without head at most.
        coverage: of each language, at least this share of its tokens in the vocabulary, in [0, 1].
    """

    disk: int | None = None
    latency: float | None = None
    coverage: float = 0.99


@dataclass(frozen=True)
class Line:
    """Seconds of a forward pass by number of layers: `fixed + layers * per_layer`."""

    fixed: float
    per_layer: float

    def seconds(self, layers: int) -> float:
        """Of a model of so many layers."""
        return self.fixed + layers * self.per_layer


@dataclass(frozen=True)
class Candidate:
    """A student that could be made.

    Attributes:
        layers: how many.
        block: the sizes of each.
        vocabulary: what it reads with.
        storage: the precision of its weights on disk.
        weight_bytes: of the weights and their file's header, the language model's head included.
        disk: bytes of the folder: weights, tokenizer.json, and an allowance for the small files.
        latency: seconds; None where they were not asked for.
        qualities: shares of the teacher's, in [0, 1]; of precision, how late it was preferred.
    """

    layers: int
    block: Block
    vocabulary: VocabularySize
    storage: Storage
    weight_bytes: int
    disk: int
    latency: float | None
    qualities: Mapping[Quality, float]

    @property
    def rank(self) -> tuple[float, ...]:
        """What to compare candidates by; the higher, the better."""
        return (*(min(self.qualities[quality], enough) for quality, enough in PREFERENCES), -float(self.disk))

    def fits(self, limits: Limits) -> bool:
        """Whether every limit holds."""
        return (
            (limits.disk is None or self.disk <= limits.disk)
            and (limits.latency is None or self.latency is None or self.latency <= limits.latency)
            and self.vocabulary.least_kept >= limits.coverage
        )


def blocks_of(config: Any) -> list[Block]:
    """The layer sizes to choose from, the teacher's first; narrower where the family can be cut so."""
    teacher = _block(config)
    found = {teacher: None}
    for width, units in _SHARES:
        block = replace(teacher, width=_width(config, width), feedforward=_even(units * teacher.feedforward))
        with contextlib.suppress(ModelError):
            found[_block(_cut(config, block, heads=None))] = None
    return list(found)


def _cut(config: Any, block: Block, *, heads: int | None) -> Any:
    """The teacher's configuration with such layers; `heads` None takes as many as fill the width."""
    if block.width != config.hidden_size:
        config = narrow_config(config, width=block.width, heads=heads)
    return config if block.feedforward == units_of(config) else with_units(config, block.feedforward)


def _width(config: Any, share: float) -> int:
    """Whole heads, so that those that stay keep their size; where heads are sized by themselves, eights."""
    width = int(config.hidden_size)
    if share == 1.0 or own_head_size(config):
        return width if share == 1.0 else _even(share * width)
    size = head_size(config)
    return max(1, round(share * width / size)) * size


def _even(size: float) -> int:
    """Rounded to a multiple of eight, which processors like, where there are that many."""
    return round(size / 8) * 8 if size >= 16 else max(1, round(size))


def _block(config: Any) -> Block:
    return Block(int(config.hidden_size), int(config.num_attention_heads), units_of(config))


def planned_config(config: Any, *, layers: int, block: Block, vocabulary: int) -> Any:
    """The configuration of a student of these sizes, the last layer of each block; no weights are needed.

    Raises:
        ModelError: sizes that a student of this teacher cannot have.
    """
    heads = None if own_head_size(config) else block.heads
    cut = _cut(config, block, heads=heads)
    new = layered_config(cut, layer_map(config.num_hidden_layers, f"last-of-{layers}-blocks"))
    new.vocab_size = vocabulary
    return new


def candidates(
    config: Any,
    auto: Auto,
    *,
    vocabularies: Sequence[VocabularySize],
    blocks: Iterable[Block],
    storages: Iterable[Storage],
    lines: Mapping[Block, Line] | None = None,
) -> Iterator[Candidate]:
    """Every student of a teacher of this configuration.

    Args:
        auto: the head the student is saved with.
        vocabularies: to choose from.
        blocks: sizes of a layer to choose from; see `blocks_of`.
        storages: precisions to choose from.
        lines: seconds by layers, for each block; None leaves latency out.
    """
    deep = int(config.num_hidden_layers)
    storages = tuple(storages)
    for block in blocks:
        for storage in storages:
            counted = _Bytes(config, auto, block, storage)
            for layers in range(1, deep + 1):
                for vocabulary in vocabularies:
                    weights = counted.of(layers, vocabulary.size)
                    yield Candidate(
                        layers=layers,
                        block=block,
                        vocabulary=vocabulary,
                        storage=storage,
                        weight_bytes=weights,
                        disk=weights + vocabulary.tokenizer_bytes + _SMALL_FILES,
                        latency=lines[block].seconds(layers) if lines else None,
                        qualities=_qualities(config, layers, block, vocabulary, storage),
                    )


class _Bytes:
    """Bytes of weights, from models without memory.

    Every layer but the first has the same parameters (ModernBERT's first has one norm less), and every row
    of the vocabulary costs the same, so three models tell the rest. Names of layers from 10 on are longer:
    the header's allowance has room for them.
    """

    def __init__(self, config: Any, auto: Auto, block: Block, storage: Storage) -> None:
        def measured(layers: int, vocabulary: int) -> int:
            sizes = planned_config(config, layers=layers, block=block, vocabulary=vocabulary)
            with torch.device("meta"):
                model = empty_model(sizes, auto)
            return stored_bytes(model, storage) + header_bytes(model)

        self._rows = _least_rows(config)
        self._first = measured(1, self._rows)
        self._layer = measured(2, self._rows) - self._first if config.num_hidden_layers > 1 else 0
        self._row = measured(1, self._rows + 1) - self._first

    def of(self, layers: int, vocabulary: int) -> int:
        """Of a student so deep with so many rows."""
        return self._first + (layers - 1) * self._layer + (vocabulary - self._rows) * self._row


def _least_rows(config: Any) -> int:
    """Rows that a model of this configuration needs for its special ids."""
    return max([1000, *(index + 1 for index in special_ids(config))])


def special_ids(config: Any) -> set[int]:
    """Every id that a configuration gives a role to."""
    values = (value for key, value in config.to_dict().items() if key.endswith("_token_id"))
    listed = (value if isinstance(value, list) else [value] for value in values)
    return {index for several in listed for index in several if index is not None}


def _qualities(
    config: Any, layers: int, block: Block, vocabulary: VocabularySize, storage: Storage
) -> dict[Quality, float]:
    teacher = _block(config)
    return {
        "coverage": vocabulary.least_kept,
        "depth": layers / int(config.num_hidden_layers),
        "width": block.width / teacher.width,
        "feedforward": block.feedforward / teacher.feedforward,
        "precision": _STORAGE_RANK[storage],
    }


@dataclass(frozen=True)
class Choice:
    """What the search found.

    Attributes:
        chosen: the best by `PREFERENCES`.
        others: those that fit as well and have more of something, best first.
    """

    chosen: Candidate
    others: tuple[Candidate, ...]


def choose(found: Sequence[Candidate], limits: Limits, *, others: int = 5) -> Choice:
    """The best candidate within the limits, and at most so many others that are better in some way.

    Raises:
        UserError: none fits; the message says which limit is in the way, and what could be reached.
    """
    fitting = sorted((one for one in found if one.fits(limits)), key=lambda one: one.rank, reverse=True)
    if not fitting:
        raise _infeasible(found, limits)
    front = [one for one in fitting[1:] if not any(_at_least(two, one) for two in fitting if two is not one)]
    return Choice(fitting[0], tuple(_distinct(front, fitting[0]))[:others])


def _at_least(one: Candidate, two: Candidate) -> bool:
    """Whether `one` has as much of everything as `two`, and was ranked no lower."""
    return one.rank >= two.rank and all(one.qualities[key] >= two.qualities[key] for key in one.qualities)


def _distinct(front: Iterable[Candidate], chosen: Candidate) -> Iterator[Candidate]:
    """The best of each shape: vocabularies a step apart are no news."""
    seen = {(chosen.layers, chosen.block)}
    for one in front:
        if (one.layers, one.block) not in seen:
            seen.add((one.layers, one.block))
            yield one


def _infeasible(found: Sequence[Candidate], limits: Limits) -> UserError:
    """Limits that no candidate keeps; then those that could be kept, but not beside each other."""
    asked = [field.name for field in fields(limits) if getattr(limits, field.name) is not None]
    hopeless = [name for name in asked if not any(one.fits(_only(limits, name)) for one in found)]
    rest = _only(limits, *(name for name in asked if name not in hopeless))
    keeping = [one for one in found if one.fits(rest)]
    reached = [_reached(name, keeping or found, limits) for name in hopeless]
    if not keeping:
        for name in asked:
            within = [one for one in found if one.fits(_without(rest, name))]
            if name not in hopeless and within:
                reached.append(_reached(name, within, limits))
    return UserError(
        "no student fits: " + "; ".join(f"{limit}, where {best} is the best" for limit, best, _ in reached),
        wanted="limits that some student keeps" + (", all of them" if len(hopeless) > 1 else ""),
        fix=(", and " if len(hopeless) > 1 else ", or ").join(fix for *_, fix in reached),
    )


_NONE = {"disk": None, "latency": None, "coverage": 0.0}


def _only(limits: Limits, *names: str) -> Limits:
    return replace(limits, **{name: value for name, value in _NONE.items() if name not in names})  # type: ignore[arg-type]


def _without(limits: Limits, name: str) -> Limits:
    return replace(limits, **{name: _NONE[name]})  # type: ignore[arg-type]


def _reached(name: str, rest: Sequence[Candidate], limits: Limits) -> tuple[str, str, str]:
    """What was asked, the best value of the candidates, and what to do."""
    if name == "disk":
        one = min(rest, key=lambda one: one.disk)
        shown = f"{one.disk / 1e6:.2f} MB ({_layers(one)}, {one.vocabulary.size:,} pieces, {one.storage})"
        smaller = "" if one.storage == "int8" else ", --precision int8"
        fix = f"allow --disk {one.disk / 1e6 + 0.005:.2f}MB, a lower --coverage, fewer languages{smaller}"
        return f"--disk {(limits.disk or 0) / 1e6:g}MB", shown, fix
    if name == "latency":
        one = min(rest, key=lambda one: one.latency or 0.0)
        shown = f"{1e3 * (one.latency or 0.0):.2f} ms ({_layers(one)})"
        fix = (
            f"allow --latency {1e3 * (one.latency or 0.0) + 0.005:.2f}ms, a shorter --length, more --threads"
        )
        return f"--latency {1e3 * (limits.latency or 0.0):g}ms", shown, fix
    one = max(rest, key=lambda one: one.vocabulary.least_kept)
    shown = f"{one.vocabulary.least_kept:.5f} ({one.vocabulary.size:,} pieces)"
    return f"--coverage {limits.coverage:g}", shown, f"allow --coverage {one.vocabulary.least_kept:.4f}"


def _layers(one: Candidate) -> str:
    return f"{one.layers} layer{'s' * (one.layers > 1)}"
