"""A specialist that is a command: installs the wheel of an earlier task into a clean environment.

specialists:
  wheel-installer: {command: [python, workers/install_wheel.py, venv], workdir: project}
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path


def main(folder: Path) -> None:
    """Make the environment, install the wheel into it as a user would, and report what is installed."""
    given = json.loads(Path(os.environ["ORCHESTRATOR_TASK_FILE"]).read_text("utf-8"))
    wheel = next(
        outcome["result"]["wheel"]
        for outcome in given["dependencies"].values()
        if "wheel" in (outcome["result"] or {})
    )
    venv.create(folder, clear=True, with_pip=True)
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--constraint", "constraints.txt", wheel], check=True)
    listed = subprocess.run([*pip, "list", "--format", "json"], check=True, capture_output=True).stdout
    packages = {package["name"]: package["version"] for package in json.loads(listed)}
    outcome = {
        "status": "completed",
        "summary": f"{Path(wheel).name} and {len(packages) - 1} packages installed",
        "result": {"packages": packages},
    }
    Path(os.environ["ORCHESTRATOR_OUTCOME_FILE"]).write_text(json.dumps(outcome), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
