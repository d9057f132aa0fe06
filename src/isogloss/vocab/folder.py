"""A tokenizer as transformers has it: the folder it loads one from, and what it adds to tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isogloss.core.files import write_json, write_text

ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_SETTINGS = ("model_input_names", "padding_side", "truncation_side", "extra_special_tokens", "chat_template")
_NO_LIMIT = 10**9  # transformers writes 10^30 for "no limit"


def roles_of(tokenizer: Any) -> dict[str, str]:
    """The special token for each of transformers' roles that a tokenizer has filled."""
    return {role: str(token) for role in ROLES if (token := getattr(tokenizer, role, None)) is not None}


def settings_of(tokenizer: Any) -> dict[str, Any]:
    """What else of a transformers tokenizer is not in its tokenizer.json, where it says anything."""
    settings = {key: value for key in _SETTINGS if (value := getattr(tokenizer, key, None))}
    if "extra_special_tokens" in settings:
        settings["extra_special_tokens"] = [str(token) for token in settings["extra_special_tokens"]]
    return settings


def longest_of(tokenizer: Any) -> int | None:
    """Tokens its model takes at most; None: it does not say."""
    return int(tokenizer.model_max_length) if tokenizer.model_max_length < _NO_LIMIT else None


def wrapped(
    tokenizer_json: str,
    *,
    roles: Mapping[str, str],
    max_length: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Any:
    """The transformers tokenizer that `save_tokenizer` would leave a folder of, without a folder."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    longest = {} if max_length is None else {"model_max_length": max_length}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer_json), **roles, **longest, **(settings or {})
    )


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
