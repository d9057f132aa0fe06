"""A trimmed vocabulary on disk: the tokenizer's folder, and which old ids are left in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.core.files import whole_folder, write_json
from isogloss.vocab.folder import ROLES, save_tokenizer
from isogloss.vocab.trim import TrimmedVocabulary

_FACTS = "trimmed.json"


def save_trimmed(folder: Path, trimmed: TrimmedVocabulary, original: Any) -> None:
    """Write the trimmed tokenizer and its old ids; the folder appears whole or not at all.

    Args:
        folder: loads with `AutoTokenizer`.
        original: the transformers tokenizer it was trimmed from, for the roles of its special tokens.
    """
    roles = {role: str(token) for role in ROLES if (token := getattr(original, role, None)) is not None}
    longest = original.model_max_length
    with whole_folder(folder, seal=False) as unfinished:
        save_tokenizer(
            unfinished,
            trimmed.tokenizer_json,
            roles=roles,
            max_length=longest if longest < 10**9 else None,  # transformers writes 10^30 for "no limit"
        )
        write_json(unfinished / _FACTS, {"lost": trimmed.lost, "kept": trimmed.kept.tolist()})


def load_trimmed(folder: Path) -> TrimmedVocabulary:
    """What `save_trimmed` wrote."""
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    return TrimmedVocabulary(
        tokenizer_json=(folder / "tokenizer.json").read_text(encoding="utf-8"),
        kept=np.array(facts["kept"], dtype=np.int64),
        lost=facts["lost"],
    )
