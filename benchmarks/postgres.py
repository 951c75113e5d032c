"""A private PostgreSQL for the peers that need one, as its Debian package comes: every setting is a default."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEBIAN = Path("/usr/lib/postgresql")
"""Where its packages put what is not on the PATH, by version."""

USERS = ("postgres", "nobody")
"""The user that runs it where we are root: PostgreSQL refuses to run as root."""

PATIENCE = 30.0


class NoPostgres(Exception):
    """There is no PostgreSQL that could be run."""


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start one in a folder of its own, on a unix socket, and end it when the `with` does.

    Yields:
        The URL of its database.

    Raises:
        NoPostgres: None is installed, or it does not start.
    """
    programs = _programs()
    user: dict[str, Any] = _user() if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="postgres-") as made:
        folder = Path(made)
        if user:
            shutil.chown(folder, user["user"])
        data, log = folder / "data", folder / "log"
        # No password is asked for: the socket lies in a folder that is open to its user alone.
        command = [f"{programs}/initdb", "-D", f"{data}", "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        made_data = subprocess.run(command, capture_output=True, text=True, cwd=folder, **user)
        if made_data.returncode:
            raise NoPostgres(f"initdb failed: {made_data.stderr.strip()}")
        with log.open("wb") as said:
            command = [f"{programs}/postgres", "-D", f"{data}", "-k", f"{folder}", "-h", ""]
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command, stdout=said, stderr=said, cwd=folder, **user
            )
            try:
                _wait(process, programs, folder, log)
                yield f"postgresql://postgres@/postgres?host={folder}"
            finally:
                process.send_signal(signal.SIGINT)  # it ends its connections, and then itself
                process.wait()


def _wait(process: subprocess.Popen[bytes], programs: Path, folder: Path, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while subprocess.run([programs / "pg_isready", "-q", "-h", folder]).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoPostgres(f"it does not start: {log.read_text('utf-8', 'replace').strip()}")
        time.sleep(0.1)


def _programs() -> Path:
    """The folder of its programs: that of the newest version of Debian's packages, or that on the PATH."""
    found = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        raise NoPostgres("PostgreSQL is not installed")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


def _user() -> dict[str, Any]:
    for name in USERS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise NoPostgres("it does not run as root, and there is no other user for it")
