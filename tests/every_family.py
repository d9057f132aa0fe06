"""A tiny random model of every architecture the anatomy table covers, four layers deep."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from isogloss.models.backbone import empty_model, quiet, seeded

ROWS, LAYERS = 50, 4

_SIZES = {
    "vocab_size": ROWS,
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 30,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_GROUPED = {"num_key_value_heads": 1, "head_dim": 8}
_T5 = {"d_ff": 24, "d_kv": 8, "num_decoder_layers": LAYERS, "dropout_rate": 0.0, "decoder_start_token_id": 1}
_SETTINGS: dict[str, dict[str, Any]] = {
    "bert": _NO_DROPOUT,
    "roberta": _NO_DROPOUT,
    "xlm-roberta": _NO_DROPOUT,
    "deberta-v2": {
        **_NO_DROPOUT,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
        "conv_kernel_size": 3,
    },
    "modernbert": {"global_attn_every_n_layers": 3, "cls_token_id": 0, "sep_token_id": 2},
    "distilbert": {"hidden_dim": 24, "dropout": 0.0, "attention_dropout": 0.0},
    "gpt2": {"n_inner": 24, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "llama": {},
    "mistral": {"num_key_value_heads": 1},
    "qwen2": {
        "num_key_value_heads": 1,
        "use_sliding_window": True,
        "sliding_window": 4,
        "max_window_layers": 2,
    },
    "qwen3": _GROUPED,
    "gemma": _GROUPED,
    "gemma2": _GROUPED,
    "gemma3_text": {**_GROUPED, "sliding_window": 4, "sliding_window_pattern": 2},
    "t5": _T5,
    "mt5": _T5,
}
MASKED = ("bert", "roberta", "xlm-roberta", "deberta-v2", "modernbert", "distilbert")
CAUSAL = ("gpt2", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
SEQ2SEQ = ("t5", "mt5")
EVERY = (*MASKED, *CAUSAL, *SEQ2SEQ)


def language_head(model_type: str) -> Any:
    """Which language-model head the architecture has."""
    return "masked" if model_type in MASKED else "causal" if model_type in CAUSAL else "seq2seq"


def small_model(model_type: str, auto: str | None = None, *, seed: int = 0, **changes: Any) -> Any:
    """In evaluation mode, every weight drawn anew so that no norm is all ones and no bias all zeros."""
    settings = {**_SIZES, **_SETTINGS[model_type], **changes}
    if model_type in ("t5", "mt5", "distilbert"):
        settings.pop("intermediate_size")
    if model_type in ("t5", "mt5"):
        settings.pop("max_position_embeddings")
    with quiet(), seeded(seed):
        model = empty_model(
            transformers.AutoConfig.for_model(model_type, **settings), auto or language_head(model_type)
        )
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def small_batch(model: Any, *, allowed: list[int] | None = None, seed: int = 0) -> dict[str, torch.Tensor]:
    """Three rows of lengths 7, 4 and 1, padded on the right."""
    draw = torch.Generator().manual_seed(seed)
    allowed = list(range(3, ROWS)) if allowed is None else allowed
    mask = torch.arange(7)[None] < torch.tensor([7, 4, 1])[:, None]
    drawn = torch.tensor(allowed)[torch.randint(len(allowed), (3, 7), generator=draw)]
    batch = {"input_ids": torch.where(mask, drawn, model.config.pad_token_id), "attention_mask": mask.long()}
    if model.config.is_encoder_decoder:
        batch["decoder_input_ids"] = batch["input_ids"][:, :5]
    return batch
