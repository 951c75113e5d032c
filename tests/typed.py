"""The `orchestrator` command in this process: for tests in which neither signals nor a terminal matter."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from unittest import mock

from typer.testing import CliRunner

from orchestrator.cli.app import app


def orchestrate(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Type a command in a folder, and wait for it. A process of its own would import everything again."""
    with contextlib.chdir(folder), mock.patch.dict(os.environ, {"COLUMNS": "200", **environment}):
        ended = CliRunner().invoke(app, arguments, prog_name="orchestrator")
    if ended.exception and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return subprocess.CompletedProcess(arguments, ended.exit_code, ended.stdout, ended.stderr)
