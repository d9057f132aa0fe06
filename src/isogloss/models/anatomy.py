"""Where things are in one model: a family's facts bound to its modules and parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import nn

from isogloss.core.errors import ModelError
from isogloss.models.families import Family, HeadFacts, LayerFacts, family_of

PartName = Literal["embedding", "inputs", "attention", "feedforward", "norm", "shared", "final_norm", "head"]


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
        """The attention module of a layer, which makes its attention map."""
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
