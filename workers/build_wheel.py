"""A specialist that is a command: builds the project's wheel into a folder.

specialists:
  wheel-builder: {command: [python, workers/build_wheel.py, dist], workdir: project}
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Build it. An exit code other than 0 would be a failure; this says more."""
    build: list[str | Path] = [sys.executable, "-m", "build", "--wheel", "--outdir", folder]
    ran = subprocess.run(build, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    outcome: dict[str, object]
    if ran.returncode:
        outcome = {
            "status": "failed",
            "cause": "dependency",
            "reason": "no wheel",
            "tail": ran.stdout[-4_000:],
        }
    else:
        wheel = max(folder.glob("*.whl"), key=lambda file: file.stat().st_mtime)
        found = {"wheel": str(wheel), "bytes": wheel.stat().st_size}
        outcome = {"status": "completed", "summary": f"{wheel.name} built", "result": found}
    Path(os.environ["ORCHESTRATOR_OUTCOME_FILE"]).write_text(json.dumps(outcome), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
