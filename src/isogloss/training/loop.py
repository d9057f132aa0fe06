"""The one training loop. It knows batches, a step function and hooks, and no method.

Everything that happens in step s is a function of the weights, the optimiser's state, and s: batches are
addressed by number, dropout is seeded by that number, the learning rate is a function of s. So a checkpoint
holds all there is, and a killed run goes on to the same weights, bit for bit on one CPU process.

Micro-batch a of step s (from 0) on process r of w is number (s * accumulate + a) * w + r: two processes do
what one does with twice `accumulate`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import nn

from isogloss.core.errors import CheckpointError
from isogloss.core.processes import from_main, wait_for_all
from isogloss.core.run import Run
from isogloss.models.modes import evaluating
from isogloss.training import checkpoints
from isogloss.training.feed import Batches, Feed, Micro
from isogloss.training.figures import Figures, StepFigures
from isogloss.training.hooks import Hook, Moment
from isogloss.training.optimiser import OptimiserBuilder, adamw
from isogloss.training.plan import TrainingPlan
from isogloss.training.precision import resolve
from isogloss.training.progress import progress
from isogloss.training.schedules import schedule
from isogloss.training.selection import is_better, score
from isogloss.training.update import Step, Updater

Evaluate = Callable[[nn.Module], Mapping[str, float]]
"""From the model, in evaluation mode and without gradients, to a number per language."""


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        step: optimiser steps done.
        tokens: without padding, over all processes; 0 when batches say nothing of tokens.
        stopped_early: whether `patience` ended it.
        best_step: the step whose weights the model now has; None where nothing was selected: no evaluation,
            or `select` is last.
        best_scores: its evaluation, a number per language; empty where nothing was selected.
        refused: why a hook refused the weights that were evaluated last; None where none did. The model then
            has the best weights from before, or, where `best_step` is None, still those refused.
        resumed_from: the step of the checkpoint that this process began from; None if from the start.
        seconds: of this process.
    """

    step: int
    tokens: int
    stopped_early: bool
    best_step: int | None
    best_scores: Mapping[str, float]
    refused: str | None
    resumed_from: int | None
    seconds: float


def train(
    model: nn.Module,
    batches: Batches,
    step: Step,
    *,
    plan: TrainingPlan,
    run: Run,
    phase: str,
    seed: int,
    evaluate: Evaluate | None = None,
    metric: str = "score",
    higher_is_better: bool = True,
    hooks: Sequence[Hook] = (),
    optimiser: OptimiserBuilder = adamw,
    milestones: Collection[int] = (),
    show_progress: bool = True,
) -> Outcome:
    """Train a model in place, or go on where an earlier process was killed.

    The model ends with the weights that `plan.select` asks for, in evaluation mode, on the device it was
    trained on. A finished phase called again loads its result and does nothing else.

    Args:
        batches: addressed by number; a `languages` attribute, if any, names the numbers in their "language".
        step: from the (possibly wrapped) model and a batch to losses; see `training.update`.
        run: gets the log (losses, learning_rate, gradient_norm, tokens_per_second as split train; evaluations
            as split dev, a line per language and one without for the mean) and the checkpoints.
        phase: names this training within the run.
        seed: of the run; dropout's is derived from it.
        evaluate: called on the main process alone; None to do without: then the last weights are kept.
        metric: what `evaluate` measures, as the log names it.
        higher_is_better: False if `evaluate` returns losses or perplexities.
        hooks: each of another name.
        optimiser: makes the optimiser from the model and the plan.
        milestones: steps after which there is a checkpoint that stays.
        show_progress: False to print nothing.

    Raises:
        UserError: the loss or the gradient became NaN or infinite.
        CheckpointError: the newest checkpoint is damaged, or of another model or number of processes.
        StorageError: the disk refused a checkpoint or a line of the log; earlier checkpoints are whole.
        RecipeError: `plan.select` is a language that is not evaluated.
    """
    with _accelerated(model) as accelerator:
        loop = _Loop(
            model,
            batches,
            step,
            plan=plan,
            run=run,
            phase=phase,
            seed=seed,
            evaluate=evaluate,
            metric=metric,
            higher_is_better=higher_is_better,
            hooks=hooks,
            optimiser=optimiser,
            milestones=milestones,
            accelerator=accelerator,
        )
        return loop.go(show_progress=show_progress)


@contextlib.contextmanager
def _accelerated(model: nn.Module) -> Iterator[Accelerator]:
    """An accelerator for one phase, after which the model and the generators are as anybody's."""
    # Precision is ours (see `precision.autocast`). Encoders often carry a pooler that no loss reaches, which
    # distributed training refuses unless told to look for unused parameters.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[unused])
    device = accelerator.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield accelerator
        finally:
            if accelerator.num_processes > 1:
                # Collects the distributed wrapper, whose threads must not outlive the process group.
                accelerator.free_memory()
            # accelerate's mark would keep the next phase from preparing the same model again.
            vars(model).pop("_is_accelerate_prepared", None)


@dataclass
class _Standing:
    """The loop's part of a checkpoint."""

    step: int = 0
    processes: int = 1
    tokens: int = 0
    finished: bool = False
    stopped_early: bool = False
    best_step: int | None = None
    best_score: float | None = None
    best_scores: dict[str, float] = field(default_factory=dict)
    since_best: int = 0
    refused: str | None = None
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class _Loop:
    """One training under way; its fields are what `train` was given."""

    model: nn.Module
    batches: Batches
    step: Step
    _: KW_ONLY
    plan: TrainingPlan
    run: Run
    phase: str
    seed: int
    evaluate: Evaluate | None
    metric: str
    higher_is_better: bool
    hooks: Sequence[Hook]
    optimiser: InitVar[OptimiserBuilder]
    milestones: Collection[int]
    accelerator: Accelerator

    def __post_init__(self, optimiser: OptimiserBuilder) -> None:
        assert len({hook.name for hook in self.hooks}) == len(self.hooks), "two hooks of one name"
        processes = self.accelerator.num_processes
        self._main = self.run.writes
        self._total = self.plan.total_steps(len(self.batches), processes=processes)
        self._rate = schedule(self.plan, self._total)
        self._standing = _Standing(processes=processes)
        self._figures = Figures(self.phase, languages=getattr(self.batches, "languages", ()))
        self._resumed_from: int | None = None
        self._busy = 0.0
        self._tokens_logged = 0
        self.model.train()
        prepared, wrapped = self.accelerator.prepare(self.model, optimiser(self.model, self.plan))
        self._optimiser: torch.optim.Optimizer = wrapped.optimizer
        # It shares the weights of the plain one, which evaluation and checkpoints go on using.
        stepped: nn.Module = torch.compile(prepared) if self.plan.compile else prepared  # type: ignore[assignment]
        self._update = Updater(
            stepped,
            self._optimiser,
            self.step,
            accelerator=self.accelerator,
            clip=self.plan.clip,
            precision=resolve(self.plan.precision, self.accelerator.device),
            seed=self.seed,
            phase=self.phase,
        )

    def _resume(self) -> None:
        """Take up the newest checkpoint, if there is one, and forget what was logged after it."""
        folder = self.run.checkpoints
        if self._main:
            checkpoints.sweep(folder)
        wait_for_all()
        saved = checkpoints.steps_saved(folder, self.phase)
        if saved:
            self._take_up(checkpoints.checkpoint_path(folder, self.phase, saved[-1]))
        if self._main:
            self._prune()
            self.run.rewind(self.phase, self._standing.step)
        wait_for_all()

    def _take_up(self, path: Path) -> None:
        state = checkpoints.load(path, self.model, self._optimiser)
        standing = _Standing(**state["loop"])
        if standing.processes != self._standing.processes:
            raise CheckpointError(
                f"the checkpoint is of {standing.processes} process(es), this is {self._standing.processes}",
                fix=f"launch with {standing.processes}, or choose another folder with --out",
                where=str(path),
            )
        self._standing, self._resumed_from = standing, standing.step
        self._figures.sums, self._figures.counts = standing.sums, standing.counts
        self._figures.tokens = self._tokens_logged = standing.tokens
        self._figures.last_checkpoint = str(path)
        for hook in self.hooks:
            hook.load_state_dict(state["hooks"].get(hook.name, {}), main=self._main)

    def go(self, *, show_progress: bool) -> Outcome:
        """Train from the newest checkpoint to where steps or patience end; then put the best weights back."""
        begun = time.monotonic()
        self._resume()
        standing = self._standing
        if not standing.finished:
            self._each_hook("start")
            show = show_progress and self._main
            bar = progress(
                self.phase, start=standing.step, total=self._total, tokens=standing.tokens, show=show
            )
            try:
                with Feed(self.batches, self._numbers()) as feed:
                    while not standing.finished:
                        self._one_step(list(islice(feed, self.plan.accumulate)))
                        bar.update(standing.step, loss=self._figures.loss, tokens=self._figures.tokens)
            finally:
                bar.close()
        self._restore_best()
        return self._outcome(time.monotonic() - begun)

    def _one_step(self, micros: Sequence[Micro]) -> None:
        """All that belongs to a step; what it logs is logged before its checkpoint is sealed."""
        standing, plan = self._standing, self.plan
        number = standing.step + 1
        last = number == self._total
        logs = number % plan.log_every == 0 or last
        begun = time.monotonic()
        self._update(
            number,
            micros,
            rate=plan.learning_rate * self._rate(number - 1),
            check=self._note,
            measure_norm=logs,
        )
        standing.step = number
        self._each_hook("after_step", micros)
        if logs:
            self._figures.settle()
        self._busy += time.monotonic() - begun
        if logs:
            self._log()
        improved = False
        if self.evaluate is not None and (last or _divides(plan.evaluate_every, number)):
            improved = self._evaluation(self.evaluate)
        standing.finished = last or standing.stopped_early
        if standing.finished:
            self._each_hook("end")
        planned = number in self.milestones or _divides(plan.checkpoint_every, number)
        if standing.finished or improved or planned:
            self._save()

    def _note(self, figures: StepFigures) -> None:
        self._figures.add(figures)
        if self.accelerator.device.type == "cpu":
            self._figures.settle()

    def _log(self) -> None:
        values = self._figures.means()
        values["learning_rate"] = self.plan.learning_rate * self._rate(self._standing.step - 1)
        tokens = self._figures.tokens - self._tokens_logged
        if tokens and self._busy:
            values["tokens_per_second"] = tokens / self._busy
        self._tokens_logged, self._busy = self._figures.tokens, 0.0
        for metric, value in values.items():
            self._moment().log(metric, value)

    def _evaluation(self, evaluate: Evaluate) -> bool:
        """Evaluate and log; whether these are the best weights so far."""
        self._figures.settle()
        scores = self._scores(evaluate)
        moment = self._moment()
        for language, value in sorted(scores.items()):
            moment.log(self.metric, value, split="dev", language=language)
        if scores:
            moment.log(self.metric, math.fsum(scores.values()) / len(scores), split="dev")
        refusals = [found for found in self._each_hook("after_evaluation", scores) if found]
        self._standing.refused = "; ".join(refusal.reason for refusal in refusals) or None
        if refusals:
            self._standing.stopped_early = any(refusal.ends for refusal in refusals)
            return False
        return self.plan.select != "last" and self._judge(scores)

    def _scores(self, evaluate: Evaluate) -> dict[str, float]:
        """The main process evaluates and tells the others, so that all decide alike."""
        if not self._main:
            return from_main({})
        with evaluating(self.model), torch.no_grad():
            return from_main(dict(evaluate(self.model)))

    def _judge(self, scores: Mapping[str, float]) -> bool:
        """Compare with the best so far, and count towards patience."""
        standing = self._standing
        new = score(scores, select=self.plan.select, higher_is_better=self.higher_is_better)
        if is_better(new, standing.best_score):
            standing.best_step, standing.best_score, standing.best_scores = standing.step, new, dict(scores)
            standing.since_best = 0
            return True
        standing.since_best += 1
        standing.stopped_early = self.plan.patience is not None and standing.since_best >= self.plan.patience
        return False

    def _save(self) -> None:
        """A new checkpoint first, and only then fewer old ones."""
        self._figures.settle()
        standing, folder = self._standing, self.run.checkpoints
        standing.tokens = self._figures.tokens
        standing.sums, standing.counts = dict(self._figures.sums), dict(self._figures.counts)
        path = checkpoints.checkpoint_path(folder, self.phase, standing.step)
        state: dict[str, Any] = {
            "loop": dataclasses.asdict(standing),
            "hooks": {hook.name: hook.state_dict() for hook in self.hooks},
        }
        checkpoints.save(path, self.model, self._optimiser, state, writes=self._main)
        if self._main:
            self._prune()
        self._figures.last_checkpoint = str(path)
        wait_for_all()

    def _prune(self) -> None:
        keep, best = self.plan.keep_checkpoints, self._standing.best_step
        checkpoints.prune(self.run.checkpoints, self.phase, keep=keep, best=best, milestones=self.milestones)

    def _restore_best(self) -> None:
        best, folder = self._standing.best_step, self.run.checkpoints
        if best is not None and best != self._standing.step:
            checkpoints.load_weights(checkpoints.checkpoint_path(folder, self.phase, best), self.model)
        self.model.eval()

    def _outcome(self, seconds: float) -> Outcome:
        standing = self._standing
        return Outcome(
            step=standing.step,
            tokens=self._figures.tokens,
            stopped_early=standing.stopped_early,
            best_step=standing.best_step,
            best_scores=standing.best_scores,
            refused=standing.refused,
            resumed_from=self._resumed_from,
            seconds=seconds,
        )

    def _numbers(self) -> Iterator[int]:
        """The micro-batches of this process, from the next step on."""
        each, processes = self.plan.accumulate, self.accelerator.num_processes
        for index in range(self._standing.step * each, self._total * each):
            yield index * processes + self.accelerator.process_index

    def _moment(self) -> Moment:
        return Moment(self.model, self.run, self.phase, step=self._standing.step, total=self._total)

    def _each_hook(self, name: str, *details: Any) -> list[Any]:
        return [getattr(hook, name)(self._moment(), *details) for hook in self.hooks]


def _divides(every: int | None, step: int) -> bool:
    return every is not None and step % every == 0
