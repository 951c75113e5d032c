"""A specialist that is a command: builds the project's wheel into a folder. `make wheel` runs it, too.

The wheel is built by the tools of build-requirements.txt, and no others: their versions and hashes stand there. The
same source gives the same wheel, byte by byte; its hash goes into SHA256SUMS beside it, for whoever installs it.

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
        folder: It is made; wheels that are there are removed.
        tools: The builder and all that it needs, each with its hash.

    Raises:
        subprocess.CalledProcessError: A tool is not the one that is named, or the wheel cannot be built.

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
    """Build it, and say so: to the orchestrator where it has started this, else to whoever reads."""
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
