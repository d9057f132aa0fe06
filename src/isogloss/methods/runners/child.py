"""One job in a process of its own: started, waited for, stopped so that it can be gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

from isogloss.methods.runners.job import Job

_GRACE = 25.0  # seconds for a run to write down that it was stopped
_LOOK_AGAIN = 0.2  # seconds
_TAIL = 4000  # bytes of a log to look for its last words in
_BEGINS = b"== begins ==\n"  # in a log, before what each attempt says
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def start(job: Job) -> subprocess.Popen[bytes]:
    """The job's process, by the interpreter that runs this one."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    threads = {} if job.threads is None else dict.fromkeys(_THREADS, str(job.threads))
    with job.log.open("ab") as log:
        log.write(_BEGINS)
        log.flush()
        return subprocess.Popen(
            [sys.executable, "-m", "isogloss", "run", job.recipe, "--out", job.out, "--name", job.name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=job.folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **threads},
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop it in order
        )


def why(job: Job, code: int) -> str | None:
    """Why the process failed, from its exit code and the end of its log; None where it did not."""
    if code == 0:
        return None
    if code < 0:
        return f"killed by {_signal(-code)}; its log: {job.log}"
    log = job.log.read_bytes()[-_TAIL:].rpartition(_BEGINS)[2]
    said = log.decode(errors="replace").strip().splitlines()
    told = [number for number, line in enumerate(said) if line.startswith("error: ")]
    words = said[told[-1] :] if told else said[-1:]
    return "\n".join(words).removeprefix("error: ") or f"it ended with code {code}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # those for real time have no name
        return f"signal {number}"


def stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End processes so that they can be gone on with; those that do not end in time are killed.

    By SIGTERM: whoever starts a sweep in the background of a script has SIGINT ignored by all that it starts.
    """
    alive = [process for process in processes if process.poll() is None]
    for process in alive:
        process.terminate()
    until = time.monotonic() + _GRACE
    for process in alive:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def carry_out(job: Job) -> str | None:
    """Start a job and wait for it; why it failed, None where it did not."""
    process = start(job)
    try:
        return why(job, _waited_for(process))
    finally:
        stop([process])


def _waited_for(process: subprocess.Popen[bytes]) -> int:
    """In short stretches: Ray cancels by an exception that is raised when Python has its turn."""
    while (code := process.poll()) is None:
        time.sleep(_LOOK_AGAIN)
    return code
