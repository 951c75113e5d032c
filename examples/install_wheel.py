"""Install the wheel of FOLDER/dist in a clean environment FOLDER/venv, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path


def main(folder: Path) -> None:
    """Make the environment, install the newest wheel into it, and report what is installed."""
    wheel = max((folder / "dist").glob("*.whl"), key=lambda file: file.stat().st_mtime)
    venv.create(folder / "venv", clear=True, with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--constraint", "constraints.txt", wheel], check=True)
    listed = subprocess.run([*pip, "list", "--format", "json"], check=True, capture_output=True).stdout
    packages = {package["name"]: package["version"] for package in json.loads(listed)}
    outcome = {
        "status": "completed",
        "summary": f"{wheel.name} and {len(packages) - 1} packages installed",
        "result": {"wheel": wheel.name, "bytes": wheel.stat().st_size, "packages": packages},
    }
    if "ORCHESTRATOR_OUTCOME_FILE" in os.environ:
        Path(os.environ["ORCHESTRATOR_OUTCOME_FILE"]).write_text(json.dumps(outcome), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
