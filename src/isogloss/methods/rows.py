"""Which rows of its vocabulary a model is trained with, where only those that the data uses are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from isogloss.compress.rows import FewerRows, rows_to_keep
from isogloss.core.run import Run
from isogloss.data.encode import encode
from isogloss.data.encoding.reader import Purpose
from isogloss.data.features import Features
from isogloss.data.pieces import frame_of, padding_id
from isogloss.data.records import PIECES, Example
from isogloss.data.tokens import TokenFile
from isogloss.evaluate.predict import row_length
from isogloss.methods.text import separator_of
from isogloss.models.tasks import TaskModel

_CHUNK = 2**24  # tokens counted at once


def rows_for_task(
    model: TaskModel,
    tokenizer: Any,
    learnt: Sequence[Example],
    held_out: Mapping[str, Sequence[Example]],
    *,
    max_length: int | None,
    run: Run,
) -> FewerRows:
    """Leave a task model the rows that its training and development examples use; `put_back` ends that.

    Args:
        max_length: of rows, as in training.
        run: gets a note of how many rows there are.

    Raises:
        DataError: as `encode`.
    """

    def features(examples: Sequence[Example], purpose: Purpose) -> list[Features]:
        return encode(
            model.kind,
            examples,
            tokenizer,
            labels=model.labels,
            max_length=row_length(model, max_length),
            objective=model.objective,
            purpose=purpose,
            prompt=model.prompt,
        )

    found = {id for feature in features(learnt, "train") for id in _ids(feature)}
    for examples in held_out.values():
        found.update(id for feature in features(examples, "predict") for id in _ids(feature))
    found.add(padding_id(tokenizer))
    return _fewer(model, tokenizer, [found], run)


def rows_for_text(model: TaskModel, tokenizer: Any, files: Iterable[TokenFile], run: Run) -> FewerRows:
    """Leave a language model the rows that running text uses; `put_back` ends that.

    Tokens that masking puts in at random, and that are not among them, are replaced by some that are.

    Args:
        files: of training and development text.
        run: gets a note of how many rows there are.
    """
    framing = {padding_id(tokenizer), separator_of(tokenizer)}
    framing.update(id for side in frame_of(tokenizer).single for id in side[0])
    counts = np.zeros(model.config.vocab_size, dtype=bool)
    for file in files:
        for start in range(0, len(file.ids), _CHUNK):
            counts[np.unique(file.ids[start : start + _CHUNK])] = True
    used = np.flatnonzero(counts)
    ordinary = np.setdiff1d(used, [*framing, *tokenizer.all_special_ids])
    return _fewer(model, tokenizer, [framing, used.tolist()], run, stand_ins=ordinary, full_scores=False)


def _ids(feature: Features) -> Iterator[int]:
    for row in feature.rows:
        yield from row
    for entry in feature.entries:
        yield entry.token
    for _, said in feature.decoder:
        yield from said
    if feature.kind in PIECES:
        yield from feature.labels or ()


def _fewer(
    model: TaskModel, tokenizer: Any, used: Iterable[Iterable[int]], run: Run, **how: Any
) -> FewerRows:
    kept = rows_to_keep(model.config, tokenizer, used)
    run.note(rows={"trained": len(kept), "of": model.config.vocab_size})
    return FewerRows(model, kept, **how)
