"""A model of which only chosen entries are trained: the second phase of LT-SFT as a parameterisation.

The chosen entries of a tensor become a parameter of their own, a vector as long as they are many; the rest of
the tensor is frozen. Whatever trains the result (gradients, clipping, momentum, weight decay, accumulation,
distribution, checkpoints) sees vectors of k entries in all and cannot reach the others, so its memory falls
with the density, and none of it has to know that anything is sparse.

In the forward pass the entries are written into the tensor in place, and the tensor is used as it is: nothing
of its size is copied. In the backward pass its dense gradient exists for the moment in which the entries'
gradient is read from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.utils import parametrize

from isogloss.core.errors import RecipeError


class Entries(nn.Module):
    """Chosen entries of one tensor: as a parametrization, what the tensor is as a function of them.

    Attributes:
        values: the entries.
        positions: where in the tensor they lie, flat, rising.
        start: what they were in theta_0; not in checkpoints, being a function of theta_0 and the positions.
    """

    positions: Tensor
    start: Tensor

    def __init__(self, tensor: Tensor, positions: Integer[Tensor, " entries"]) -> None:
        super().__init__()
        positions = positions.to(tensor.device)
        start = tensor.detach().view(-1).index_select(0, positions)
        self.values = nn.Parameter(start.clone())
        self.register_buffer("positions", positions)
        self.register_buffer("start", start, persistent=False)

    def forward(self, tensor: Tensor) -> Tensor:
        """The tensor as it is, with the gradient of the entries where there are gradients."""
        if not torch.is_grad_enabled():
            return tensor
        placed: Tensor = _Placed.apply(self.values, tensor, self.positions)
        return placed

    def moved(self) -> Float[Tensor, " entries"]:
        """How far each entry is from its start, in float32."""
        return self.values.detach().float() - self.start.float()


class _Placed(torch.autograd.Function):
    """The tensor that the entries were placed in, as a function of them.

    One is made wherever a module reads the tensor, and not all before the forward pass: autograd goes back in
    the order of making, and would hold every dense gradient until the last of them was there.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, tensor: Tensor, positions: Tensor) -> Tensor:
        ctx.save_for_backward(positions)
        return tensor.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (positions,) = ctx.saved_tensors
        return gradients[0].reshape(-1).index_select(0, positions), None, None


class SparselyTuned(nn.Module):
    """A model, some entries of its tensors as parameters, and some tensors trained whole.

    Calling it calls the model. The model's own tensors hold the entries' values once `place` was called.

    Attributes:
        entries: by the tensor's name with "/" for ".".
        model: the model, frozen but for the tensors trained whole. Modules of which entries are trained are
            parametrized, which renames their tensors; `release` gives the model back as it was.
    """

    def __init__(
        self,
        model: nn.Module,
        entries: Mapping[str, Integer[Tensor, " entries"]],
        *,
        dense: Collection[str] = (),
    ) -> None:
        """Freeze the model and take the entries out of it; `model` is changed in place.

        Args:
            model: on its start values theta_0.
            entries: flat positions in its parameters, by name; rising, none twice. Names without any are
                frozen whole.
            dense: names of parameters to train whole.

        Raises:
            RecipeError: there is nothing to train.
        """
        super().__init__()
        chosen = {name: positions for name, positions in entries.items() if len(positions)}
        if not chosen and not dense:
            raise RecipeError("no entry of the model is to be trained", fix="raise the density")
        parameters = dict(model.named_parameters())
        for name, parameter in parameters.items():
            parameter.requires_grad_(name in dense)
        self._tensors = {name: parameters[name] for name in chosen}
        self._tensor_of = {parameters[name]: parameters[name] for name in dense}
        self.entries = nn.ModuleDict()  # before the model, so that they go by these names everywhere
        for name, positions in chosen.items():
            self._take(model, name, positions)
        self.model = model
        # Positions never change; without this, every forward pass would send them to the other processes.
        self._ddp_params_and_buffers_to_ignore = [name for name, _ in self.entries.named_buffers("entries")]

    def _take(self, model: nn.Module, name: str, positions: Integer[Tensor, " entries"]) -> None:
        tensor = self._tensors[name]
        tensor.data = tensor.data.contiguous()
        taken = self.entries[_key(name)] = Entries(tensor, positions)
        self._tensor_of[taken.values] = tensor
        for module, attribute in list(_holders(model, tensor)):
            parametrize.register_parametrization(module, attribute, taken, unsafe=True)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the model gives with the entries as they stand."""
        self.place()
        return self.model(*inputs, **named)

    @torch.no_grad()
    def place(self) -> None:
        """Write the entries into the model's tensors.

        Through `.data`: autograd would take the writing for a change of what an earlier forward pass saved,
        though between two optimiser steps it writes what is there already.
        """
        for name, entries in self.by_name().items():
            flat = self._tensors[name].data.view(-1)
            flat.index_copy_(0, entries.positions.long(), entries.values.detach())

    def by_name(self) -> dict[str, Entries]:
        """The entries by the names of the model's tensors."""
        found = ((name, self.entries[_key(name)]) for name in self._tensors)
        return {name: entries for name, entries in found if isinstance(entries, Entries)}

    def tensors(self) -> dict[str, nn.Parameter]:
        """For each trained parameter of this module: the model's tensor that it, or its entries, are of."""
        return {name: self._tensor_of[p] for name, p in self.named_parameters() if p.requires_grad}

    def release(self) -> nn.Module:
        """The model as it was made, with the entries' values, all of it trainable; `self` is done with."""
        self.place()
        for module in list(self.model.modules()):
            for attribute in _parametrized_by_us(module):
                parametrize.remove_parametrizations(module, attribute, leave_parametrized=False)
        return self.model.requires_grad_(True)


def _key(name: str) -> str:
    return name.replace(".", "/")


def _holders(model: nn.Module, tensor: Tensor) -> Iterator[tuple[nn.Module, str]]:
    """Every module that has the tensor as a parameter (several where it is tied), and its name there."""
    for module in model.modules():
        for attribute, parameter in module._parameters.items():
            if parameter is tensor:
                yield module, attribute


def _parametrized_by_us(module: nn.Module) -> list[str]:
    if not parametrize.is_parametrized(module):
        return []
    lists: Any = module.parametrizations
    return [attribute for attribute, each in lists.items() if isinstance(each[0], Entries)]


def distance(pairs: Collection[tuple[Tensor, Tensor]]) -> Float[Tensor, ""]:
    """The sum of |now - start| over pairs of tensors: what L1 regularisation towards the start weighs.

    Nothing of the tensors' size is kept for the backward pass but the tensors themselves.

    Args:
        pairs: trained tensor and start, one shape; the start may be on another device.
    """
    assert pairs, "nothing to measure"
    return torch.stack([_Distance.apply(now, start) for now, start in pairs]).sum()


class _Distance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, now: Tensor, start: Tensor) -> Tensor:
        ctx.save_for_backward(now, start)
        return (now - start.to(now.device)).abs_().sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        now, start = ctx.saved_tensors
        return (now - start.to(now.device)).sign_().mul_(gradients[0]), None
