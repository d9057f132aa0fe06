"""A few batches of the corpora, to see which parts of a model its languages use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from isogloss.core.by_language import tokenizer_of
from isogloss.core.run import Run
from isogloss.core.seeds import derive
from isogloss.data.batches import LanguageModelBatches, TextObjective
from isogloss.data.mixture import Mixture
from isogloss.data.timeline import fixed_shares
from isogloss.data.tokens import token_file
from isogloss.methods.text import Texts, separator_of
from isogloss.models.tasks import longest_input
from isogloss.vocab.fingerprint import fingerprint

SEQUENCES = 64
"""Enough for the second moments of a few hundred coordinates: some eight thousand tokens."""
_LENGTH = 128
_BATCH = 8
_DOCUMENTS = 2000
_CHARACTERS = 1_000_000


def calibration_batches(
    texts: Texts, tokenizer: Any, config: Any, run: Run, *, objective: TextObjective, seed: int
) -> list[dict[str, Tensor]]:
    """`SEQUENCES` sequences of up to 128 tokens from the beginnings of the corpora.

    All languages come alike often. The sequences are masked as in training, and carry labels. They are the
    same for the same corpora, tokenizer and seed.

    Args:
        config: of the model that reads them; it may bound the length.
    """
    own = {tag: tokenizer_of(tokenizer, tag) for tag in texts}
    keys = {one: fingerprint(one) for one in own.values()}
    files = {
        tag: token_file(
            _beginning(corpus),
            own[tag],
            cache=run.folder / "tokens",
            corpus_key=f"{corpus.fingerprint()}-first-{_DOCUMENTS}-{_CHARACTERS}",
            tokenizer_key=keys[own[tag]],
            separator=separator_of(own[tag]),
        )
        for tag, corpus in texts.items()
    }
    mixture = Mixture(fixed_shares(dict.fromkeys(files, 1.0)), seed=derive(seed, "calibration"))
    length = min(_LENGTH, longest_input(config) or _LENGTH)
    batches = LanguageModelBatches(
        files, mixture, tokenizer, length=length, batch_size=_BATCH, objective=objective
    )
    return [batches[index] for index in range(SEQUENCES // _BATCH)]


def _beginning(texts: Iterable[str]) -> Iterator[str]:
    """Some thousand documents; fewer of long ones."""
    characters = 0
    for number, text in enumerate(texts):
        if number == _DOCUMENTS or characters > _CHARACTERS:
            return
        characters += len(text)
        yield text
