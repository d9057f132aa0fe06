"""One process needs no launcher; several that were started wrongly are told so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from isogloss.core.errors import UserError
from isogloss.core.processes import from_main, is_main, leave, main_first, process_count, wait_for_all


@pytest.fixture
def launched(monkeypatch):
    """An environment as a launcher of two processes leaves it."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    return monkeypatch


def test_a_process_without_a_launcher_is_the_main_one_and_waits_for_nobody():
    assert is_main()
    assert process_count() == 1
    wait_for_all()
    with main_first():
        assert from_main("a value") == "a value"
    leave(0)


def test_one_process_meets_nobody_and_so_loads_no_torch():
    program = (
        "import sys\n"
        "from isogloss.core.processes import leave, main_first\n"
        "with main_first(): leave(0)\n"
        "assert not {'torch', 'accelerate'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_processes_that_share_out_one_model_are_refused(launched):
    launched.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match="share out one model"):
        is_main()


def test_processes_that_cannot_find_each_other_are_refused_and_told_how_they_could():
    program = (
        "import os\n"
        "os.environ['WORLD_SIZE'] = '2'\n"
        "os.environ.pop('ACCELERATE_USE_CPU', None)\n"
        "from isogloss.core.errors import UserError\n"
        "from isogloss.core.processes import is_main\n"
        "try:\n    is_main()\n"
        "except UserError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "2 processes were started, but they cannot find each other" in done.stdout
    assert "ACCELERATE_USE_CPU=true" in done.stdout
