"""Every snippet of the README runs, in its order, in one folder, as a reader would type it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.client.client import Client
from orchestrator.config import configuration
from orchestrator.config.folder import FOLDER
from orchestrator.local.processes import stop
from tests.acceptance.conftest import BIN, PATIENCE, tools

pytestmark = pytest.mark.real

README = Path(__file__).parents[2] / "README.md"


def blocks() -> Iterator[tuple[str, str]]:
    """The language and the text of each fenced block."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S):
        yield match.group(1), match.group(2)


def test_every_snippet_of_the_readme_runs(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()  # so that one further up, which is none of the test's, is not taken for it
    with ExitStack() as stack:
        for language, text in blocks():
            if language == "console":
                for line in text.splitlines():
                    assert line.startswith("$ "), f"{line!r} is no command"
                    run(line.removeprefix("$ "), tmp_path, stack)
            else:
                write(text, tmp_path)
        settings = configuration.load(tmp_path)
        with Client(settings) as client:
            statuses = {progress.title: progress.status for progress in client.features()}
            assert statuses["Build and review"] == "completed"
            assert statuses["User login"] == "completed"


def write(text: str, folder: Path) -> None:
    """A file whose name is in its first line."""
    name = re.match(r"# (\S+)\n", text)
    assert name, f"the block does not begin with a file name: {text[:60]!r}"
    file = folder / name.group(1)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, "utf-8")


def run(command: str, folder: Path, stack: ExitStack) -> None:
    """Run a command to its end, or, with & at its end, until the test ends."""
    if command.endswith("&"):
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command.removesuffix('&')}"],
            cwd=folder,
            env=tools(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        stack.callback(stop, process)
        return
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=tools(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"


def test_the_commands_of_the_readme_exist() -> None:
    table = README.read_text("utf-8").split("## Commands")[1].split("##")[0]
    named = set(re.findall(r"`([a-z-]+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", table, re.M))))

    listed = subprocess.run(
        [str(BIN / "orchestrator"), "--help"], capture_output=True, text=True, env=tools(), check=True
    )

    offered = set(re.findall(r"^│ ([a-z][a-z-]*) ", listed.stdout, re.M))
    assert named == offered


def test_the_code_of_the_readme_passes_a_strict_type_checker(tmp_path: Path) -> None:
    # Given the code of the README, and what users may write beside it
    for language, text in blocks():
        if language == "python":
            write(text, tmp_path)
    (tmp_path / "more.py").write_text(
        "from orchestrator import Feature, Retries, Task, plan\n\n"
        'tasks = [Task(id="a", tags=["b"], depends_on=["c"], retries=3, estimate="25m", run="echo 1")]\n'
        'tasks += [Task(id="b", tags=("b",), retries=Retries(max=1, backoff="1s"), run=("echo", "1"))]\n'
        'print(plan(Feature(title="a", strategy="dataflow", tasks=tasks)).cap)\n'
    )
    # When a type checker looks, without a plugin
    checked = subprocess.run(
        [str(BIN / "mypy"), "--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", "."],
        cwd=tmp_path, env=tools(), capture_output=True, text=True, timeout=PATIENCE * 3,
    )  # fmt: skip
    # Then it has nothing to say
    assert checked.returncode == 0, checked.stdout + checked.stderr
