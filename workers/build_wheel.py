"""A specialist that is a command: builds the project's wheel into a folder. `make wheel` runs it too.

It uses only the tools in build-requirements.txt, which pins their versions and hashes. The same source gives the same
wheel, byte by byte. Its hash goes into SHA256SUMS beside it, so that users can check it.

specialists:
  wheel-builder: {command: [python, workers/build_wheel.py, dist], workdir: project}
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PROJECT = Path(__file__).parents[1]
TOOLS = PROJECT / "build-requirements.txt"
SUMS = "SHA256SUMS"


def build(folder: Path, tools: Path = TOOLS) -> Path:
    """Build the wheel into an empty folder, and write its hash beside it.

    Args:
        folder: The folder; it is created if needed, and wheels in it are removed.
        tools: A requirements file with the build tools and their hashes.

    Raises:
        subprocess.CalledProcessError: A tool has another hash, or the wheel cannot be built.

    Example:
        wheel = build(Path("dist"))
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    with tempfile.TemporaryDirectory() as place:
        venv.create(place, with_pip=True)
        pip = [f"{place}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        _run(*pip, "install", "--quiet", "--require-hashes", "--requirement", str(tools))
        options = (
            "--quiet",
            "--no-deps",
            "--no-cache-dir",
            "--no-build-isolation",
            "--wheel-dir",
            str(folder),
        )
        _run(*pip, "wheel", *options, str(PROJECT))
    (wheel,) = folder.glob("*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / SUMS).write_text(f"{digest}  {wheel.name}\n", "utf-8")
    return wheel


def _run(*command: str) -> None:
    subprocess.run(command, text=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def main(folder: Path) -> int:
    """Build the wheel, and report it: in the outcome file if the orchestrator runs this, else on the screen."""
    outcome: dict[str, object]
    try:
        wheel = build(folder)
    except subprocess.CalledProcessError as error:
        tail = str(error.stdout)[-4_000:]
        outcome = {"status": "failed", "cause": "dependency", "reason": "no wheel", "tail": tail}
    else:
        found = {"wheel": str(wheel), "bytes": wheel.stat().st_size}
        outcome = {"status": "completed", "summary": f"{wheel.name} built", "result": found}
    file = os.environ.get("ORCHESTRATOR_OUTCOME_FILE")
    if file:
        Path(file).write_text(json.dumps(outcome), "utf-8")
        return 0
    print(outcome.get("summary") or outcome["tail"])
    return int(outcome["status"] != "completed")


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
