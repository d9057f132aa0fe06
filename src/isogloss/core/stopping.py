"""Being told to stop: by Ctrl-C, or by SIGTERM, which schedulers, containers and sweeps send."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt inside the block, so that its work can be gone on with.

    Only in the main thread, where alone Python takes signals; elsewhere the block changes nothing. Forked
    children of the process, which inherit the handler, end as they would without it.
    """
    if not _takes_signals():
        yield
        return
    owner = os.getpid()

    def interrupt(number: int, _: Any) -> None:
        if os.getpid() == owner:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Neither signal does anything here: who sends it twice shall still find out how the work ended."""
    if not _takes_signals():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _takes_signals() -> bool:
    return threading.current_thread() is threading.main_thread()
