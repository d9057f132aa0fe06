"""A hook that decides on the shares of languages while the model is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from isogloss.core.processes import from_main
from isogloss.data.adaptive import floored, moved, within_budget
from isogloss.data.mixture import Mixture
from isogloss.data.schedule import Adaptive
from isogloss.data.timeline import fixed_shares
from isogloss.models.modes import evaluating
from isogloss.training.feed import Micro
from isogloss.training.hooks import Hook, Moment

Measure = Callable[[nn.Module], Mapping[str, float]]
"""From the model, in evaluation mode, to a number per language; the same for the same weights."""


class AdaptiveShares(Hook):
    """Measures every so many steps, and moves the shares of what is drawn from then on.

    What is decided after step s holds from step s + 2 on: the first batch of step s + 1 is being made by
    then. So the draws before are never touched, and a run that goes on from a checkpoint, with the decisions
    in it, draws what the one that was killed would have drawn.

    Logs "signal" and "share_in_force" per language.
    """

    name = "adaptive"

    def __init__(self, mixture: Mixture, measure: Measure, schedule: Adaptive, *, draws: int) -> None:
        """Args:
        mixture: that of the batches; its shares are changed.
        measure: losses in nats per token for "progress", agreements for "agreement".
        schedule: when, how far, and within which budget.
        draws: of an optimiser step, over all processes.
        """
        self._mixture, self._measure, self._schedule, self._draws = mixture, measure, schedule, draws
        self._weights = np.ones(len(mixture.names))
        self._measured: dict[str, float] | None = None
        self._decisions: list[tuple[int, dict[str, float]]] = []
        self._spent, self._counted = np.zeros(len(mixture.names), dtype=np.int64), 0

    def start(self, moment: Moment) -> None:
        """Measure what learning begins with."""
        if self._measured is None:
            self._measured = self._now(moment)

    def after_step(self, moment: Moment, micros: Sequence[Micro]) -> None:
        """Decide, if it is time to."""
        first = (moment.step + 1) * self._draws
        if moment.step % self._schedule.every or first >= moment.total * self._draws:
            return
        assert self._measured is not None
        before, now = self._measured, self._now(moment)
        self._measured = now
        progress = self._schedule.signal == "progress"
        signal = {name: before[name] - now[name] if progress else now[name] for name in now}
        values = np.array([signal[name] for name in self._mixture.names])
        self._weights = moved(self._weights, values, rate=self._schedule.rate)
        shares = self._shares(first, total=moment.total * self._draws)
        self._mixture.change(first, shares)
        self._decisions.append((first, shares))
        for name in self._mixture.names:
            moment.log("signal", signal[name], language=name)
            moment.log("share_in_force", shares[name], language=name)

    def state_dict(self) -> dict[str, Any]:
        """Everything decided so far, and what the next decision needs."""
        return {
            "measured": self._measured,
            "weights": self._weights.tolist(),
            "decisions": self._decisions,
            "spent": self._spent.tolist(),
            "counted": self._counted,
        }

    def load_state_dict(self, state: Mapping[str, Any], *, main: bool) -> None:
        """Decide again what was decided."""
        if not state:
            return
        self._measured = state["measured"]
        self._weights = np.array(state["weights"])
        self._spent, self._counted = np.array(state["spent"], dtype=np.int64), state["counted"]
        self._decisions = [(first, dict(shares)) for first, shares in state["decisions"]]
        for first, shares in self._decisions:
            self._mixture.change(first, shares)

    def _now(self, moment: Moment) -> dict[str, float]:
        """What the main process measures, on all of them."""
        if not moment.run.writes:
            return from_main({})
        with evaluating(moment.model), torch.random.fork_rng(devices=[]):
            return from_main(dict(self._measure(moment.model)))

    def _shares(self, first: int, *, total: int) -> dict[str, float]:
        names, schedule = self._mixture.names, self._schedule
        budget, draws = schedule.budget, min(schedule.every * self._draws, total - first)
        if budget is None:
            base = np.array(list(self._mixture.shares.values()))
            wished = floored(base * self._weights, floor=schedule.floor)
        else:
            self._spent += self._mixture.drawn(self._counted, first)
            self._counted = first
            promised = fixed_shares({name: budget[name] for name in names})
            left = np.maximum(np.array(list(promised.values())) * total - self._spent, 0.0)
            wished = floored(left * self._weights, floor=schedule.floor)
            wished = within_budget(wished, left=left, draws=draws)
        return dict(zip(names, wished.tolist(), strict=True))
