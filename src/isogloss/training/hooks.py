"""What may join in at named moments of training, and the ledger of tokens, which does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import reduce
from jaxtyping import Integer
from torch import Tensor, nn

from isogloss.core.run import Run
from isogloss.training.feed import Batch, Micro


@dataclass(frozen=True)
class Moment:
    """Where training stands when a hook is called, which happens on every process.

    Attributes:
        model: as the caller of `train` passed it, on its device.
        step: optimiser steps done.
        total: optimiser steps planned.
    """

    model: nn.Module
    run: Run
    phase: str
    step: int
    total: int

    def log(self, metric: str, value: float, **more: Any) -> None:
        """`Run.log` for this phase and step."""
        self.run.log(metric, value, phase=self.phase, step=self.step, **more)


@dataclass(frozen=True)
class Refusal:
    """What a hook has against the weights that were just evaluated: they are not kept.

    Attributes:
        reason: in words.
        ends: whether the training ends with it.
    """

    reason: str
    ends: bool = True


class Hook:
    """Does nothing at every moment; a hook overrides those it needs.

    A hook that is called in the same steps with the same batches must do the same: after a kill, the steps
    since the last checkpoint are done again.

    Attributes:
        name: under which its state lies in a checkpoint; one hook of a name to a training.
    """

    name = "hook"

    def start(self, moment: Moment) -> None:
        """Before the first step, or the first after resuming; any state is loaded by then."""

    def after_step(self, moment: Moment, micros: Sequence[Micro]) -> None:
        """After each optimiser step; gradients are still there. `micros` are this process's."""

    def after_evaluation(self, moment: Moment, scores: Mapping[str, float]) -> Refusal | None:
        """After each evaluation, with its number per language.

        Returns:
            Why these weights must not be kept; None to go on. Every process must return the same.
        """
        return None

    def end(self, moment: Moment) -> None:
        """After the last step, before its checkpoint and before the best weights are put back."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must keep, as JSON; called on every process, kept from the main one."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any], *, main: bool) -> None:
        """Take back what `state_dict` gave; called on every process with the main one's."""


class Ledger(Hook):
    """Counts the tokens each language really got, and logs its share beside the one asked for.

    Reads "language" of each batch (numbers into `languages`, one per sequence or one per token) and
    "attention_mask". Logs "tokens", "share", "requested_share" and "epochs" per language.
    """

    name = "ledger"

    def __init__(
        self,
        languages: Sequence[str],
        *,
        requested: Mapping[str, float] | Callable[[int], Mapping[str, float]] | None = None,
        sizes: Mapping[str, int] | None = None,
        part: Callable[[Batch], Batch] = dict,
        every: int = 100,
        stages: Collection[int] = (),
    ) -> None:
        """Args:
        languages: internal tags, in the order of the numbers in a batch.
        requested: the share of each language that the mixture aims at, or from steps done to what it aimed at
            so far; None to log none.
        sizes: tokens that one pass over each language has in batches; None to log no epochs.
        part: of a batch is what is counted, such as `data.beside.part_of`; all of it by itself.
        every: steps between lines; there is one at the end besides.
        stages: the last step of each stage of training, after which "stage_tokens" is logged: what each
            language got in that stage.
        """
        self.languages, self.requested, self.sizes = tuple(languages), requested, sizes
        self._stages, self._before_stage = sorted(stages), dict.fromkeys(self.languages, 0)
        self.every = every
        self._part = part
        self._counts = torch.zeros(len(self.languages), dtype=torch.int64)
        self._logged_at = -1

    def after_step(self, moment: Moment, micros: Sequence[Micro]) -> None:
        """Count this process's micro-batches, and log every so many steps."""
        for micro in micros:
            self._counts += tokens_per_language(self._part(micro.batch), len(self.languages))
        if moment.step % self.every == 0:
            self._log(moment)
        if moment.step in self._stages:
            self._log_stage(moment)

    def end(self, moment: Moment) -> None:
        """Log once more, unless the last step did."""
        if self._logged_at != moment.step:
            self._log(moment)

    def tokens(self) -> dict[str, int]:
        """Tokens so far per language, over all processes; every process must call."""
        return dict(zip(self.languages, _over_processes(self._counts).tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Tokens so far per language, over all processes."""
        return {"tokens": self.tokens(), "before_stage": self._before_stage}

    def load_state_dict(self, state: Mapping[str, Any], *, main: bool) -> None:
        """Go on from saved counts; what was not counted then begins at 0."""
        # The saved counts are of all processes together: only one may go on from them.
        saved: Mapping[str, int] = state.get("tokens", {}) if main else {}
        counts = [saved.get(name, 0) for name in self.languages]
        self._counts = torch.tensor(counts, dtype=torch.int64)
        self._before_stage = dict(state.get("before_stage", self._before_stage))

    def _log_stage(self, moment: Moment) -> None:
        tokens, stage = self.tokens(), self._stages.index(moment.step) + 1
        for name, count in tokens.items():
            moment.log("stage_tokens", float(count - self._before_stage[name]), language=name, stage=stage)
        self._before_stage = tokens

    def _log(self, moment: Moment) -> None:
        self._logged_at = moment.step
        tokens = self.tokens()
        total = max(1, sum(tokens.values()))
        requested = self.requested(moment.step) if callable(self.requested) else self.requested
        for name, count in tokens.items():
            moment.log("tokens", float(count), language=name)
            moment.log("share", count / total, language=name)
            if requested is not None:
                moment.log("requested_share", requested.get(name, 0.0), language=name)
            if self.sizes is not None:
                moment.log("epochs", count / max(1, self.sizes[name]), language=name)


def tokens_per_language(batch: Batch, languages: int) -> Integer[Tensor, " languages"]:
    """Tokens without padding of each language in a batch.

    Args:
        batch: "language" is `[batch]` or `[batch length]`, numbers from 0 to `languages` - 1;
            "attention_mask" is `[batch length]`, 0 at padding.
    """
    mask = batch["attention_mask"] != 0
    language = batch["language"]
    if language.ndim == 1:
        counts = torch.zeros(languages, dtype=torch.int64)
        return counts.index_add_(0, language.long(), mask.sum(-1))
    return torch.bincount(language[mask], minlength=languages)


def _over_processes(counts: Integer[Tensor, " languages"]) -> Integer[Tensor, " languages"]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return counts
    from accelerate import PartialState

    return reduce(counts.to(PartialState().device, copy=True), "sum").cpu()
