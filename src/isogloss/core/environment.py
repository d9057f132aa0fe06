"""What a run was made with: when, by which code and packages, and on what machine."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isogloss.core.machine import package_version, processor

_PACKAGES = (
    "isogloss",
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "numpy",
)


def environment() -> dict[str, Any]:
    """Time, versions, machine and commit, as environment.json begins; what cannot be found out is None."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "git": _commit(),
        "packages": {name: version for name in _PACKAGES if (version := package_version(name))},
    }


def _commit() -> str | None:
    """The commit that isogloss runs from, `-dirty` with changes on top; None for an installed package.

    A package installed below somebody's repository must not be taken for a part of it, so this file has to be
    one that the repository tracks.
    """
    here = Path(__file__)
    try:
        _git("ls-files", "--error-unmatch", here.name, folder=here.parent)
        return _git("describe", "--always", "--dirty", "--exclude", "*", folder=here.parent) or None
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*command: str, folder: Path) -> str:
    told = subprocess.run(
        ["git", "-C", str(folder), *command], capture_output=True, text=True, check=True, timeout=10
    )
    return told.stdout.strip()
