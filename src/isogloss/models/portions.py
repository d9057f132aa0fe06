"""A model's parameters as sparse tuning divides them, under names that outlive the model's class.

A delta learnt on a masked language model shall fit the same backbone under a task's head: names of the
backbone's tensors begin at the base model, whatever holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from isogloss.models.anatomy import Anatomy, anatomy


@dataclass(frozen=True, eq=False)
class Portions:
    """Every parameter of a model in one of three portions; tied ones once.

    Attributes:
        body: tensors of the base model, embeddings included, normalisations apart. The token embedding has
            the architecture's name for it (`embeddings.word_embeddings.weight`).
        norms: weights and biases of the base model's normalisations.
        heads: all else: heads, poolers. Under transformers' own names (`classifier.weight`); a head of ours
            under `head.`.
        parts: the part of the anatomy that each name of `body` belongs to.
        layers: its layer, `encoder 0` or `decoder 0`; the part again where it lies in none.
    """

    body: Mapping[str, nn.Parameter]
    norms: Mapping[str, nn.Parameter]
    heads: Mapping[str, nn.Parameter]
    parts: Mapping[str, str]
    layers: Mapping[str, str]

    @property
    def base(self) -> dict[str, nn.Parameter]:
        """All of the base model: what a delta's base fingerprint is of."""
        return {**self.body, **self.norms}

    @property
    def all(self) -> dict[str, nn.Parameter]:
        """Every parameter by its name here."""
        return {**self.body, **self.norms, **self.heads}


def portions(model: nn.Module) -> Portions:
    """Divide the parameters of a transformers model, or of a module that holds one.

    Raises:
        ModelError: there is no transformers model in it, or its architecture is not in the table.
    """
    parts = anatomy(model)
    normal = _normalising(model)
    found = Portions({}, {}, {}, {}, {})
    stock = _stock_prefix(parts)
    for own, parameter in model.named_parameters():
        place = parts.place(own)
        if place.part == "head":
            _put(found.heads, own.removeprefix(stock), parameter)
            continue
        name = own.removeprefix(parts.prefix)
        if parameter is parts.embedding.weight:
            name = f"{parts.family.embedding[0]}.weight"
        _put(found.norms if id(parameter) in normal else found.body, name, parameter)
        stack = "decoder" if place.decoder else "encoder"
        _put(found.parts, name, place.part)
        _put(found.layers, name, place.part if place.layer is None else f"{stack} {place.layer}")
    return found


def _put(mapping: Mapping[str, object], name: str, value: object) -> None:
    assert isinstance(mapping, dict)
    assert name not in mapping, f"two parameters are called {name}"
    mapping[name] = value


def _normalising(model: nn.Module) -> set[int]:
    """By class: families name their norms in a dozen ways, but each class of them says that it is one."""
    modules = (module for module in model.modules() if "Norm" in type(module).__name__)
    return {id(parameter) for module in modules for parameter in module.parameters(recurse=False)}


def _stock_prefix(parts: Anatomy) -> str:
    """What names of the transformers model that holds the base begin with: "" or a path with its last dot."""
    from transformers import PreTrainedModel

    first = next(name for name, module in parts.model.named_modules() if isinstance(module, PreTrainedModel))
    return f"{first}." if first else ""
