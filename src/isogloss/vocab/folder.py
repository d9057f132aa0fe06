"""The folder transformers loads a tokenizer from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isogloss.core.files import write_json, write_text

ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def save_tokenizer(
    folder: Path,
    tokenizer_json: str,
    *,
    roles: Mapping[str, str],
    max_length: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, which `AutoTokenizer` loads with no isogloss.

    Args:
        folder: made if absent; other files in it are left alone.
        tokenizer_json: of the tokenizers library.
        roles: the special token for each of transformers' roles (`mask_token`: `<mask>`); roles left out
            stay empty.
        max_length: tokens the model takes at most; None: no limit is written.
        settings: further keys of `tokenizer_config.json`, such as `padding_side`; None: none.
    """
    assert set(roles) <= set(ROLES), set(roles) - set(ROLES)
    # The generic class takes tokenizer.json as it stands; model-specific ones rebuild parts of it.
    config: dict[str, object] = {"tokenizer_class": "TokenizersBackend", **roles, **(settings or {})}
    if max_length is not None:
        config["model_max_length"] = max_length
    write_text(folder / "tokenizer.json", json.dumps(json.loads(tokenizer_json), ensure_ascii=False) + "\n")
    write_json(folder / "tokenizer_config.json", config)
