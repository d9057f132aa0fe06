"""One distribution for each example: the scores of its classes, whichever way a model comes by them."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from isogloss.models.task_model import TaskOutput


def class_scores(model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, "items classes"]:
    """Scores whose softmax over the classes is what a model says of each example; differentiable.

    Of kind label the logits, of choice a score for each alternative, of gap one for each candidate, from a
    head or from the pieces that speak for the classes.

    Args:
        model: a `TaskModel` of kind label, choice or gap, or what a training wraps one in.
        batch: of `encode(..., purpose="predict")` and `collate`, so that row i is example i.

    Returns:
        In single precision, the lowest finite value where an example has fewer classes than another.

    Example:
        >>> batch = collate(encode("label", examples, tokenizer, purpose="predict", ...), pad)
        >>> class_scores(model, batch).softmax(-1)
    """
    output: TaskOutput = model(batch)
    (scores,) = output.logits.values()
    return scores.float()
