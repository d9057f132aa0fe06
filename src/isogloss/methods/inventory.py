"""What a run says about a model: how big it is, and which tokenizer it reads with."""

from __future__ import annotations

from typing import Any

from torch import nn

from isogloss.core.run import Run
from isogloss.models.anatomy import anatomy
from isogloss.vocab.fingerprint import fingerprint


def note_model(run: Run, name: str, model: nn.Module, tokenizer: Any) -> None:
    """Write a model's size to sizes.json, and its tokenizer's fingerprint to environment.json."""
    parameters = list(model.parameters())
    parts = anatomy(model)
    run.size(
        name,
        parameters=sum(parameter.numel() for parameter in parameters),
        bytes=sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        layers=len(parts.layers),
        hidden=int(parts.config.hidden_size),
        vocabulary=len(tokenizer),
    )
    run.note(**{f"tokenizer_{name}": fingerprint(tokenizer)})
