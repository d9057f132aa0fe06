"""Optional packages, asked for at the door with the line that installs them."""

from __future__ import annotations

import importlib
from typing import Any

from isogloss.core.errors import UserError


def needed(package: str, *, extra: str, why: str) -> Any:
    """An optional package, imported now.

    Args:
        package: as it is imported.
        extra: of isogloss, which installs it.
        why: what is to be done with it, as the subject of "needs".

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:  # it is there, and something of its own is not
            raise
        raise UserError(
            f"{why} needs the package {package}, which is not installed",
            fix=f"pip install 'isogloss[{extra}]'",
        ) from error
