"""The facts about each architecture family: a table of names and settings. To add a family, add a row.

transformers gives every architecture its own names. Everything that changes a model (dropping layers,
trimming the vocabulary, reading one layer's output) asks here, through `anatomy`, instead of guessing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from isogloss.core.errors import ModelError, did_you_mean

FamilyKind: TypeAlias = Literal["encoder", "decoder", "encoder-decoder"]


@dataclass(frozen=True)
class LayerFacts:
    """Names inside one layer.

    Attributes:
        map_source: the attention module, which makes the attention map.
        attention: submodules of attention.
        feedforward: submodules of the feed-forward block.
        norms: normalisations; they win over the two above where one lies inside the other.
        own_attention: where attention does not go through transformers' AttentionInterface: what makes query,
            key and value, called in this order, and the dropout of the map, inside `map_source`.
    """

    map_source: str
    attention: tuple[str, ...]
    feedforward: tuple[str, ...]
    norms: tuple[str, ...]
    own_attention: tuple[str, str, str, str] | None = None


@dataclass(frozen=True)
class HeadFacts:
    """A language-model head, as paths from the whole model.

    Attributes:
        decoder: the module that maps hidden states to the vocabulary; None when the head multiplies with the
            embedding table itself.
        bias: the parameter with one entry per vocabulary row; None when there is none.
    """

    decoder: str | None
    bias: str | None


@dataclass(frozen=True)
class Family:
    """Facts about one architecture family. Paths start at the base model, except in `heads`.

    Attributes:
        name: our name for it.
        model_types: transformers' `config.model_type` values it covers.
        kind: encoder, decoder or encoder-decoder.
        positions: how a token knows its place; absolute positions are a table that bounds the length.
        sdpa: whether scaled-dot-product attention is available; without it only eager is.
        embedding: the token embedding, then the names transformers also gives it.
        inputs: what else makes the input of layer 0 (positions, segments, the embedding norm).
        layers: the list of layers; for an encoder-decoder, the encoder's.
        layer: names inside one of them.
        final_norm: the norm after the last layer; None where each layer ends in its own.
        shared: parameters outside the layers which all layers use.
        decoder_layers, decoder_layer, decoder_norm: the same for the decoder of an encoder-decoder.
        heads: language-model heads this family has, in the order to look for them.
        first_only: parameters that only layer 0 has and all layers use: layer 0 of a shortened model needs
            the teacher's, wherever its other weights come from.
        not_in_first: parameters that every layer has except layer 0.
        feedforward_key: config key of the feed-forward width; the other sizes have the same name in every
            family through transformers' `attribute_map` (hidden_size, num_hidden_layers, ...).
        length_key: config key of the number of positions; None when length is not bounded by a table.
        positions_from_pad: position ids start after the padding id (RoBERTa), so the table is that much
            longer than the longest text.
        per_layer_keys: config lists with one entry per layer.
        dropout_keys: config keys of dropout inside the base model.
    """

    name: str
    model_types: tuple[str, ...]
    kind: FamilyKind
    positions: Literal["absolute", "rotary", "relative"]
    embedding: tuple[str, ...]
    inputs: tuple[str, ...]
    layers: str
    layer: LayerFacts
    final_norm: str | None
    heads: tuple[HeadFacts, ...]
    dropout_keys: tuple[str, ...]
    sdpa: bool = True
    shared: tuple[str, ...] = ()
    decoder_layers: str | None = None
    decoder_layer: LayerFacts | None = None
    decoder_norm: str | None = None
    first_only: tuple[str, ...] = ()
    not_in_first: tuple[str, ...] = ()
    feedforward_key: str = "intermediate_size"
    length_key: str | None = "max_position_embeddings"
    positions_from_pad: bool = False
    per_layer_keys: tuple[str, ...] = ()


_BERT_LAYER = LayerFacts(
    map_source="attention.self",
    attention=("attention",),
    feedforward=("intermediate", "output"),
    norms=("attention.output.LayerNorm", "output.LayerNorm"),
)
_BERT = Family(
    name="bert",
    model_types=("bert",),
    kind="encoder",
    positions="absolute",
    embedding=("embeddings.word_embeddings",),
    inputs=("embeddings",),
    layers="encoder.layer",
    layer=_BERT_LAYER,
    final_norm=None,
    heads=(HeadFacts("cls.predictions.decoder", "cls.predictions.bias"),),
    dropout_keys=("hidden_dropout_prob", "attention_probs_dropout_prob"),
)
_ROBERTA = replace(
    _BERT,
    name="roberta",
    model_types=("roberta", "xlm-roberta"),
    heads=(HeadFacts("lm_head.decoder", "lm_head.bias"),),
    positions_from_pad=True,
)
_DEBERTA = replace(
    _BERT,
    name="deberta-v2",
    model_types=("deberta-v2",),
    positions="relative",
    # The head written since 2023 (config.legacy false) has no decoder; `get_output_embeddings` then returns
    # its inner dense layer, which is not vocabulary-sized.
    heads=(*_BERT.heads, HeadFacts(None, "lm_predictions.lm_head.bias")),
    sdpa=False,
    layer=replace(_BERT_LAYER, own_attention=("query_proj", "key_proj", "value_proj", "dropout")),
    shared=("encoder.rel_embeddings", "encoder.LayerNorm", "encoder.conv"),
)
_MODERNBERT = Family(
    name="modernbert",
    model_types=("modernbert",),
    kind="encoder",
    positions="rotary",
    embedding=("embeddings.tok_embeddings",),
    inputs=("embeddings",),
    layers="layers",
    layer=LayerFacts("attn", ("attn",), ("mlp",), ("attn_norm", "mlp_norm")),
    final_norm="final_norm",
    heads=(HeadFacts("decoder", "decoder.bias"),),
    dropout_keys=("embedding_dropout", "attention_dropout", "mlp_dropout"),
    not_in_first=("attn_norm",),
    per_layer_keys=("layer_types",),
)
_DISTILBERT = Family(
    name="distilbert",
    model_types=("distilbert",),
    kind="encoder",
    positions="absolute",
    embedding=("embeddings.word_embeddings",),
    inputs=("embeddings",),
    layers="transformer.layer",
    layer=LayerFacts("attention", ("attention",), ("ffn",), ("sa_layer_norm", "output_layer_norm")),
    final_norm=None,
    heads=(HeadFacts("vocab_projector", "vocab_projector.bias"),),
    dropout_keys=("dropout", "attention_dropout"),
    feedforward_key="hidden_dim",
)
_GPT2 = Family(
    name="gpt2",
    model_types=("gpt2",),
    kind="decoder",
    positions="absolute",
    embedding=("wte",),
    inputs=("wpe",),
    layers="h",
    layer=LayerFacts("attn", ("attn",), ("mlp",), ("ln_1", "ln_2")),
    final_norm="ln_f",
    heads=(HeadFacts("lm_head", None),),
    dropout_keys=("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    feedforward_key="n_inner",
)
_LLAMA = Family(
    name="llama",
    model_types=("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma3_text"),
    kind="decoder",
    positions="rotary",
    embedding=("embed_tokens",),
    inputs=(),
    layers="layers",
    layer=LayerFacts(
        map_source="self_attn",
        attention=("self_attn",),
        feedforward=("mlp",),
        norms=(
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ),
    ),
    final_norm="norm",
    heads=(HeadFacts("lm_head", None),),
    dropout_keys=("attention_dropout",),
    per_layer_keys=("layer_types",),
)
_GEMMA2 = replace(_LLAMA, name="gemma2", model_types=("gemma2",), sdpa=False)
_T5 = Family(
    name="t5",
    model_types=("t5", "mt5"),
    kind="encoder-decoder",
    positions="relative",
    embedding=("shared", "encoder.embed_tokens", "decoder.embed_tokens"),
    inputs=(),
    layers="encoder.block",
    layer=LayerFacts(
        map_source="layer.0.SelfAttention",
        attention=("layer.0.SelfAttention",),
        feedforward=("layer.1.DenseReluDense",),
        norms=("layer.0.layer_norm", "layer.1.layer_norm"),
    ),
    final_norm="encoder.final_layer_norm",
    decoder_layers="decoder.block",
    decoder_layer=LayerFacts(
        map_source="layer.0.SelfAttention",
        attention=("layer.0.SelfAttention", "layer.1.EncDecAttention"),
        feedforward=("layer.2.DenseReluDense",),
        norms=("layer.0.layer_norm", "layer.1.layer_norm", "layer.2.layer_norm"),
    ),
    decoder_norm="decoder.final_layer_norm",
    heads=(HeadFacts("lm_head", None),),
    dropout_keys=("dropout_rate",),
    first_only=("layer.0.SelfAttention.relative_attention_bias",),
    feedforward_key="d_ff",
    length_key=None,
)

FAMILIES: tuple[Family, ...] = (
    _BERT,
    _ROBERTA,
    _DEBERTA,
    _MODERNBERT,
    _DISTILBERT,
    _GPT2,
    _LLAMA,
    _GEMMA2,
    _T5,
)
_BY_TYPE = {model_type: family for family in FAMILIES for model_type in family.model_types}


def family_of(model_type: str) -> Family:
    """The facts for a `config.model_type`, such as `xlm-roberta`.

    Raises:
        ModelError: the table has no such architecture.
    """
    if model_type not in _BY_TYPE:
        raise ModelError(
            f"an architecture isogloss does not know: model_type {model_type!r}",
            wanted=f"one of: {', '.join(sorted(_BY_TYPE))}",
            fix=f"{did_you_mean(model_type, _BY_TYPE)} To add one, see isogloss/models/families.py.",
        )
    return _BY_TYPE[model_type]
