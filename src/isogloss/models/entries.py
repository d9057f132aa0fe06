"""Scores of classes that pieces of the vocabulary speak for, the vocabulary scored only where they stand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def entry_scores(
    model: Any, inputs: Mapping[str, Any], batch: Mapping[str, Tensor]
) -> Float[Tensor, "items classes"]:
    """For each class the weighted sum of log p(token) over its entries, in single precision.

    Args:
        model: a transformers language model.
        inputs: what of the batch the model takes.
        batch: of `isogloss.data.features.collate`, with entries.

    Returns:
        Scores, the lowest finite value where an item has fewer classes than another.
    """
    item, choice, row, place, token = batch["entries"].unbind(1)
    places = torch.zeros_like(batch.get("decoder", batch["input_ids"]), dtype=torch.bool)
    if "decoder" in batch:
        places = nn.functional.pad(places, (1, 0))
    places[row, place] = True
    logits = _scored_at(model, inputs, batch, places).float()
    at = (places.flatten().cumsum(0) - 1).view_as(places)[row, place]
    gains = logits[at, token] - logits.logsumexp(-1)[at]
    counts = batch["classes"]
    scores = gains.new_zeros(len(counts), int(counts.max()))
    scores = scores.index_put((item, choice), gains * batch["weights"], accumulate=True)
    missing = torch.arange(scores.shape[1], device=scores.device) >= counts[:, None]
    return scores.masked_fill(missing, torch.finfo(scores.dtype).min)


def _scored_at(
    model: Any, inputs: Mapping[str, Any], batch: Mapping[str, Tensor], places: Bool[Tensor, "rows length"]
) -> Float[Tensor, "places vocabulary"]:
    if "decoder" not in batch:
        with reading_only(model.base_model, places):
            return model(**inputs).logits[0]
    states = model.get_encoder()(**inputs, return_dict=True)
    source = batch["source"]
    states.last_hidden_state = states.last_hidden_state[source]
    start = batch["decoder"].new_full((len(source), 1), model.config.decoder_start_token_id)
    with reading_only(model.get_decoder(), places):
        return model(
            encoder_outputs=states,
            attention_mask=batch["attention_mask"][source],
            decoder_input_ids=torch.cat([start, batch["decoder"]], 1),
            use_cache=False,
        ).logits[0]


@contextlib.contextmanager
def reading_only(backbone: Any, places: Bool[Tensor, "rows length"]) -> Iterator[None]:
    """Hand the head above the backbone the hidden states of some places alone, as one row."""

    def gather(module: nn.Module, inputs: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[places][None]
        return output

    hook = backbone.register_forward_hook(gather)
    try:
        yield
    finally:
        hook.remove()
