"""How long students of each shape take on this machine: measured once, kept for the next plan.

Models of random weights serve: how long a dense model takes depends on its shape alone. A few depths are
timed in turns and a line fitted through them, for every layer does the same work. The vocabulary plays no
part: without a head, all it does is that rows are looked up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.compress.plan import Block, Line, planned_config, special_ids
from isogloss.core.errors import ModelError
from isogloss.core.files import write_json
from isogloss.core.machine import load, machine
from isogloss.evaluate.forward import Precision, random_rows, threads, torch_runtime
from isogloss.evaluate.latency import Timing, time_in_turns
from isogloss.models.backbone import empty_model, seeded
from isogloss.models.tasks import longest_input

_REPEATS = 50
_DISTURBED = 0.25
_ROWS = 1000
_IRRELEVANT = (
    "num_hidden_layers", "num_decoder_layers", "layer_types", "vocab_size", "architectures", "dtype",
    "transformers_version", "id2label", "label2id", "_name_or_path", "tie_word_embeddings",
)  # fmt: skip
"""Keys of a configuration that change no layer's time."""


@dataclass(frozen=True)
class Conditions:
    """Under which times are promised: one row at a time, without padding and without a head.

    Attributes:
        length: tokens, special ones included.
        threads: of PyTorch.
        precision: of weights and activations.
    """

    length: int
    threads: int = 1
    precision: Precision = "fp32"


@dataclass(frozen=True)
class Measured:
    """Times of one block's models.

    Attributes:
        line: through the medians.
        medians: in seconds, by number of layers.
        spread: the largest distance between the quartiles of one depth, as a share of its median.
        load: of the machine before; None where it is not known.
    """

    line: Line
    medians: dict[int, float]
    spread: float
    load: float | None

    @property
    def disturbed(self) -> bool:
        """Whether other work on the machine shows: such times are not kept in the cache."""
        return self.spread > _DISTURBED

    def to_json(self) -> dict[str, Any]:
        """As a dictionary of plain values."""
        return asdict(self)


def latency_table(
    config: Any,
    blocks: Sequence[Block],
    conditions: Conditions,
    *,
    cache: Path,
    again: bool = False,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> dict[Block, Measured]:
    """The times of students of a teacher, from the cache where they were measured on this machine before.

    Args:
        config: the teacher's.
        blocks: sizes of a layer.
        cache: folder of earlier measurements; one small file for each block and conditions.
        again: measure even so.
        progress: told the share done, and of what.

    Raises:
        ModelError: the length is more than the teacher reads.
    """
    _check_length(config, conditions.length)
    found: dict[Block, Measured] = {}
    for number, block in enumerate(blocks):
        progress(number / len(blocks), f"width {block.width}, {block.feedforward} units")
        file = cache / "latency" / f"{_key(config, block, conditions)}.json"
        known = None if again else _read(file)
        found[block] = known or _measure(config, block, conditions)
        if known is None and not found[block].disturbed:
            facts = {"machine": machine(), "block": asdict(block), "conditions": asdict(conditions)}
            write_json(file, {**facts, **found[block].to_json()})
    return found


def _check_length(config: Any, length: int) -> None:
    most = longest_input(config)
    if length < 1 or (most is not None and length > most):
        raise ModelError(
            f"--length {length} for a model that reads {'any number of' if most is None else most} tokens",
            wanted="1 or more" if most is None else f"1 to {most}",
            fix="give a length that the teacher can read",
        )


def _key(config: Any, block: Block, conditions: Conditions) -> str:
    sizes = planned_config(config, layers=1, block=block, vocabulary=_ROWS).to_dict()
    facts = {key: value for key, value in sizes.items() if key not in _IRRELEVANT}
    text = json.dumps([machine(), facts, asdict(conditions)], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _measure(config: Any, block: Block, conditions: Conditions) -> Measured:
    before, deep = load(), int(config.num_hidden_layers)
    rows = max([_ROWS, *(index + 1 for index in special_ids(config))])
    calls = {}
    for layers in sorted({1, (deep + 1) // 2, deep}):
        sizes = planned_config(config, layers=layers, block=block, vocabulary=rows)
        with seeded(0):
            model = empty_model(sizes, "base")
        row = random_rows(model, batch=1, length=conditions.length)
        forward = torch_runtime(model, precision=conditions.precision, head=False)
        calls[str(layers)] = lambda forward=forward, row=row: forward(row)
    with threads(conditions.threads):
        timings = time_in_turns(calls, repeats=_REPEATS)
    medians = {int(name): timing.p50 for name, timing in timings.items()}
    return Measured(_line(medians), medians, max(map(_spread, timings.values())), before)


def _spread(timing: Timing) -> float:
    return (timing.quantile(0.75) - timing.quantile(0.25)) / timing.p50


def _line(seconds: Mapping[int, float]) -> Line:
    """Least squares; a teacher of one layer has no slope to tell."""
    if len(seconds) == 1:
        return Line(0.0, next(iter(seconds.values())))
    slope, fixed = np.polyfit(list(seconds), list(seconds.values()), 1)
    return Line(max(0.0, float(fixed)), max(0.0, float(slope)))


def _read(file: Path) -> Measured | None:
    """What was measured before; None where nothing was, or the file is not of this version."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        medians = {int(layers): float(seconds) for layers, seconds in told["medians"].items()}
        return Measured(Line(**told["line"]), medians, float(told["spread"]), told["load"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
