"""A small disk that soon is full, so that tests meet the real error of the kernel."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "256k") -> Iterator[Path]:
    """A disk of this size, in a folder below this one. Where none may be mounted the test is skipped.

    Example:
        with small_disk(tmp_path) as disk:
            fill(disk / "full")
    """
    disk = folder / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)]
    if not mount or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(file: Path) -> None:
    """Add to a file until its disk has no room left, not even in the block that the file ends in."""
    with contextlib.suppress(OSError), file.open("ab", buffering=0) as rest:
        while True:
            rest.write(bytes(4_096))
