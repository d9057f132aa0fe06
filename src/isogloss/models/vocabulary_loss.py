"""The loss of a language model from its hidden states: what its head does, but for the scores.

transformers' heads give scores of the whole vocabulary at every place they are asked for. Here the head's
layers below the output layer are run as the head runs them, and the output layer and the loss are one
function that never holds all scores (`losses.vocabulary`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import gelu

from isogloss.losses.vocabulary import linear_cross_entropy
from isogloss.models.families import family_of

_Layer: TypeAlias = tuple[Tensor, Tensor, Tensor | None]
"""What the output layer reads, its weight and its bias."""


def has_loss_alone(config: Any) -> bool:
    """Whether models of a configuration have a head that is known here and does nothing to its scores."""
    capped = getattr(config, "final_logit_softcapping", None) is not None
    return not capped and family_of(config.model_type).name in _HEADS


def vocabulary_loss(
    model: Any, hidden: Float[Tensor, "places hidden"], targets: Int[Tensor, " places"]
) -> Float[Tensor, ""]:
    """The mean cross-entropy of a language model's head on some hidden states, in single precision.

    Args:
        model: a transformers language model for which `has_loss_alone`.
        hidden: of its backbone.
        targets: -100 where there is none.

    Returns:
        As the head's own scores would give; 0, with gradients of 0, when there is no target.
    """
    states, weight, bias = _HEADS[family_of(model.config.model_type).name](model, hidden)
    return linear_cross_entropy(states, weight, targets, bias=bias)


def _output(states: Tensor, layer: Any) -> _Layer:
    return states, layer.weight, layer.bias


def _bare(model: Any, hidden: Tensor) -> _Layer:
    return _output(hidden, model.lm_head)


def _bert(model: Any, hidden: Tensor) -> _Layer:
    head = model.cls.predictions
    return _output(head.transform(hidden), head.decoder)


def _roberta(model: Any, hidden: Tensor) -> _Layer:
    head = model.lm_head
    return _output(head.layer_norm(gelu(head.dense(hidden))), head.decoder)


def _deberta(model: Any, hidden: Tensor) -> _Layer:
    """The head of before 2023, which is BERT's, or the later one, which uses the embedding table."""
    if model.legacy:
        return _bert(model, hidden)
    head = model.lm_predictions.lm_head
    states = head.LayerNorm(head.transform_act_fn(head.dense(hidden)))
    return states, model.base_model.embeddings.word_embeddings.weight, head.bias


def _modernbert(model: Any, hidden: Tensor) -> _Layer:
    return _output(model.head(hidden), model.decoder)


def _distilbert(model: Any, hidden: Tensor) -> _Layer:
    states = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
    return _output(states, model.vocab_projector)


_HEADS: dict[str, Callable[[Any, Tensor], _Layer]] = {
    "bert": _bert,
    "roberta": _roberta,
    "deberta-v2": _deberta,
    "modernbert": _modernbert,
    "distilbert": _distilbert,
    "gpt2": _bare,
    "llama": _bare,
    "gemma2": _bare,
}
