"""The command `orchestrator`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command with the process's arguments, and exit with its code."""
    from orchestrator.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # a terminal that cannot write a sign gets a question mark, not a traceback
            reconfigure(errors="replace")
    app(prog_name="orchestrator")
