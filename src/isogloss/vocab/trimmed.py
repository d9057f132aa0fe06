"""A trimmed vocabulary on disk: the tokenizer's folder, and which old ids are left in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.core.files import whole_folder, write_json
from isogloss.vocab.certificate import Certificate
from isogloss.vocab.fingerprint import fingerprint
from isogloss.vocab.folder import longest_of, roles_of, save_tokenizer, settings_of
from isogloss.vocab.trim import TrimmedVocabulary

CERTIFICATE = "certificate.json"
_FACTS = "trimmed.json"


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
    save_tokenizer(
        folder,
        trimmed.tokenizer_json,
        roles=roles_of(original),
        max_length=longest_of(original),
        settings=settings_of(original),
    )
    facts = {
        "original": fingerprint(original),
        "lost": trimmed.lost,
        "unseen": trimmed.unseen,
        "kept": trimmed.kept.tolist(),
    }
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
        unseen=facts.get("unseen", {}),  # folders written before it was told
    )
