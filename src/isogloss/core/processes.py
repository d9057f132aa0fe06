"""Several processes that carry out one recipe together: the main one makes every file, all of them train.

`torchrun` and `accelerate launch` start the same command once for each process. The processes meet through
accelerate, which is imported only where a launcher has said that there are several: reading a recipe needs no
torch.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeVar

from isogloss.core.errors import ProcessError, UserError

Value = TypeVar("Value")

_PATIENCE = timedelta(days=7)
"""How long to wait for each other: the main process may read a large corpus. A launcher ends those that wait
for one that died, so nothing hangs."""
_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_SHARDED = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM")


def process_count() -> int:
    """How many processes carry out this recipe; 1 without a launcher."""
    group = _group()
    return group.num_processes if group else 1


def is_main() -> bool:
    """Whether this is the process that makes the files, prints and evaluates; True without a launcher."""
    group = _group()
    return group.is_main_process if group else True


def wait_for_all() -> None:
    """Go on when every process has come here.

    Raises:
        ProcessError: another process has ended instead.
    """
    if group := _group():
        with _others_alive():
            group.wait_for_everyone()


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """The main process runs the block before the others do, who then find what it made."""
    if not is_main():
        wait_for_all()
    yield
    if is_main():
        wait_for_all()


def from_main(value: Value) -> Value:
    """The main process's value, on every process.

    Raises:
        ProcessError: another process has ended instead.
    """
    if not _group():
        return value
    from accelerate.utils import broadcast_object_list

    with _others_alive():
        received: list[Value] = broadcast_object_list([value])
    return received[0]


def leave(code: int) -> None:
    """Part from the other processes, as torch asks before a process ends, and end this one.

    A process that runs alone goes on; one of several ends here, with this exit code, without Python's own
    shutdown: threads of gloo that still run in it now and then abort the process.
    """
    if not _launched():
        return
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _launched() -> int:
    """Processes started together, as the launcher told the environment; 0 for one alone."""
    counts = (int(os.environ.get(name) or 1) for name in _COUNTS)
    return max((count for count in counts if count > 1), default=0)


def _group() -> Any:
    """accelerate's `PartialState` of the processes started together, joined at the first call; None alone.

    Raises:
        UserError: they were started in a way that cannot work.
    """
    if not (launched := _launched()):
        return None
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    if sharding := next(filter(parse_flag_from_env, _SHARDED), None):
        raise UserError(
            f"{launched} processes that share out one model ({sharding})",
            wanted="a whole model in each process",
            fix="choose MULTI_GPU in `accelerate config`, or launch with torchrun",
        )
    group = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=_PATIENCE)
    if group.num_processes == 1:
        raise UserError(
            f"{launched} processes were started, but they cannot find each other",
            wanted="a GPU for each, and torchrun or accelerate launch to start them",
            fix="on CPUs set ACCELERATE_USE_CPU=true; for one process alone unset WORLD_SIZE",
        )
    return group


@contextlib.contextmanager
def _others_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # all that torch raises when a connection breaks
        raise ProcessError(
            "another process of this run has ended", fix="read its own message, which says why"
        ) from error
