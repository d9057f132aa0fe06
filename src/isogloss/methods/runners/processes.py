"""Jobs side by side on this machine, each in a process of its own."""

from __future__ import annotations

import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence

from isogloss.methods.runners.child import start, stop, why
from isogloss.methods.runners.job import Event, Job, Runner

_LOOK_AGAIN = 0.2  # seconds


def side_by_side(at_once: int) -> Runner:
    """A runner of so many processes at a time."""

    def run(jobs: Sequence[Job]) -> Iterator[Event]:
        waiting = deque(jobs)
        running: list[tuple[Job, subprocess.Popen[bytes]]] = []
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    job = waiting.popleft()
                    running.append((job, start(job)))
                    yield Event(job, "started")
                for pair in [pair for pair in running if pair[1].poll() is not None]:
                    running.remove(pair)
                    yield Event(pair[0], "ended", why(pair[0], pair[1].returncode))
                time.sleep(_LOOK_AGAIN)
        finally:
            stop(process for _, process in running)

    return run
