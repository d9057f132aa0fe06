"""The command line: parse, call one function, print.

Nothing heavy is imported here: `isogloss --help` must answer at once, so every command imports what it needs
when it runs.
"""

from __future__ import annotations

import sys

from isogloss.cli.app import app
from isogloss.core.errors import IsoglossError

__all__ = ["main"]


def main() -> None:
    """Run the command line; a mistake of the user's is one message on stderr and exit code 2."""
    debug = "--debug" in sys.argv
    try:
        app(prog_name="isogloss")
    except IsoglossError as error:
        if debug:
            raise
        sys.stderr.write(f"error: {error.message()}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; run the same command again to go on from the last checkpoint\n")
        sys.exit(130)
