"""What vocabularies of several sizes would keep of each language."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isogloss.vocab.rules import by_share
from isogloss.vocab.trim import Calibration

_PER_OCTAVE, _OCTAVES = 4, 5


@dataclass(frozen=True)
class VocabularySize:
    """One trimmed vocabulary; `BySize(size)` gives exactly this one from the same corpora.

    Attributes:
        size: entries.
        kept: per language, the share of its tokens that are in it, in [0, 1].
        tokenizer_bytes: of its tokenizer.json as transformers writes it.
    """

    size: int
    kept: dict[str, float]
    tokenizer_bytes: int

    @property
    def least_kept(self) -> float:
        """The share kept of the language that loses most."""
        return min(self.kept.values())


def vocabulary_sizes(calibration: Calibration) -> list[VocabularySize]:
    """From all tokens the languages use down to a thirty-second of them, four steps to each halving.

    Returns:
        Smallest first, no size twice.
    """
    from tokenizers import Tokenizer

    ranked = by_share(calibration.weights)
    steps = range(_PER_OCTAVE * _OCTAVES + 1)
    numbers = sorted({round(len(ranked) * 2 ** (-step / _PER_OCTAVE)) for step in steps})
    found: dict[int, VocabularySize] = {}
    for number in numbers:
        chosen = np.zeros(len(calibration.always), dtype=np.bool_)
        chosen[ranked[:number]] = True
        wanted = calibration.closed(chosen)
        size = int(wanted.sum())
        if size in found:
            continue
        trimmed = calibration.cut(wanted)
        written = Tokenizer.from_str(trimmed.tokenizer_json).to_str(pretty=True)
        kept = {language: 1.0 - lost for language, lost in trimmed.lost.items()}
        found[size] = VocabularySize(size, kept, len(written.encode()))
    return list(found.values())
