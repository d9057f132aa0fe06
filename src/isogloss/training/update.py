"""One optimiser step from several micro-batches, on one process or many.

The loss of a step is the mean over all its targets, however these are spread over micro-batches and
processes. A micro-batch returns the mean over its own n_i targets and n_i itself as "weight"; we add up the
gradients of n_i * loss_i and divide by the sum of n_i at the end. (transformers' Trainer reaches the same by
counting labels before the forward pass, its `num_items_in_batch`; here the step function alone knows what its
targets are, and a forward pass must not wait for the others.) A mean of means would give a token in a
short micro-batch more say than one in a long one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TypeAlias

import torch
from accelerate import Accelerator
from accelerate.utils import reduce
from jaxtyping import Float
from torch import Tensor, nn

from isogloss.core.seeds import derive
from isogloss.training.feed import Batch, Micro
from isogloss.training.figures import StepFigures
from isogloss.training.optimiser import set_rate
from isogloss.training.plan import Precision
from isogloss.training.precision import autocast

Losses: TypeAlias = Mapping[str, Tensor]
"""Scalars by name: "loss" is what is minimised, "weight" the number of targets it is the mean of (1 where
absent; "loss" is then averaged over micro-batches), anything else is logged, averaged like the loss."""

Step: TypeAlias = Callable[[nn.Module, Batch], Losses]
"""From the model and a batch on its device to the losses. It must call `model(...)`, not parts of it: what it
gets may be wrapped for distributed training or compiled."""


class Updater:
    """Holds what every optimiser step needs; call it once per step."""

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        step: Step,
        *,
        accelerator: Accelerator,
        clip: float | None,
        precision: Precision,
        seed: int,
        phase: str,
    ) -> None:
        self._model, self._optimiser, self._step = model, optimiser, step
        self._accelerator, self._clip, self._precision = accelerator, clip, precision
        self._seed, self._phase = seed, phase
        self._parameters = list(model.parameters())

    def __call__(
        self,
        number: int,
        micros: Sequence[Micro],
        *,
        rate: float,
        check: Callable[[StepFigures], None],
        measure_norm: bool,
    ) -> None:
        """Do one optimiser step.

        Args:
            number: of this step, counting from 1.
            micros: this process's micro-batches.
            rate: the learning rate.
            check: gets the figures before the weights change; what it raises stops the step.
            measure_norm: add "gradient_norm" to the figures even where nothing is clipped.
        """
        for parameter in self._parameters:
            parameter.grad = None
        alone = len(micros) == 1 and self._accelerator.num_processes == 1
        if alone:
            values: Losses = {k: v for k, v in self._backward(micros[0], whole=True).items() if k != "weight"}
            tokens: int | Tensor = micros[0].tokens
        else:
            values, tokens = self._accumulate(micros)
        norm = self._norm(measure_norm)
        check(StepFigures(number, {**values, **norm}, tokens, micros))
        set_rate(self._optimiser, rate)
        self._optimiser.step()

    def _accumulate(self, micros: Sequence[Micro]) -> tuple[Losses, int | Tensor]:
        """Gradients and losses as means over all targets of all micro-batches and processes."""
        losses = []
        for micro in micros:
            last = micro is micros[-1]
            with nullcontext() if last else self._accelerator.no_sync(self._model):
                losses.append(self._backward(micro, whole=False))
        names = [name for name in losses[0] if name != "weight"]
        weights = torch.stack([each["weight"] for each in losses])
        table = torch.stack([torch.stack([each[name].float() for name in names]) for each in losses])
        sums, weight, tokens = self._over_processes(
            weights @ table, weights.sum(), sum(micro.tokens for micro in micros)
        )
        # A step without a single target has zero gradients; dividing by zero would make them NaN.
        divisor = torch.where(weight > 0, weight, torch.ones_like(weight))
        # Distributed wrappers have averaged the gradients over processes; we want their sum.
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        torch._foreach_mul_(gradients, self._accelerator.num_processes / divisor)
        return dict(zip(names, (sums / divisor).unbind(), strict=True)), tokens

    def _backward(self, micro: Micro, *, whole: bool) -> Losses:
        """Forward and backward pass of one micro-batch; returns detached losses, "weight" as a float.

        Dropout is seeded by the micro-batch's own number, so it is the same for any number of processes, and
        resuming needs no generator state.
        """
        device, batch = self._accelerator.device, micro.batch
        _seed_dropout(derive(self._seed, self._phase, "dropout", micro.number), device)
        if device.type != "cpu":
            batch = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
        with autocast(self._precision, device):
            losses = self._step(self._model, batch)
        loss = losses["loss"]
        weight = losses.get("weight")
        weight = loss.new_ones((), dtype=torch.float32) if weight is None else weight.detach().float()
        self._accelerator.backward(loss if whole else loss * weight)
        return {name: value.detach() for name, value in losses.items()} | {"weight": weight}

    def _over_processes(
        self, sums: Float[Tensor, " names"], weight: Float[Tensor, ""], tokens: int
    ) -> tuple[Float[Tensor, " names"], Float[Tensor, ""], int | Tensor]:
        if self._accelerator.num_processes == 1:
            return sums, weight, tokens
        packed = torch.cat([sums, weight[None], sums.new_tensor([tokens])]).double()
        packed = reduce(packed, "sum")
        return packed[:-2].float(), packed[-2].float(), packed[-1]

    def _norm(self, measure: bool) -> dict[str, Float[Tensor, ""]]:
        """The gradient's norm before clipping, where it is clipped or asked for."""
        if self._clip is not None:
            return {"gradient_norm": self._accelerator.clip_grad_norm_(self._parameters, self._clip)}
        if measure:
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            return {"gradient_norm": torch.nn.utils.get_total_norm(gradients)}
        return {}


def _seed_dropout(seed: int, device: torch.device) -> None:
    """Seed the generator that dropout draws from, and no other.

    `torch.manual_seed` seeds those of every kind of device, which takes half a millisecond.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    elif device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.manual_seed(seed)
