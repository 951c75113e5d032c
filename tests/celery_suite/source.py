"""Celery's own tests, from the source distribution of the installed version."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import celery

HOUSE = Path(__file__).parents[2]
CACHE = HOUSE / "build" / "celery-suite"
VERSION = celery.__version__


def unpack() -> Path:
    """The folder that holds Celery's package of tests, `t`. It is fetched the first time.

    Only the tests are unpacked: Celery itself is the installed one.

    Raises:
        CalledProcessError: pip could not fetch the source distribution.
    """
    folder = CACHE / f"celery-{VERSION}"
    if (folder / "t").is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / f"celery-{VERSION}.tar.gz"
    if not archive.is_file():
        wanted = ["--no-deps", "--no-binary", "celery", f"celery=={VERSION}"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted, "--dest", str(CACHE)], check=True)
    with tarfile.open(archive) as opened:
        tests = [one for one in opened.getmembers() if one.name.startswith(f"celery-{VERSION}/t/")]
        opened.extractall(CACHE, tests, filter="data")
    return folder
