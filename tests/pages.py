"""Pages as a reader uses them: writes their files, types their commands, and compares what is printed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.local.processes import stop
from tests.acceptance.conftest import BIN, PATIENCE, tools

__all__ = ["BIN", "PATIENCE", "Command", "blocks", "commands", "follow", "tools", "write"]


@dataclass
class Command:
    """A command of a page, with the lines that it prints and its exit code."""

    line: str
    printed: list[str] = field(default_factory=list)
    exit_code: int = 0


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The language and the text of each fenced block."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S):
        yield match.group(1), match.group(2)


def commands(text: str) -> list[Command]:
    """The commands of a console block.

    Example:
        >>> commands("$ false\\n(exit code 1)\\n")
        [Command(line='false', printed=[], exit_code=1)]
    """
    found: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line.removeprefix("$ ")))
        elif code := re.fullmatch(r"\(exit code (\d+)\)", line):
            found[-1].exit_code = int(code[1])
        else:
            found[-1].printed.append(line)
    return found


def follow(page: Path, folder: Path, stack: ExitStack) -> None:
    """Do everything that a page says, in its order, in a folder."""
    for language, text in blocks(page):
        if language == "console":
            for command in commands(text):
                _run(command, folder, stack)
        else:
            write(text, folder)


def write(text: str, folder: Path) -> None:
    """Write a file whose name is in the first line."""
    name = re.match(r"# (\S+)\n", text)
    assert name, f"the block does not begin with a file name: {text[:60]!r}"
    file = folder / name.group(1)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def _run(command: Command, folder: Path, stack: ExitStack) -> None:
    """Run a command to its end, or, with & at its end, until the test ends."""
    if command.line.endswith("&"):
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command.line.removesuffix('&')}"],
            cwd=folder,
            env=tools(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        stack.callback(stop, process)
        return
    done = subprocess.run(
        ["/bin/sh", "-c", command.line], cwd=folder, env=tools(), capture_output=True, text=True, timeout=PATIENCE
    )  # fmt: skip
    story = f"$ {command.line}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == command.exit_code, story
    said = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines()]
    for line in command.printed:
        pattern = ".*".join(re.escape(part) for part in line.strip().split("…"))
        assert any(re.fullmatch(pattern, one) for one in said), f"{line!r} was not printed\n{story}"
