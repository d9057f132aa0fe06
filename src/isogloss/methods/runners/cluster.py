"""Jobs on a Ray cluster. Ray finds each a place and nothing else: there, it is a process as on this machine.

Every node needs isogloss, and the sweep's folder under the same path, such as on a shared disk.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from isogloss.core.errors import IsoglossWarning, UserError
from isogloss.core.extras import needed
from isogloss.core.machine import cores
from isogloss.methods.runners.child import carry_out
from isogloss.methods.runners.job import Event, Job, Runner

LOCAL = "local"
_LOOK_AGAIN = 1.0  # seconds
_KNOCK = 5.0  # seconds
_QUIET = {"log_to_driver": False, "configure_logging": False}
_ROUNDING = 1e-9  # 1 / 0.1 may be a little less than ten
_GRACE = 30.0  # seconds for stopped jobs to write down that they were


def on_cluster(address: str, *, at_once: int | None = None, threads: int = 1, gpus: float = 0.0) -> Runner:
    """A runner on a Ray cluster.

    Args:
        address: of the cluster, "auto" for the one this machine belongs to, "local" to start one here.
        at_once: jobs at a time at most; None for as many as there is room for.
        threads: processors that each job asks for.
        gpus: that each job asks for; a part of one shares it.

    Raises:
        UserError: Ray is not installed.
    """
    ray = needed("ray", extra="cluster", why="a sweep on a cluster")

    def run(jobs: Sequence[Job]) -> Iterator[Event]:
        # On one machine more threads than cores are slow, and no reason to wait for ever.
        with _connected(ray, address, processors=max(cores(), (at_once or 1) * threads)):
            task = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=0)(carry_out)
            waiting, running = deque(jobs), dict[Any, Job]()
            possible = _room(ray, threads, gpus)
            if possible < 1:
                _tell_of_no_room(address, threads, gpus)
            room = at_once or max(1, possible)
            try:
                while waiting or running:
                    while waiting and len(running) < room:
                        job = waiting.popleft()
                        running[task.remote(job)] = job
                        yield Event(job, "started")
                    ended, _ = ray.wait(list(running), timeout=_LOOK_AGAIN)
                    for one in ended:
                        yield Event(running.pop(one), "ended", _why(ray, one))
            finally:
                _stop(ray, list(running))

    return run


@contextlib.contextmanager
def _connected(ray: Any, address: str, *, processors: int) -> Iterator[None]:
    """In touch with the cluster; one that was started here ends with the block."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        if address == LOCAL:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of ours tells nobody
            ray.init(num_cpus=processors, include_dashboard=False, **_QUIET)
        else:
            _knock(address)
            ray.init(address, **_QUIET)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"no Ray cluster answers at {address!r}: {error}",
            wanted="the address of one that runs, such as head:6379, ray://head:10001 or auto",
            fix="start one with `ray start --head`, or say --ray local",
        ) from error
    if ours is not None and threading.current_thread() is threading.main_thread():
        # Ray's handlers, one of which Python knows nothing of, end the process without a word to its runs.
        signal.signal(signal.SIGTERM, ours)
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Ray itself tries for many minutes before it says that nobody is there.

    Raises:
        OSError: nobody listens.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK).close()


def _room(ray: Any, threads: int, gpus: float) -> int:
    """Jobs that the whole cluster has room for as it is: more only wait, and a cluster may grow."""
    found = ray.cluster_resources()
    rooms = [found.get("CPU", 0) / threads, *([found.get("GPU", 0) / gpus] if gpus else [])]
    return int(min(rooms) + _ROUNDING)


def _tell_of_no_room(address: str, threads: int, gpus: float) -> None:
    """Of a cluster that may grow a warning, for then its first run only waits.

    Raises:
        UserError: it is this machine, which does not.
    """
    asked = f"{threads} processors" + (f" and {gpus:g} GPUs" if gpus else "")
    if address == LOCAL:
        raise UserError(
            f"--ray local, and this machine does not have {asked} for a run",
            wanted="what each run is to have, at most what there is",
            fix="say less with --threads or --gpus",
        )
    warnings.warn(
        f"the cluster does not have {asked} for a run: waiting until it grows",
        IsoglossWarning,
        stacklevel=2,
    )


def _why(ray: Any, ended: Any) -> str | None:
    try:
        found: str | None = ray.get(ended)
    except ray.exceptions.RayError as error:  # its node or its worker died
        return f"Ray: {' '.join(str(error).split())}"
    return found


def _stop(ray: Any, running: Sequence[Any]) -> None:
    for one in running:
        ray.cancel(one)
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=_GRACE)
