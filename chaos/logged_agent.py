#!/usr/bin/env python3
"""The fake agent of the examples, which also writes what it did into a log of its own: the truth about a run.

Each line is one fact, as JSON, appended in one write. What an agent uses, it writes before it tells the worker, so that
the store can never know more than the log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parents[1]))  # it is run as a file

from examples.agents import fake_agent

LOG = "FAKE_AGENT_LOG"
"""The variable that names the log."""


class LoggedAgent(fake_agent.Agent):
    """A run of the fake agent that is written down."""

    def run(self, moves: list[Any]) -> None:
        """Make the moves, between a line for the beginning and one for the end."""
        folder, log = str(Path.cwd()), Path(os.environ[LOG])
        note("begin", folder=folder, born=born(os.getpid()), saw=living(log, folder))
        super().run(moves)

    def end(self, outcome: dict[str, Any] | None, failed: bool = False, **more: Any) -> NoReturn:
        """Write down that it ends, after its last event."""
        try:
            super().end(outcome, failed, **more)
        finally:
            note("end")
        raise AssertionError("it has exited")

    def do_usage(self, given: dict[str, float]) -> None:
        """Make a request, and write down first what it costs."""
        note("used", model=self.model, micro=round(given.get("cost", 0.0) * 1e6))
        super().do_usage(given)

    def do_append(self, files: dict[str, str]) -> None:
        """Write lines, and then write down that they are there."""
        super().do_append(files)
        for path, text in files.items():
            note("wrote", path=path, line=text.rstrip("\n"))

    def do_commit(self, message: str) -> None:
        """Commit, and then write down the commit."""
        super().do_commit(message)
        found = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        note("commit", commit=found.stdout.strip())


def note(fact: str, **more: Any) -> None:
    """Append a fact to the log."""
    line = {
        "fact": fact,
        "time": time.time(),
        "pid": os.getpid(),
        "feature": os.environ.get("ORCHESTRATOR_FEATURE_ID", ""),
        "task": os.environ.get("ORCHESTRATOR_TASK_ID", ""),
        "attempt": int(os.environ.get("ORCHESTRATOR_ATTEMPT", "0")),
        **more,
    }
    file = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, (json.dumps(line) + "\n").encode())
    finally:
        os.close(file)


def living(log: Path, folder: str = "") -> list[int]:
    """The agents of a log that are alive now; those in one folder, if one is named."""
    found = {
        line["pid"]: line["born"]
        for line in read(log)
        if line["fact"] == "begin" and folder in ("", line["folder"])
    }
    return [pid for pid, moment in found.items() if born(pid) == moment]


def born(pid: int) -> str:
    """When a process that runs was started, in ticks since the boot; "" if it does not run (any more)."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]


def read(log: Path) -> list[dict[str, Any]]:
    """The facts in a log."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


if __name__ == "__main__":
    fake_agent.Agent = LoggedAgent  # type: ignore[misc]
    fake_agent.main()
