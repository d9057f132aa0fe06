"""A language model as the loop trains it: from a batch to a loss, with logits only where one is counted.

The vocabulary is the widest matrix of a small model: with 24,000 pieces and 256 dimensions, logits for every
position cost more than all layers together. A masked model needs them at one position in seven.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from isogloss.data.features import IGNORED
from isogloss.models.anatomy import anatomy

# Modules that take hidden states to logits, in order, from the whole model. Families that are not here have
# steps between them that are no modules; they compute all logits.
_HEAD_PATHS: dict[str, tuple[str, ...]] = {
    "bert": ("cls",),
    "roberta": ("lm_head",),
    "modernbert": ("head", "decoder"),
    "gpt2": ("lm_head",),
    "llama": ("lm_head",),
}


class LanguageModel(nn.Module):
    """A masked, causal or encoder-decoder language model and its mean loss over the targets of a batch.

    Attributes:
        model: the transformers model.
        causal: labels are compared with the position before them.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        parts = anatomy(model)
        self.causal = parts.family.kind == "decoder"
        self._paths = _HEAD_PATHS.get(parts.family.name, ())

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Mean cross-entropy in nats over the labels that count, and how many do.

        Args:
            batch: `input_ids`, `attention_mask` and `labels`, each [batch length]; -100 is not counted.
        """
        labels = _shifted(batch["labels"]) if self.causal else batch["labels"]
        counted = labels != IGNORED
        logits = self._logits(batch, counted)
        losses = nn.functional.cross_entropy(logits.float(), labels[counted], reduction="sum")
        return losses / counted.sum().clamp(min=1), counted.sum()

    def _logits(self, batch: Mapping[str, Tensor], counted: Tensor) -> Float[Tensor, "targets vocabulary"]:
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        if not self._paths:
            logits: Tensor = self.model(**inputs, labels=batch["labels"]).logits[counted]
            return logits
        states: Tensor = self.model.base_model(**inputs).last_hidden_state[counted]
        for path in self._paths:
            states = self.model.get_submodule(path)(states)
        return states


def _shifted(labels: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Labels moved to the positions that predict them; nothing predicts beyond the last."""
    return torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], IGNORED)], dim=1)
