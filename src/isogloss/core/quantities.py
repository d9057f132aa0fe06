"""Sizes and times as people write them: 60MB, 1.5 GB, 10ms, 0.2 s."""

from __future__ import annotations

import re

from isogloss.core.errors import UserError

_NUMBER = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-zµ]*)")
_BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}


def bytes_of(text: str, *, option: str) -> int:
    """A size in bytes; MB is a million of them, as disks are sold.

    Args:
        option: it was given with, for messages.

    Raises:
        UserError: not a number with a unit, or not above zero.
    """
    return int(_quantity(text, _BYTES, option=option, example="60MB"))


def seconds_of(text: str, *, option: str) -> float:
    """A time in seconds.

    Args:
        option: it was given with, for messages.

    Raises:
        UserError: not a number with a unit, or not above zero.
    """
    return _quantity(text, _SECONDS, option=option, example="10ms")


def _quantity(text: str, units: dict[str, float], *, option: str, example: str) -> float:
    known = {unit.lower(): size for unit, size in units.items()}
    match = _NUMBER.fullmatch(text.strip())
    size = known.get(match["unit"].lower()) if match else None
    if match is None or size is None or not float(match["number"]):
        raise UserError(
            f"{option} {text}",
            wanted=f"a number above 0 and one of the units {', '.join(units)}",
            fix=f"for instance {option} {example}",
        )
    return float(match["number"]) * size
