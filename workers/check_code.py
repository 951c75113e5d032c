"""A specialist in Python: runs one check of the project's code, chosen by `params.check`.

specialists:
  code-checker: {python: "workers.check_code:check_code"}

tasks:
  - {id: lint, specialist: code-checker, params: {check: lint}}
"""

from __future__ import annotations

import subprocess
import sys

from orchestrator import Blocked, Context, Failed

CHECKS = {
    "compile": ("compileall", "-q", "orchestrator", "examples", "workers"),
    "lint": ("ruff", "check", "--no-cache", "."),
    "format": ("ruff", "format", "--check", "--no-cache", "."),
    "types": ("mypy", "orchestrator"),
}


def check_code(context: Context) -> str | Blocked | Failed:
    """Run the check in the worker's current folder."""
    check = CHECKS.get(str(context.task.params.get("check")))
    if check is None:
        return Blocked(
            kind="missing-information", reason=f"params.check has to be one of {', '.join(CHECKS)}"
        )
    ran = subprocess.run([sys.executable, "-m", *check], capture_output=True, text=True, check=False)
    said = (ran.stdout + ran.stderr).strip()
    if ran.returncode:
        return Failed(cause="code-error", reason=f"{check[0]} found something", tail=said[-4_000:])
    return said.splitlines()[-1] if said else f"{check[0]} found nothing"
