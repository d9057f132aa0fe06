"""A student beside its teacher, run on the same batch and compared layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from isogloss.losses.attention import attention_loss, real_pairs
from isogloss.losses.hidden import hidden_loss
from isogloss.models.anatomy import anatomy
from isogloss.models.outputs import Kept, run


class Distillation(nn.Module):
    """BiStil's general distillation losses (Ansell et al. 2023, section 3.1; TinyBERT's for layers).

    Only the student is part of this module: its parameters are trained, checkpointed and counted. The teacher
    rides along in evaluation mode, without gradients, and moves to wherever the student is.

    Attributes:
        student: a transformers model; what is trained.
        layers: the teacher layer that each student layer is compared with.
        losses: which to compute: "hidden", "attention".
        kept: the teacher's id for each of the student's; None where they are the same.
    """

    def __init__(
        self,
        student: Any,
        teacher: Any,
        *,
        layers: Sequence[int],
        losses: Sequence[str],
        kept: npt.NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__()
        self._kept = None if kept is None else torch.from_numpy(np.ascontiguousarray(kept))
        self.student = student
        self.layers = tuple(layers)
        self.losses = tuple(losses)
        self._teacher = [anatomy(teacher).base.eval().requires_grad_(False)]  # in a list: not a submodule

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Float[Tensor, " pairs"]]:
        """Each loss by name, a number per compared pair of layers; padding is left out of all.

        Args:
            batch: `input_ids` and `attention_mask`, each [batch length].
        """
        real = batch["attention_mask"] != 0
        ours = self._run(anatomy(self.student).base, batch, range(len(self.layers)))
        with torch.no_grad():
            theirs = self._run(self._teacher_on(real.device), self._for_teacher(batch), self.layers)
        return {name: _LOSSES[name](self, ours, theirs, real) for name in self.losses}

    def _run(self, base: nn.Module, batch: Mapping[str, Tensor], layers: Sequence[int]) -> Kept:
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        states = [0, *(layer + 1 for layer in layers)]
        return run(
            base,
            inputs,
            hidden=states if "hidden" in self.losses else (),
            attention=list(layers) if "attention" in self.losses else (),
        )

    def _for_teacher(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The batch with the ids that the teacher has for the same pieces."""
        ids = batch["input_ids"]
        return {**batch, "input_ids": ids if self._kept is None else self._kept.to(ids.device)[ids]}

    def _teacher_on(self, device: torch.device) -> Any:
        self._teacher[0] = self._teacher[0].to(device)
        return self._teacher[0]

    def _hidden(
        self, ours: Kept, theirs: Kept, real: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, " states"]:
        """The embedding output, and what leaves each layer."""
        return hidden_loss(
            [ours.hidden[i] for i in range(len(self.layers) + 1)],
            [theirs.hidden[j] for j in (0, *(layer + 1 for layer in self.layers))],
            real,
        )

    def _attention(
        self, ours: Kept, theirs: Kept, real: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, " layers"]:
        causal = anatomy(self.student).family.kind == "decoder"
        return attention_loss(
            [ours.attention[i] for i in range(len(self.layers))],
            [theirs.attention[layer] for layer in self.layers],
            real_pairs(real, causal=causal),
        )


_LOSSES = {"hidden": Distillation._hidden, "attention": Distillation._attention}
