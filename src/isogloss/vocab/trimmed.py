"""A trimmed vocabulary on disk: the tokenizer's folder, and which old ids are left in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.core.files import whole_folder, write_json
from isogloss.vocab.certificate import Certificate
from isogloss.vocab.fingerprint import fingerprint
from isogloss.vocab.folder import ROLES, save_tokenizer
from isogloss.vocab.trim import TrimmedVocabulary

CERTIFICATE = "certificate.json"
_FACTS = "trimmed.json"
_SETTINGS = ("model_input_names", "padding_side", "truncation_side", "extra_special_tokens", "chat_template")


def save_trimmed(
    folder: Path, trimmed: TrimmedVocabulary, original: Any, certificate: Certificate | None = None
) -> None:
    """Write the trimmed tokenizer and its old ids; the folder appears whole or not at all.

    Args:
        folder: loads with `AutoTokenizer`.
        original: the transformers tokenizer it was trimmed from, for the roles of its special tokens.
        certificate: written beside it; None: there is none.
    """
    with whole_folder(folder, seal=False) as unfinished:
        write_trimmed(unfinished, trimmed, original)
        if certificate is not None:
            write_json(unfinished / CERTIFICATE, certificate.to_json())


def write_trimmed(folder: Path, trimmed: TrimmedVocabulary, original: Any) -> None:
    """`save_trimmed` into a folder that holds other files too, one file after the other."""
    roles = {role: str(token) for role in ROLES if (token := getattr(original, role, None)) is not None}
    settings = {key: value for key in _SETTINGS if (value := getattr(original, key, None))}
    if "extra_special_tokens" in settings:
        settings["extra_special_tokens"] = [str(token) for token in settings["extra_special_tokens"]]
    longest = original.model_max_length
    save_tokenizer(
        folder,
        trimmed.tokenizer_json,
        roles=roles,
        max_length=longest if longest < 10**9 else None,  # transformers writes 10^30 for "no limit"
        settings=settings,
    )
    facts = {"original": fingerprint(original), "lost": trimmed.lost, "kept": trimmed.kept.tolist()}
    write_json(folder / _FACTS, facts)


def identical_shares(folder: Path) -> dict[str, float]:
    """From the certificate, the share of each language's held-out sentences that are cut as before."""
    certificate = folder / CERTIFICATE
    if not certificate.exists():
        return {}
    found = json.loads(certificate.read_text(encoding="utf-8"))["languages"]
    return {tag: float(one["identical_share"]) for tag, one in found.items()}


def load_trimmed(folder: Path) -> TrimmedVocabulary:
    """What `save_trimmed` wrote."""
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    return TrimmedVocabulary(
        tokenizer_json=(folder / "tokenizer.json").read_text(encoding="utf-8"),
        kept=np.array(facts["kept"], dtype=np.int64),
        lost=facts["lost"],
    )
