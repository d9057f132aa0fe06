"""A small record that says how big a model is, and the fresh model made from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    # The same function as GPT-2's "gelu_new", which transformers writes out in seven operations.
    "gpt2": {"activation_function": "gelu_pytorch_tanh"},
    "llama": {"tie_word_embeddings": True},
    "qwen3": {"tie_word_embeddings": True},
}
_PUBLISHED = {"family": "gpt2", "variant": "languini"}
_GPT_SIZES: dict[str, dict[str, Any]] = {
    "gpt-mini": {"layers": 4, "hidden": 512, "feedforward": 2048, "heads": 8, "head_width": 32},
    "gpt-small": {"layers": 12, "hidden": 768, "feedforward": 3072, "heads": 12, "head_width": 64},
    "gpt-medium": {"layers": 24, "hidden": 1024, "feedforward": 4096, "heads": 16, "head_width": 64},
}
PRESETS: dict[str, dict[str, Any]] = {name: _PUBLISHED | sizes for name, sizes in _GPT_SIZES.items()}
"""Published sizes by name: the language-imbalance paper's (Schäfer et al. 2024, arXiv 2404.07982)."""
_PRESET_LENGTH = 512
_FREE = ("max_length", "dropout")
"""What may be said beside the name of a published size."""

_NO_IDS: dict[str, int | None] = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}


class Architecture(Record):
    """The sizes of a model to train from scratch.

    A name of `PRESETS` stands for published sizes: `gpt-mini`, or `{preset: gpt-mini, max_length: 256}`.

    Attributes:
        family: which architecture.
        hidden: width of the hidden states; divisible by `heads`.
        layers: number of layers (in an encoder-decoder, of each side).
        heads: attention heads per layer.
        feedforward: inner width of the feed-forward block; None is four times `hidden` (two and a half times
            for the gated blocks of modernbert, llama, qwen3 and mt5, which have three matrices for two).
        max_length: longest input in tokens; mt5 has no bound and ignores it.
        dropout: probability everywhere inside the layers, in [0, 1).
        variant: `languini`, for gpt2 alone: the GPT of the language-imbalance paper (`models.gpt`), with an
            output layer of its own. It is saved as an ordinary GPT-2.
        head_width: numbers of each head, of this variant alone; None is `hidden / heads`, and none is wider.
        options: further keys of the transformers configuration, passed on as they are.
    """

    family: FamilyName = "modernbert"
    hidden: int = Field(256, ge=1)
    layers: int = Field(6, ge=1)
    heads: int = Field(4, ge=1)
    feedforward: int | None = Field(None, ge=1)
    max_length: int = Field(256, ge=2)
    dropout: float = Field(0.0, ge=0, lt=1)
    variant: Literal["languini"] | None = None
    head_width: int | None = Field(None, ge=1)
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _written_by_name(cls, values: Any) -> Any:
        if isinstance(values, str):
            return _preset(values, {})
        if isinstance(values, Mapping) and "preset" in values:
            rest = {key: value for key, value in values.items() if key != "preset"}
            return _preset(str(values["preset"]), rest)
        return values

    @model_validator(mode="after")
    def _variant_fits(self) -> Architecture:
        if self.variant is not None and self.family != "gpt2":
            raise ValueError(f"variant: {self.variant} is one of gpt2, not of {self.family}")
        if self.variant is not None and self.options.get("tie_word_embeddings"):
            raise ValueError(f"options.tie_word_embeddings: {self.variant} has an output layer of its own")
        if self.head_width is not None and self.variant is None:
            raise ValueError("head_width: heads are hidden / heads wide but in gpt2's variant languini")
        if self.head_width is not None and self.head_width > self.hidden // self.heads:
            raise ValueError(
                f"head_width: {self.head_width} is more than hidden / heads, {self.hidden // self.heads}, "
                "which the GPT-2 that is saved has room for"
            )
        return self

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


def _preset(name: str, rest: dict[str, Any]) -> dict[str, Any]:
    """The values that a name stands for, with what is said beside it."""
    if name not in PRESETS:
        raise ValueError(f"preset: {name!r} is none of {', '.join(PRESETS)}. {did_you_mean(name, PRESETS)}")
    if fixed := [key for key in rest if key not in _FREE]:
        raise ValueError(
            f"{fixed[0]}: {name} says it already; beside a preset only {' and '.join(_FREE)} can be given"
        )
    return {"max_length": _PRESET_LENGTH} | PRESETS[name] | rest


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
    from isogloss.models.gpt import SCALE_KEY, WIDTH_KEY

    per_head = architecture.hidden // architecture.heads
    if architecture.family == "mt5":
        return {"d_kv": per_head, "num_decoder_layers": architecture.layers}
    if architecture.variant == "languini":
        scale, width = math.sqrt(architecture.hidden), architecture.head_width or per_head
        return {SCALE_KEY: scale, WIDTH_KEY: width, "tie_word_embeddings": False}
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
