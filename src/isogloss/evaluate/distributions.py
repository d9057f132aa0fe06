"""What a model believes of items with classes that languages share: a probability for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from isogloss.data.encode import encode
from isogloss.data.features import collate
from isogloss.data.pieces import padding_id
from isogloss.data.records import Example
from isogloss.evaluate.predict import batches, row_length
from isogloss.models.classes import class_scores
from isogloss.models.modes import evaluating
from isogloss.models.tasks import TaskModel


def distributions(
    model: TaskModel,
    tokenizer: Any,
    examples: Sequence[Example],
    *,
    batch_tokens: int = 8192,
    max_length: int | None = None,
) -> npt.NDArray[np.float64]:
    """The probability of each class of each example, (examples, classes); gold is not read.

    An example with fewer classes than another has 0 at the end.

    Args:
        model: of kind label, choice or gap, with a head or a prompt.
        batch_tokens: tokens per batch, padding included.
        max_length: tokens per row; None for what the model takes, 512 at most.

    Raises:
        DataError, ModelError: as `encode`.
    """
    features = encode(
        model.kind,
        examples,
        tokenizer,
        labels=model.labels,
        prompt=model.prompt,
        max_length=row_length(model, max_length),
        objective=model.objective,
        purpose="predict",
    )
    pad, device = padding_id(tokenizer), next(model.parameters()).device
    found: dict[int, npt.NDArray[np.float64]] = {}
    with evaluating(model), torch.inference_mode():
        for chosen in batches(features, batch_tokens):
            rows = collate([features[place] for place in chosen], pad)
            scores = class_scores(model, {name: tensor.to(device) for name, tensor in rows.items()})
            believed = scores.double().softmax(-1).cpu().numpy()
            found |= dict(zip(chosen, believed, strict=True))
    width = max(map(len, found.values()))
    return np.stack([np.pad(found[i], (0, width - len(found[i]))) for i in range(len(features))])
