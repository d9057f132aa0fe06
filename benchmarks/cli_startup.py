"""How soon `isogloss --help` answers, against the same command line with everything imported at the top.

python benchmarks/cli_startup.py
"""

from __future__ import annotations

import subprocess
import sys

from harness import Contest, compare

LATE = [sys.executable, "-m", "isogloss", "--help"]
EARLY = [
    sys.executable,
    "-c",
    "import sys, isogloss.methods.table, isogloss.cli; sys.argv[1:] = ['--help']; isogloss.cli.main()",
]


def run(command: list[str]) -> None:
    """Run a command to its end, output thrown away; it must succeed."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    compare(
        "cli_startup",
        [Contest("isogloss --help", lambda: run(LATE), lambda: run(EARLY))],
        rounds=7,
        facts={"plain": "the same command line, importing torch, transformers and every method first"},
    )
