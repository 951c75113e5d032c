"""Says why a program cannot be started."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from orchestrator.model.outcome import Failed, FailureCause
from orchestrator.specialists.text import as_text


def start_failure(error: OSError | ValueError, program: str, folder: Path) -> Failed:
    """The failure of an attempt whose program cannot be started, with what helps.

    Args:
        error: As `processes.Tree` raised it.
        program: The first word of the command.
        folder: The folder that it was to run in.
    """
    cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOEXEC:
        hint = "; its first line names no program to run it with: add one, such as #!/bin/sh"
    elif not isinstance(error, FileNotFoundError):
        hint = ""
    elif not folder.is_dir():
        hint = f"; the folder to run it in, {folder}, is not there"
    elif program.startswith("~"):
        hint = "; no shell reads the command, so ~ stays as it is: write the path of the folder"
    elif wrong := _first_line(folder, program):
        hint = f"; {wrong}"
    elif "/" in program:
        hint = f"; a relative path is looked for from {folder}"
    else:
        hint = "; install it where the worker runs, or add its folder to the worker's PATH"
    reason = f"cannot start {program}: {cause}{hint}"
    return Failed(cause=FailureCause.DEPENDENCY, reason=as_text(reason))


def _first_line(folder: Path, program: str) -> str:
    """The fault in the first line of a script; "" if there is no script, or no fault."""
    found = folder / program if "/" in program else shutil.which(program)
    try:
        with Path(found or program).open("rb") as script:
            line = script.readline(1_000)
    except OSError:
        return ""
    if not line.startswith(b"#!"):
        return ""
    named = line[2:].decode(errors="replace").strip().split()
    if line.rstrip(b"\n").endswith(b"\r"):
        return "its lines end as Windows has them (CR LF), and the name of its program too: save it with LF alone"
    return f"its first line names {named[0]}, which is not there" if named else ""
