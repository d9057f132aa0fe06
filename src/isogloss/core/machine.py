"""The machine as far as speed depends on it; nothing here names it or its user."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

_PACKAGES = ("torch", "transformers", "numpy")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system and versions; what cannot be found out is None."""
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: package_version(package) for package in _PACKAGES},
    }


def load() -> float | None:
    """Processes that wanted to run during the last minute, on average; None where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def use_large_pages() -> None:
    """Let torch ask Linux for large pages for large tensors, which makes fresh ones cheaper on a CPU.

    Torch looks once, when it makes its first tensor. Whoever has set its variable is left alone; systems
    without such pages do as ever.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


@contextlib.contextmanager
def keeping_memory() -> Iterator[None]:
    """Inside, memory that was freed stays with this process, to be taken again.

    glibc gives large blocks back to the system when they are freed. A training step then gets hundreds of
    megabytes anew, which the system must clear first: a fifth of a small model's step on a CPU. To be used
    where the same sizes come again and again; other sizes at every step would leave gaps. Without glibc
    nothing happens.
    """
    allocator = _glibc()
    if allocator is None:
        yield
        return
    for option, value in _KEEP.items():
        allocator.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _AS_EVER.items():
            allocator.mallopt(option, value)
        allocator.malloc_trim(0)


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of malloc.h
_KEEP = {_TRIM_THRESHOLD: -1, _TOP_PAD: 2**27, _MMAP_MAX: 0}
_AS_EVER = {_TRIM_THRESHOLD: 2**17, _TOP_PAD: 2**17, _MMAP_MAX: 2**16}


def _glibc() -> Any:
    """The C library, where it is glibc and its options can be set."""
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory(*, root: Path = Path("/")) -> int | None:
    """Bytes that can still be taken without swapping; None where the system does not say, as only Linux does.

    What the machine has available, or what the control groups of this process, such as a container's, leave
    of their limits where that is less. Files in the page cache that nobody uses count as free.

    Args:
        root: of the folders `proc` and `sys`.
    """
    try:
        table = (root / "proc/meminfo").read_text(encoding="utf-8")
        available = next(line for line in table.splitlines() if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return min([1024 * int(available.split()[1]), *_left_by_groups(root)])


class _Groups(NamedTuple):
    """Where one version of Linux's control groups says what memory they have: folder and names of files."""

    folder: str
    limit: str
    usage: str
    reclaimable: str


_GROUPS = {
    "": _Groups("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": _Groups(
        "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    ),
}
"""By the controller's name in /proc/self/cgroup: version 2, which has one for all, and version 1."""


def _left_by_groups(root: Path) -> Iterator[int]:
    """What each limited group that this process is in leaves, from its own up to the one above all."""
    try:
        memberships = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for membership in memberships:
        _, controller, path = membership.split(":", 2)
        if (groups := _GROUPS.get(controller)) is None:
            continue
        top = root / groups.folder
        own = top / path.strip("/")
        for folder in (own, *own.parents):
            yield from _left_by(folder, groups)
            if folder == top:
                break


def _left_by(folder: Path, groups: _Groups) -> Iterator[int]:
    """One number, or none where there is no limit, or a container does not see the group."""
    try:
        limit = (folder / groups.limit).read_text(encoding="utf-8").strip()
        usage = int((folder / groups.usage).read_text(encoding="utf-8"))
        facts = (folder / "memory.stat").read_text(encoding="utf-8").split()
    except OSError:
        return
    if limit != "max":
        reclaimable = int(facts[facts.index(groups.reclaimable) + 1]) if groups.reclaimable in facts else 0
        yield max(0, int(limit) - usage + reclaimable)


def processor() -> str | None:
    """The processor's name; None where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def package_version(package: str) -> str | None:
    """Of an installed package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
