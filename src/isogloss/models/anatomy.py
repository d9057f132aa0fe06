"""Where things are in a model, for each architecture family: a table, and the table bound to a model.

transformers gives every architecture its own names. Everything that changes a model (dropping layers,
trimming the vocabulary, reading one layer's output) asks here instead of guessing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import nn

from isogloss.core.errors import ModelError, did_you_mean

Kind = Literal["encoder", "decoder", "encoder-decoder"]
PartName = Literal["embedding", "inputs", "attention", "feedforward", "norm", "shared", "final_norm", "head"]


@dataclass(frozen=True)
class LayerFacts:
    """Names inside one layer.

    Attributes:
        map_source: the module whose call returns the attention probabilities as its last output.
        attention: submodules of attention.
        feedforward: submodules of the feed-forward block.
        norms: normalisations; they win over the two above where one lies inside the other.
    """

    map_source: str
    attention: tuple[str, ...]
    feedforward: tuple[str, ...]
    norms: tuple[str, ...]


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
    kind: Kind
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
            fix=f"{did_you_mean(model_type, _BY_TYPE)} To add one, see isogloss/models/anatomy.py.",
        )
    return _BY_TYPE[model_type]


class Place(NamedTuple):
    """Where a parameter belongs.

    Attributes:
        part: the kind of part.
        layer: its layer from 0, None outside the layers.
        decoder: it lies in the decoder stack of an encoder-decoder.
    """

    part: PartName
    layer: int | None = None
    decoder: bool = False


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A family's facts bound to one model.

    Attributes:
        family: the facts.
        model: the whole model as given, with its head.
        base: the transformers model without a head; `model` itself where there is none.
        prefix: what parameter names of `base` start with inside `model`: "" or a path with its last dot.
        embedding: the token embedding.
        layers: the layers (the encoder's, in an encoder-decoder).
        decoder_layers: the decoder's layers; None unless this is an encoder-decoder with its decoder.
        final_norm: the norm after the last layer; None where each layer ends in its own.
        lm_head: the module that maps to the vocabulary; None without a language-model head, or when it uses
            the embedding table itself.
        lm_bias: one number per vocabulary row; None when there is none.
    """

    family: Family
    model: nn.Module
    base: Any
    prefix: str
    embedding: nn.Embedding
    layers: nn.ModuleList
    decoder_layers: nn.ModuleList | None
    final_norm: nn.Module | None
    lm_head: nn.Module | None
    lm_bias: torch.Tensor | None

    @property
    def config(self) -> Any:
        """The base model's configuration."""
        return self.base.config

    def stack(self, *, decoder: bool = False) -> tuple[str, nn.ModuleList, LayerFacts]:
        """One stack of layers: its path from `model`, the layers, and the names inside each.

        Raises:
            ModelError: the decoder of a model that has no second stack was asked for.
        """
        if not decoder:
            return self.prefix + self.family.layers, self.layers, self.family.layer
        if self.decoder_layers is None or self.family.decoder_layer is None:
            raise ModelError(
                f"the decoder layers of a {self.config.model_type} model were asked for",
                wanted="an encoder-decoder model with its decoder, such as mT5",
                fix="leave out the decoder option",
            )
        return f"{self.prefix}{self.family.decoder_layers}", self.decoder_layers, self.family.decoder_layer

    def map_source(self, layer: int, *, decoder: bool = False) -> nn.Module:
        """The module in a layer whose call returns attention probabilities as its last output."""
        _, layers, facts = self.stack(decoder=decoder)
        return layers[layer].get_submodule(facts.map_source)

    def place(self, name: str) -> Place:
        """Where a parameter of `model` belongs, by its name; whatever no rule claims is `head`.

        A tied output layer is `embedding` under every name: which of its names `named_parameters` gives
        depends on the order in which a class makes its parts.
        """
        if _parameter(self.model, name) is self.embedding.weight:
            return Place("embedding")
        if not name.startswith(self.prefix):
            return Place("head")
        inner = name.removeprefix(self.prefix)
        for decoder in (False, True):
            path = self.family.decoder_layers if decoder else self.family.layers
            if path is not None and inner.startswith(path + "."):
                return self._place_in_layer(inner.removeprefix(path + "."), decoder=decoder)
        return Place(_longest_match(inner, self._outer_parts()) or "head")

    def _place_in_layer(self, name: str, *, decoder: bool) -> Place:
        index, _, inner = name.partition(".")
        facts = self.family.decoder_layer if decoder else self.family.layer
        assert facts is not None
        parts = _table(attention=facts.attention, feedforward=facts.feedforward, norm=facts.norms)
        return Place(_longest_match(inner, parts) or "head", int(index), decoder)

    def _outer_parts(self) -> dict[str, PartName]:
        family = self.family
        norms = tuple(path for path in (family.final_norm, family.decoder_norm) if path)
        return _table(
            inputs=family.inputs, embedding=family.embedding, final_norm=norms, shared=family.shared
        )

    def vocabulary_tensors(self) -> frozenset[str]:
        """Names, in `model`, of every tensor with one row per vocabulary entry, tied names included."""
        rows = [self.embedding.weight, self.lm_bias]
        rows += [] if self.lm_head is None else list(self.lm_head.parameters(recurse=False))
        wanted = {id(tensor) for tensor in rows if tensor is not None}
        named = self.model.named_parameters(remove_duplicate=False)
        return frozenset(name for name, tensor in named if id(tensor) in wanted)


def _table(**paths: tuple[str, ...]) -> dict[str, PartName]:
    return {path: cast(PartName, part) for part, group in paths.items() for path in group}


def _longest_match(name: str, parts: dict[str, PartName]) -> PartName | None:
    hits = [path for path in parts if name == path or name.startswith(path + ".")]
    return parts[max(hits, key=len)] if hits else None


def anatomy(model: nn.Module) -> Anatomy:
    """Bind the table to a model: a transformers model, or a module that holds one.

    Raises:
        ModelError: there is no transformers model in it, or its architecture is not in the table.
    """
    prefix, base = _find_base(model)
    family = family_of(base.config.model_type)
    head = _find_head(model, family)
    # T5ForTokenClassification and its like hold the encoder alone.
    second = family.decoder_layers if _has(base, family.decoder_layers) else None
    return Anatomy(
        family=family,
        model=model,
        base=base,
        prefix=prefix,
        embedding=base.get_submodule(family.embedding[0]),
        layers=base.get_submodule(family.layers),
        decoder_layers=base.get_submodule(second) if second else None,
        final_norm=base.get_submodule(family.final_norm) if family.final_norm else None,
        lm_head=model.get_submodule(head.decoder) if head and head.decoder else None,
        lm_bias=_parameter(model, head.bias) if head and head.bias else None,
    )


def _find_base(model: nn.Module) -> tuple[str, Any]:
    from transformers import PreTrainedModel

    for name, module in model.named_modules():
        if isinstance(module, PreTrainedModel):
            base = module.base_model
            inner = next(path for path, candidate in module.named_modules() if candidate is base)
            path = ".".join(filter(None, (name, inner)))
            return (f"{path}." if path else ""), base
    raise ModelError(
        f"a {type(model).__name__} without a transformers model in it",
        wanted="a transformers model, or a module that holds one",
        fix="load it with isogloss.models.backbone.load_model",
    )


def _find_head(model: nn.Module, family: Family) -> HeadFacts | None:
    found = (head for head in family.heads if _has(model, head.decoder) or _has_parameter(model, head.bias))
    return next(found, None)


def _has(module: nn.Module, path: str | None) -> bool:
    try:
        return path is not None and module.get_submodule(path) is not None
    except AttributeError:
        return False


def _has_parameter(module: nn.Module, path: str | None) -> bool:
    return path is not None and _parameter(module, path) is not None


def _parameter(module: nn.Module, path: str) -> torch.Tensor | None:
    """A parameter by its path, or None when it is absent or switched off (`bias=False`)."""
    try:
        return module.get_parameter(path)
    except AttributeError:
        return None
