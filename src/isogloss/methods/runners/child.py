"""One job in a process of its own: started, waited for, stopped so that it can be gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable

from isogloss.methods.runners.job import Job

_GRACE = 5.0  # seconds from one Ctrl-C to the next; one that comes while modules are imported may be lost
_TIMES = 8
_TAIL = 4000  # bytes of a log to look for its last words in
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def start(job: Job) -> subprocess.Popen[bytes]:
    """The job's process, by the interpreter that runs this one."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    threads = {} if job.threads is None else dict.fromkeys(_THREADS, str(job.threads))
    with job.log.open("ab") as log:
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
        return f"killed by {signal.Signals(-code).name}; its log: {job.log}"
    said = job.log.read_bytes()[-_TAIL:].decode(errors="replace").strip().splitlines()
    told = [number for number, line in enumerate(said) if line.startswith("error: ")]
    words = said[told[-1] :] if told else said[-1:]
    return "\n".join(words).removeprefix("error: ") or f"it ended with code {code}"


def stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End processes as Ctrl-C does; those that do not end in time are killed."""
    alive = [process for process in processes if process.poll() is None]
    for _ in range(_TIMES):
        for process in alive:
            process.send_signal(signal.SIGINT)
        alive = [process for process in alive if not _ended(process)]
    for process in alive:
        process.kill()
        process.wait()


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        return False
    return True


def carry_out(job: Job) -> str | None:
    """Start a job and wait for it; why it failed, None where it did not."""
    process = start(job)
    try:
        return why(job, process.wait())
    finally:
        stop([process])
