"""The command `orchestrator`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import Any

TRACEBACK = "ORCHESTRATOR_TRACEBACK"
"""The variable that shows an unexpected error with its traceback."""


def main() -> None:
    """Run the command with the process's arguments, and exit with its code."""
    code = run()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while Python ends would be a traceback
    gc.freeze()  # else Python looks through all that was imported once more
    sys.exit(code)


def run() -> Any:
    """Run the command with the process's arguments: its exit code."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # a terminal that cannot write a sign gets a question mark, not a traceback
            reconfigure(errors="replace")
    return _flushed(_run())


def _run() -> Any:
    """Run the command; its exit code, also after any error."""
    try:
        from orchestrator.cli.imports import quick_imports

        with quick_imports():
            from orchestrator.cli.app import app
        app(prog_name="orchestrator")
    except SystemExit as ended:
        return ended.code
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return _tell(
            f"The output cannot be written: {error.strerror or error}. Write it somewhere else, and try again."
        )
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        return _tell(
            f"The command cannot be loaded: {type(error).__name__}: {error}. "
            f"Install it again; {TRACEBACK}=1 shows where it stands still."
        )
    return 0


def _open_what_is_closed() -> None:
    """Give a closed stream /dev/null: else the next file or socket that is opened takes its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, so this one
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _flushed(code: Any) -> Any:
    """The exit code, once all is written; Python itself would only complain when it cannot."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError) and not code:
            return _tell(
                f"The output cannot be written: {error.strerror}. Write it somewhere else, and try again."
            )
        return code or 1
    return code


def _tell(text: str) -> int:
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return 1
