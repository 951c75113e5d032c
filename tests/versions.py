"""Other versions of this package, to run beside this one: the previous one, and a future one."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

BEFORE = "b0c05865bfa566a994e0352b87e77ea1e72c8b34"
"""The last commit of schema 3."""

NEXT = """
from orchestrator.state import schema

schema.VERSION += 1

from orchestrator.celery import app
from orchestrator.cli import main

if __name__ == "__main__":
    main()
"""
"""A future version: this one, but it writes and reads one schema more."""

HOUSE = Path(__file__).parent.parent


def unpack_the_one_before(folder: Path) -> dict[str, str]:
    """Take the version before out of the history of this repository; the environment in which it is imported.

    Where there is no history (in a source distribution, or a shallow clone) the test is skipped.
    """
    archive = ["git", "-C", str(HOUSE), "archive", BEFORE, "orchestrator", "workers"]
    try:
        packed = subprocess.run(archive, capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("there is no git to take the version before out of the history")
    except subprocess.CalledProcessError as error:
        pytest.skip(
            f"the version before ({BEFORE[:7]}) is not in the history here: {error.stderr.decode().strip()}"
        )
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        files.extractall(folder, filter="data")
    return {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
