"""A small record that says how big a model is, and the fresh model made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from isogloss.core.config import Record
from isogloss.core.errors import ModelError, did_you_mean
from isogloss.core.seeds import derive
from isogloss.models.families import family_of

if TYPE_CHECKING:
    from isogloss.models.backbone import Auto

FamilyName = Literal[
    "bert", "xlm-roberta", "deberta-v2", "modernbert", "distilbert", "gpt2", "llama", "qwen3", "mt5"
]

# What makes the family itself, where transformers' defaults are those of an older or other checkpoint.
_OPTIONS: dict[str, dict[str, Any]] = {
    # As mDeBERTa-v3; the class defaults are DeBERTa v1's, with relative attention off.
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "xlm-roberta": {"type_vocab_size": 1},
    "llama": {"tie_word_embeddings": True},
    "qwen3": {"tie_word_embeddings": True},
}
_NO_IDS: dict[str, int | None] = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}


class Architecture(Record):
    """The sizes of a model to train from scratch.

    Attributes:
        family: which architecture.
        hidden: width of the hidden states; divisible by `heads`.
        layers: number of layers (in an encoder-decoder, of each side).
        heads: attention heads per layer.
        feedforward: inner width of the feed-forward block; None is four times `hidden` (two and a half times
            for the gated blocks of modernbert, llama, qwen3 and mt5, which have three matrices for two).
        max_length: longest input in tokens; mt5 has no bound and ignores it.
        dropout: probability everywhere inside the layers, in [0, 1).
        options: further keys of the transformers configuration, passed on as they are.
    """

    family: FamilyName = "modernbert"
    hidden: int = Field(256, ge=1)
    layers: int = Field(6, ge=1)
    heads: int = Field(4, ge=1)
    feedforward: int | None = Field(None, ge=1)
    max_length: int = Field(256, ge=2)
    dropout: float = Field(0.0, ge=0, lt=1)
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _heads_divide(self) -> Architecture:
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is not divisible by heads {self.heads}")
        if (self.hidden // self.heads) % 2 and self.family in ("modernbert", "llama", "qwen3"):
            raise ValueError(f"rotary positions need an even hidden / heads, got {self.hidden // self.heads}")
        return self

    @property
    def inner(self) -> int:
        """The feed-forward width, with None worked out."""
        gated = self.family in ("modernbert", "llama", "qwen3", "mt5")
        return self.feedforward or (5 * self.hidden // 2 if gated else 4 * self.hidden)


def architecture_config(
    architecture: Architecture, *, vocabulary: int, special_ids: dict[str, int | None] | None = None
) -> Any:
    """The transformers configuration of an architecture.

    Args:
        vocabulary: number of rows.
        special_ids: `pad_token_id` and its like; None leaves padding at its usual id and the others unset,
            which is enough to count parameters.

    Raises:
        ModelError: an option that the family's configuration does not have.
    """
    from transformers import AutoConfig

    facts = family_of(architecture.family)
    ids = _NO_IDS | ({"cls_token_id": None, "sep_token_id": None} if facts.name == "modernbert" else {})
    # Wherever XLM-R's positions start counting, its published padding id is 1.
    ids |= {"pad_token_id": 1} if facts.positions_from_pad else {}
    ids |= special_ids or {}
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": architecture.hidden,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        facts.feedforward_key: architecture.inner,
    }
    if facts.length_key:
        offset = (ids["pad_token_id"] or 0) + 1 if facts.positions_from_pad else 0
        sizes[facts.length_key] = architecture.max_length + offset
    sizes |= _per_head_sizes(architecture) | dict.fromkeys(facts.dropout_keys, architecture.dropout)
    _check_options(architecture)
    settings = sizes | ids | _OPTIONS.get(architecture.family, {}) | architecture.options
    return AutoConfig.for_model(architecture.family, **settings)


def new_model(
    architecture: Architecture, *, tokenizer: Any, auto: Auto, seed: int, rows: int | None = None
) -> Any:
    """A model with fresh weights, the same for the same seed; no global generator moves.

    Args:
        tokenizer: gives the number of rows and the special ids.
        auto: which head; see `isogloss.models.backbone.load_model`.
        rows: of the vocabulary; None for one for each piece of the tokenizer.

    Raises:
        ModelError: the family has no such head, or an option is unknown.
    """
    from isogloss.models.backbone import empty_model, seeded

    config = architecture_config(
        architecture, vocabulary=rows or len(tokenizer), special_ids=special_ids(tokenizer, architecture)
    )
    with seeded(derive(seed, "model", architecture.family)):
        return empty_model(config, auto)


def special_ids(tokenizer: Any, architecture: Architecture) -> dict[str, int | None]:
    """The configuration's special ids, from a tokenizer; a cls token serves as bos where there is none.

    Raises:
        ModelError: the tokenizer has no padding token.
    """
    if tokenizer.pad_token_id is None:
        raise ModelError(
            "a tokenizer without a padding token",
            wanted="a padding token, so that texts of different length share a batch",
            fix='tokenizer.pad_token = tokenizer.eos_token, or add_special_tokens({"pad_token": "<pad>"})',
        )
    bos, cls = tokenizer.bos_token_id, tokenizer.cls_token_id
    eos, sep = tokenizer.eos_token_id, tokenizer.sep_token_id
    ids: dict[str, int | None] = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": bos if bos is not None else cls,
        "eos_token_id": eos if eos is not None else sep,
    }
    if architecture.family == "modernbert":
        ids |= {"cls_token_id": cls, "sep_token_id": sep}
    if architecture.family == "mt5":
        # T5 starts its decoder with the padding token.
        ids["decoder_start_token_id"] = tokenizer.pad_token_id
    return ids


def _per_head_sizes(architecture: Architecture) -> dict[str, Any]:
    per_head = architecture.hidden // architecture.heads
    if architecture.family == "mt5":
        return {"d_kv": per_head, "num_decoder_layers": architecture.layers}
    if architecture.family in ("llama", "qwen3"):
        return {"num_key_value_heads": architecture.heads, "head_dim": per_head}
    return {}


def _check_options(architecture: Architecture) -> None:
    from transformers import AutoConfig

    default = AutoConfig.for_model(architecture.family)
    legacy = {"global_attn_every_n_layers"} if architecture.family == "modernbert" else set()
    known = set(default.to_dict()) | legacy
    for key in architecture.options:
        if key not in known:
            raise ModelError(
                f"an option {key!r} for the {architecture.family} architecture",
                wanted="a key of the transformers configuration",
                fix=did_you_mean(key, known),
            )
