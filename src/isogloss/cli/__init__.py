"""The command line: parse, call one function, print.

Nothing heavy is imported here: `isogloss --help` must answer at once, so every command imports what it needs
when it runs.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from isogloss.cli.app import app
from isogloss.core.errors import IsoglossError, IsoglossWarning
from isogloss.core.machine import use_large_pages
from isogloss.core.processes import leave

__all__ = ["main"]

_INTERRUPTED = 130  # what typer makes of Ctrl-C


def main() -> None:
    """Run the command line; a mistake of the user's is one message on stderr and exit code 2.

    `--debug` may stand anywhere, and shows the traceback instead.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    use_large_pages()
    warnings.showwarning = _shown_by(warnings.showwarning)
    try:
        app(args=arguments, prog_name="isogloss")
    except IsoglossError as error:
        if debug:
            traceback.print_exc()
        else:
            sys.stderr.write(f"error: {error.message()}\n")
        _end(error.exit_code)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            sys.stderr.write("stopped; run the same command again to go on from the last checkpoint\n")
        _end(end.code if isinstance(end.code, int) else 0)
    except Exception:  # ours, not the user's: shown whole, and told to the other processes by the exit code
        traceback.print_exc()
        _end(1)


def _shown_by(otherwise: Callable[..., None]) -> Callable[..., None]:
    """A warning of ours is one line; those of libraries are shown as they would be."""

    def show(message: Warning | str, category: type[Warning], *more: Any, **named: Any) -> None:
        if issubclass(category, IsoglossWarning):
            sys.stderr.write(f"warning: {message}\n")
        else:
            otherwise(message, category, *more, **named)

    return show


def _end(code: int) -> NoReturn:
    leave(code)
    sys.exit(code)
