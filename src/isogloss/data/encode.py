"""Examples of every kind as rows of token ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from isogloss.core.by_language import groups
from isogloss.data.encoding import classes, language, spans, texts, words
from isogloss.data.encoding.language import MASK_EVERY
from isogloss.data.encoding.reader import Objective, Purpose, Reader, sentinels
from isogloss.data.features import Features
from isogloss.data.labels import LabelIndex
from isogloss.data.pieces import frame_of
from isogloss.data.prompts import Prompt
from isogloss.data.records import Example, Kind

__all__ = ["MASK_EVERY", "Objective", "encode", "sentinels"]


def encode(
    kind: Kind,
    examples: Sequence[Example],
    tokenizer: Any,
    *,
    labels: Sequence[str] = (),
    max_length: int,
    objective: Objective = "masked",
    purpose: Purpose = "train",
    stride: int | None = None,
    prompt: Prompt | None = None,
) -> list[Features]:
    """Encode examples of one kind; one of tags, span or text may become several features, its windows.

    Args:
        tokenizer: a transformers tokenizer of the fast kind; or one for each language, and each example is
            read by its language's.
        labels: the model's labels in its order (label, tags) or its relations (tree).
        max_length: tokens per row, special ones included.
        objective: how the model reads text; matters to gap and text.
        purpose: "train" reads the gold, and of a gap makes a feature of each right candidate; "predict" reads
            none, and gives exactly one feature for each example of label, choice and gap, for
            `isogloss.models.classes.class_scores`.
        stride: tokens that neighbouring windows of span and causal text share; None is a third of a row
            for span and a quarter for text.
        prompt: how label and choice examples are asked as gaps; None for models that have a head for them.

    Raises:
        DataError: an example without gold or with a label the model does not know (training), an answer
            that is not where it says, a prompt without its gap, in no language of the example's or with the
            same pieces for two labels, a `max_length` without room for content.
        ModelError: a slow tokenizer, one without the mask or sentinels that `objective` needs, or none for an
            example's language.
    """
    encoders = _ENCODERS if purpose == "train" else _ENCODERS | {"gap": classes.gaps}
    found: list[Features] = []
    for own, places in groups(tokenizer, [example.language for example in examples]):
        reader = Reader(
            own, frame_of(own), LabelIndex(labels), max_length, objective, purpose == "train", stride
        )
        some = [examples[place] for place in places]
        encoded = encoders[kind](reader, some) if prompt is None else classes.asked(reader, some, prompt)
        found += (replace(feature, example=places[feature.example]) for feature in encoded)
    return sorted(found, key=lambda feature: feature.example)


_ENCODERS: dict[Kind, Callable[[Reader, Any], Iterator[Features]]] = {
    "label": texts.labelled_texts,
    "choice": texts.choices,
    "gap": language.gaps,
    "tags": words.tags,
    "tree": words.trees,
    "span": spans.spans,
    "text": language.texts,
}
