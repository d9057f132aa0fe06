"""How far training is: a bar in a terminal, a line now and then elsewhere, nothing when asked."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_QUIET_SECONDS = 2.0
_REDRAW_SECONDS = 0.25
_LINE_SECONDS = 30.0

Tick: TypeAlias = Callable[[], None]
"""One more step is done."""


@runtime_checkable
class Progressing(Protocol):
    """What the loop tells about each step."""

    def update(self, step: int, *, loss: float, tokens: int) -> None:
        """`step` steps are done, `tokens` were seen in all; `loss` is the newest, NaN if none is known."""
        ...

    def close(self) -> None:
        """Training ended, well or not."""
        ...


def progress(phase: str, *, start: int, total: int, tokens: int, show: bool) -> Progressing:
    """A display for a phase that stands at step `start` of `total`, having seen `tokens`.

    Nothing appears in the first two seconds, so short trainings stay silent.
    """
    console = Console(stderr=True)
    if not show:
        return _Silent()
    kind = _Bar if console.is_terminal else _Lines
    return kind(console, phase, start=start, total=total, tokens=tokens)


@contextlib.contextmanager
def ticking(phase: str, total: int) -> Iterator[Tick]:
    """A display for work other than training, with what to call after each of `total` steps."""
    shown, done = progress(phase, start=0, total=total, tokens=0, show=True), 0

    def tick() -> None:
        nonlocal done
        done += 1
        shown.update(done, loss=math.nan, tokens=0)

    try:
        yield tick
    finally:
        shown.close()


class _Silent:
    def update(self, step: int, *, loss: float, tokens: int) -> None:
        pass

    def close(self) -> None:
        pass


class _Pace:
    """Steps and tokens per second since this process began the phase."""

    def __init__(self, console: Console, phase: str, *, start: int, total: int, tokens: int) -> None:
        self._console, self._phase = console, phase
        self._start, self._total, self._tokens = start, total, tokens
        self._begun = time.monotonic()
        self._shown = self._begun + _QUIET_SECONDS

    def _due(self, seconds: float) -> bool:
        """Whether to show something now; at most once in so many seconds."""
        now = time.monotonic()
        if now < self._shown:
            return False
        self._shown = now + seconds
        return True

    def _facts(self, loss: float, tokens: int) -> list[str]:
        rate = (tokens - self._tokens) / (time.monotonic() - self._begun)
        facts = [] if math.isnan(loss) else [f"loss {loss:.3f}"]
        return [*facts, f"{rate:,.0f} tokens/s"] if rate else facts

    def _seconds_left(self, step: int) -> float:
        elapsed = time.monotonic() - self._begun
        return elapsed / max(1, step - self._start) * (self._total - step)


class _Bar(_Pace):
    _progress: Progress | None = None
    _task: TaskID

    def update(self, step: int, *, loss: float, tokens: int) -> None:
        if not self._due(_REDRAW_SECONDS):
            return
        if self._progress is None:
            self._open()
        assert self._progress is not None
        facts = ", ".join(self._facts(loss, tokens))
        self._progress.update(self._task, completed=step, facts=facts)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _open(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self._console, refresh_per_second=2, transient=True)
        self._task = self._progress.add_task(self._phase, total=self._total, completed=self._start, facts="")
        self._progress.start()


class _Lines(_Pace):
    def update(self, step: int, *, loss: float, tokens: int) -> None:
        if self._due(_LINE_SECONDS):
            place, left = f"step {step} of {self._total}", f"{_spoken(self._seconds_left(step))} left"
            line = f"{self._phase}: {', '.join([place, *self._facts(loss, tokens), left])}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        pass


def _spoken(seconds: float) -> str:
    """A duration as a person says it: 40 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
