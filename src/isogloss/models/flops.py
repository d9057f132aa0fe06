"""Floating-point operations of one forward pass, by arithmetic on shapes; weights may be on the meta device.

A multiplication and an addition are two operations. Matrix products and convolutions count, as in torch's
FlopCounterMode; what is elementwise (norms, activations, softmax, looking rows up) does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from isogloss.models.anatomy import Anatomy, PartName, anatomy
from isogloss.models.biaffine import BiaffineParser
from isogloss.models.heads import MeanClassifier

_COLUMNS: dict[PartName, str] = {
    "embedding": "embedding",
    "inputs": "embedding",
    "attention": "attention",
    "shared": "attention",
    "norm": "attention",
    "feedforward": "feedforward",
    "final_norm": "head",
    "head": "head",
}


def flops(model: nn.Module, *, length: int, batch: int = 1, decoder: bool = True) -> dict[str, int]:
    """Operations for a batch of rows without padding.

    Args:
        model: a transformers model, or a module that holds one, such as a `TaskModel`.
        length: tokens of each row. A parser scores every token as a word.
        batch: rows.
        decoder: of an encoder-decoder, count the decoder too, reading as many tokens; False: the encoder.

    Returns:
        Of `embedding`, `attention`, `feedforward`, `head` and in `total`. The head is all after the last
        layer, a pooler too.

    Raises:
        ModelError: the architecture is not in our table.
    """
    parts = anatomy(model)
    counted = {"embedding": 0, "attention": 0, "feedforward": 0, "head": 0}
    for name, module in _products(model):
        place = parts.place(f"{name}.weight") if module is not parts.lm_head else None
        if place and place.decoder and not decoder:
            continue
        column = _COLUMNS[place.part] if place else "head"
        rows = batch if column == "head" and _is_pooled(model, name) else batch * length
        counted[column] += 2 * module.weight.numel() * rows
    counted["attention"] += _attention(parts, length, batch, decoder=decoder)
    counted["head"] += _head(parts, length, batch)
    return counted | {"total": sum(counted.values())}


def _products(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Modules that multiply every row by their weight once; our parser's are counted in one formula."""
    from transformers.pytorch_utils import Conv1D

    parsers = [name for name, module in model.named_modules() if isinstance(module, BiaffineParser)]
    for name, module in model.named_modules():
        in_parser = any(name.startswith(parser + ".") for parser in parsers)
        if isinstance(module, nn.Linear | nn.Conv1d | Conv1D) and not in_parser:
            yield name, module


def _is_pooled(model: nn.Module, name: str) -> bool:
    """Whether this part of a head reads one vector of each text rather than one of each token."""
    if "pooler" in name or isinstance(getattr(model, "head", None), MeanClassifier):
        return True
    whole = getattr(model, "model", model) if hasattr(model, "kind") else model
    classifies = type(whole).__name__.endswith("ForSequenceClassification")
    return classifies and anatomy(model).family.kind != "decoder"


def _attention(parts: Anatomy, length: int, batch: int, *, decoder: bool) -> int:
    """Queries by keys, and weights by values; in a decoder over an encoder, twice a layer."""
    width = _attention_width(parts.config)
    one = 4 * batch * length**2 * width
    layers = len(parts.layers)
    if decoder and parts.decoder_layers is not None:
        layers += 2 * len(parts.decoder_layers)
    return layers * one + len(parts.layers) * _relative(parts, length, batch)


def _attention_width(config: Any) -> int:
    heads = int(config.num_attention_heads)
    per_head = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    return heads * int(per_head or config.hidden_size // heads)


def _relative(parts: Anatomy, length: int, batch: int) -> int:
    """DeBERTa's content-to-position and position-to-content scores, per layer.

    Keys and queries of the positions are projected once, whatever the batch; with shared projections both
    always are.
    """
    config = parts.config
    if parts.family.name != "deberta-v2" or not config.relative_attention:
        return 0
    positions = 2 * (config.position_buckets if config.position_buckets > 0 else _farthest(config))
    width = _attention_width(config)
    kinds = len({"c2p", "p2c"} & set(config.pos_att_type))
    products = kinds * 2 * batch * length * positions * width
    # Without sharing, the projections are modules of their own, which `flops` took for every token.
    projected = 2 if config.share_att_key else kinds
    surplus = 0 if config.share_att_key else kinds * batch * length
    return products + 2 * width * int(config.hidden_size) * (projected * positions - surplus)


def _farthest(config: Any) -> int:
    bound = int(config.max_relative_positions)
    return bound if bound > 0 else int(config.max_position_embeddings)


def _head(parts: Anatomy, length: int, batch: int) -> int:
    """What heads multiply by besides modules: the embedding table itself, and our parser's products."""
    total = 0
    if parts.lm_head is None and parts.lm_bias is not None:
        total += 2 * batch * length * parts.embedding.weight.numel()
    for module in parts.model.modules():
        if isinstance(module, BiaffineParser):
            total += batch * _parser(module, length)
    return total


def _parser(head: BiaffineParser, words: int) -> int:
    """Dozat and Manning's equations 2 and 3 for one sentence; the root is one head more."""
    hidden, arc = head.root.numel(), head.arc.in_features
    relations, bordered, _ = head.relation.shape
    projections = hidden * (arc + bordered - 1) * (2 * words + 1)
    arcs = words * arc * arc + words * (words + 1) * arc
    labels = words * relations * bordered * bordered + words * (words + 1) * relations * bordered
    return 2 * (projections + arcs + labels)
