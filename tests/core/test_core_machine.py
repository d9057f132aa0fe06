"""What the machine says of itself."""

from __future__ import annotations

import os
import sys

import pytest

import isogloss.core.machine as module
from isogloss.core.machine import free_memory, keeping_memory, machine, use_large_pages

MEMINFO = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    8000 kB\n"


def system(root, *, membership, groups=()):
    """A root with a memory table, and control groups as (folder, {file: text})."""
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": membership}
    for folder, content in groups:
        files |= {f"sys/fs/cgroup/{folder}/{name}": text for name, text in content.items()}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def second(limit, usage, idle=0):
    return {"memory.max": limit, "memory.current": usage, "memory.stat": f"anon 5\ninactive_file {idle}\n"}


def first(limit, usage, idle=0):
    return {
        "memory.limit_in_bytes": limit,
        "memory.usage_in_bytes": usage,
        "memory.stat": f"cache 5\ninactive_file 1\ntotal_inactive_file {idle}\n",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says")
def test_less_is_free_than_there_is():
    assert 0 < free_memory() < machine()["memory_bytes"]


def test_without_a_limit_what_is_available_is_free(tmp_path):
    root = system(tmp_path, membership="0::/a\n", groups=[("a", second("max\n", "300\n"))])
    assert free_memory(root=root) == 8000 * 1024


@pytest.mark.parametrize("above", [False, True])
def test_a_container_has_what_its_limit_leaves_whichever_group_it_is_set_on(tmp_path, above):
    limits = [("a", second("1000", "700", "100")), ("a/b", second("max", "600"))]
    if not above:
        limits = [("a", second("max", "700")), ("a/b", second("1000", "700", "100"))]
    root = system(tmp_path, membership="0::/a/b\n", groups=limits)
    assert free_memory(root=root) == 400


def test_the_first_version_of_control_groups_is_read_too(tmp_path):
    membership = "9:name=systemd:/\n4:memory:/x\n3:cpuset:/\n0::/\n"
    root = system(tmp_path, membership=membership, groups=[("memory/x", first("900", "500", "50"))])
    assert free_memory(root=root) == 450


def test_a_group_beyond_its_limit_leaves_nothing(tmp_path):
    root = system(tmp_path, membership="0::/a\n", groups=[("a", second("1000", "1200"))])
    assert free_memory(root=root) == 0


def test_a_system_that_does_not_say_is_not_guessed_at(tmp_path):
    assert free_memory(root=tmp_path) is None


def test_large_pages_are_asked_for_unless_somebody_has_decided(monkeypatch):
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    use_large_pages()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    use_large_pages()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"


class Allocator:
    """Stands for the C library and notes what it is told."""

    def __init__(self):
        self.told = []

    def mallopt(self, option, value):
        self.told.append((option, value))

    def malloc_trim(self, pad):
        self.told.append("trim")


def test_memory_is_kept_inside_and_given_back_after(monkeypatch):
    allocator = Allocator()
    monkeypatch.setattr(module, "_glibc", lambda: allocator)
    with pytest.raises(KeyError), keeping_memory():
        inside = len(allocator.told)
        assert (-4, 0) in allocator.told
        raise KeyError
    assert (-4, 2**16) in allocator.told[inside:]
    assert allocator.told[-1] == "trim"


def test_where_there_is_no_glibc_memory_is_as_ever(monkeypatch):
    monkeypatch.setattr(module.sys, "platform", "darwin")
    with keeping_memory():
        assert module._glibc() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_blocks_of_any_size_can_be_had_while_memory_is_kept():
    with keeping_memory():
        blocks = [bytearray(2**power) for power in range(10, 27)]
        assert sum(map(len, blocks)) == 2**27 - 2**10
