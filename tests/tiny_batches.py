"""A batch of every kind of example for any task model."""

from __future__ import annotations

from isogloss.data.encode import encode
from isogloss.data.features import collate
from isogloss.data.pieces import padding_id
from tiny_examples import EXAMPLES


def batch_of(kind, model, tokenizer, examples=None):
    """With gold; None takes all the tiny examples of the kind."""
    features = encode(
        kind,
        EXAMPLES[kind] if examples is None else examples,
        tokenizer,
        labels=model.labels,
        max_length=64,
        objective=model.objective,
    )
    return collate(features, padding_id(tokenizer))
