"""Dynamic masking: what a masked language model has to guess, drawn anew for every sequence.

BERT (Devlin et al., 2019, 1810.04805) hides 15 % of the tokens: of those, 80 % become the mask, 10 % another
token, 10 % stay. The mask of draw *i* depends on (seed, *i*) alone, so the same text is masked in another
way each time it comes round, and in the same way again when a run is resumed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from isogloss.core.config import Record
from isogloss.core.errors import ModelError
from isogloss.core.seeds import uniforms
from isogloss.core.tokenizer import special_flags
from isogloss.data.features import IGNORED
from isogloss.data.words import word_starts

Ids = npt.NDArray[np.int64]


class Masking(Record):
    """The `masking:` part of a recipe.

    Attributes:
        probability: share of tokens to guess (with `whole_words`: of words).
        mask: share of those that become the mask; 1 for masks alone.
        random: share of those that become another token; the rest stay as they are.
        whole_words: hide all tokens of a word together.
    """

    probability: float = Field(default=0.15, gt=0, le=1)
    mask: float = Field(default=0.8, ge=0, le=1)
    random: float = Field(default=0.1, ge=0, le=1)
    whole_words: bool = False

    @model_validator(mode="after")
    def _parts_of_one(self) -> Masking:
        if self.mask + self.random > 1 + 1e-9:
            raise ValueError("mask + random must not pass 1: they are shares of the tokens to guess")
        return self


class Masker:
    """Masks rows of token ids. Special tokens, padding among them, are never chosen."""

    def __init__(self, tokenizer: Any, masking: Masking, *, seed: int) -> None:
        """Read off the tokenizer what masking needs.

        Args:
            tokenizer: a transformers tokenizer of the fast kind.
            masking: how much, and what becomes of it.
            seed: of the run.

        Raises:
            ModelError: the tokenizer has no mask token, or no word beginnings where whole words are asked.
        """
        if tokenizer.mask_token_id is None:
            raise ModelError(
                "a tokenizer without a mask token",
                wanted="one with a mask, for masked language modelling",
                fix="choose objective: causal, or another model",
            )
        self.masking = masking
        self._seed = seed
        self._mask = int(tokenizer.mask_token_id)
        self._special = special_flags(tokenizer)
        self._ordinary = np.flatnonzero(~self._special)
        self._starts = word_starts(tokenizer) if masking.whole_words else None

    def apply(self, ids: Ids, draws: Ids) -> tuple[Ids, Ids]:
        """Inputs with masks, and labels that are -100 wherever nothing is to be guessed.

        Each row with an ordinary token in it has at least one to guess, the one drawn nearest to being
        chosen, so no batch has an undefined loss.

        Args:
            ids: (rows, length).
            draws: the draw each row is; (rows,). Together with the seed and the length, all that the masks
                depend on.

        Returns:
            Two arrays (rows, length).
        """
        counters = draws[:, None] * ids.shape[1] + np.arange(ids.shape[1])
        chosen = self._choose(ids, self._uniforms(counters, lane=0))
        fate = self._uniforms(counters, lane=1)
        other = (self._uniforms(counters, lane=2) * len(self._ordinary)).astype(np.int64)
        masked = chosen & (fate < self.masking.mask)
        swapped = chosen & ~masked & (fate < self.masking.mask + self.masking.random)
        inputs = np.where(masked, self._mask, np.where(swapped, self._ordinary[other], ids))
        return inputs, np.where(chosen, ids, IGNORED)

    def _choose(self, ids: Ids, drawn: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        special = self._special[ids]
        if self._starts is not None:
            drawn = np.take_along_axis(drawn, _word_beginnings(self._starts[ids], special), axis=1)
        drawn = np.where(special, np.inf, drawn)
        lowest = drawn.min(axis=1, keepdims=True)
        return ((drawn < self.masking.probability) | (drawn == lowest)) & ~special

    def _uniforms(self, counters: Ids, *, lane: int) -> npt.NDArray[np.float64]:
        return uniforms(self._seed, "masking", counters, lane=lane)


def _word_beginnings(starts: npt.NDArray[np.bool_], special: npt.NDArray[np.bool_]) -> Ids:
    """For each token, the column where its word begins; what follows a special token begins one; like ids."""
    starts = starts | special
    starts[:, 0] = True
    starts[:, 1:] |= special[:, :-1]
    return np.maximum.accumulate(np.where(starts, np.arange(starts.shape[1]), 0), axis=1)
