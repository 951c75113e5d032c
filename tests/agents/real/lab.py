"""A project in which a real program is a specialist, whose model is the stub."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator import agents
from orchestrator.config.settings import Settings
from orchestrator.model.outcome import Outcome
from orchestrator.model.task import Task
from orchestrator.specialists import Context
from tests.agents.places import Store, a_repository
from tests.agents.real.programs import Program
from tests.agents.real.stub import Stub
from tests.specialists.contexts import a_context

ALLOW = {
    "claude": ("Edit", "Bash(echo *)"),
    "codex": (),
    "gemini": ("run_shell_command(echo)",),
    "opencode": (),
}
"""What each program may do, beside what it may do anyway."""


@dataclass
class Lab:
    """One project, one program, one stub.

    Args:
        program: The program.
        folder: A folder for everything.
        stub: The model.
        patch: Sets the variables of the worker's environment.
        specialist: Further settings of the specialist.
        idle: Its idle_timeout, in seconds.
    """

    program: Program
    folder: Path
    stub: Stub
    patch: pytest.MonkeyPatch
    specialist: dict[str, Any] = field(default_factory=dict)
    idle: float = 60.0
    store: Store = field(default_factory=Store)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.home.mkdir()
        for name, value in self.program.settle(self.home, self.stub.url).items():
            self.patch.setenv(name, value)
        self.project = a_repository(self.folder / "project")

    @property
    def settings(self) -> Settings:
        """The settings of the project."""
        model = self.program.model
        settings = Settings(
            specialists={"coder": self.coder},
            tiers={"one": {self.program.name: model}},
            prices={model: {"input": 1.25, "cache_read": 0.125, "output": 10}},
        )
        settings._start = self.project
        return settings

    @property
    def coder(self) -> dict[str, Any]:
        """The settings of the specialist."""
        tools = {"allow": list(ALLOW[self.program.name])}
        agent = {"runtime": self.program.name, "workspace": "none", "tools": tools, "idle_timeout": self.idle}
        return {
            "agent": agent,
            "model_tier": "one",
            **self.specialist,
        }

    def context(self, attempt: int = 1, **given: Any) -> Context:
        """A context of an attempt."""
        facts = {
            "specialist": "coder",
            "attempt": attempt,
            "workdir": self.folder / "work" / f"T1.{attempt}",
            "log_file": self.folder / "logs" / f"T1.{attempt}.log",
            "report_usage": self.store.report_usage,
            "save_session": self.store.sessions.append,
            "progress": self.store.progress,
            "is_cancelled": lambda: self.store.is_cancelled,
            **given,
        }
        task = Task(id="T1", title="Greet", description="Write greet.py.")
        return a_context(self.folder, task, **facts)

    def perform(self, attempt: int = 1, **given: Any) -> Outcome:
        """The outcome of an attempt by the real program."""
        return agents.perform(self.context(attempt, **given), self.settings)

    def processes(self) -> list[psutil.Process]:
        """The processes of the program that run."""
        return [each for each in psutil.process_iter() if _home_of(each) == str(self.home)]


def _home_of(process: psutil.Process) -> str:
    try:
        is_ours = process.exe() == os.path.realpath(sys.executable)
        return "" if is_ours else str(process.environ().get("HOME", ""))
    except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def keeps(home: Path, text: str) -> bool:
    """A program has written the text into its home: it is part of a conversation that it can go on with."""
    files = [file for file in home.rglob("*") if file.is_file()]
    return any(text.encode() in file.read_bytes() for file in files)
