"""An output layer that shares the embedding's table, and how to part the two."""

from __future__ import annotations

from torch import nn

from isogloss.core.errors import ModelError
from isogloss.models.anatomy import anatomy


def untie(model: nn.Module) -> None:
    """Give the output layer a copy of the embedding's table where it shares that; the scores stay the same.

    A folder that the model is saved in holds both tables, and they stay apart when it is loaded unless they
    are equal still.

    Args:
        model: a transformers model, or a module that holds one.

    Raises:
        ModelError: the architecture's head has no layer of its own to hold a table.
    """
    from transformers import PreTrainedModel

    anatomy(model)  # says so when there is no transformers model in it
    whole = next(module for module in model.modules() if isinstance(module, PreTrainedModel))
    parts = anatomy(whole)
    if parts.lm_head is None and parts.lm_bias is not None:
        raise ModelError(
            f"a {parts.config.model_type} model whose head multiplies with the embedding table itself",
            wanted="an output layer that can keep the table as it is while the embedding moves",
            fix="train the head too (`heads: dense`)",
        )
    weight = parts.embedding.weight
    if parts.lm_head is None or parts.lm_head.weight is not weight:
        return
    parts.lm_head.weight = nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)
    ties = whole.all_tied_weights_keys
    for target, source in list(ties.items()):
        if whole.get_parameter(target) is not whole.get_parameter(source):
            ties.pop(target)
