"""Settings, repositories and contexts for tests in which the fake agent works, as a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestrator.config.settings import Settings
from orchestrator.model.agent_history import AgentSession
from orchestrator.model.task import Task
from orchestrator.model.usage import NO_BUDGET, Usage, UsageVerdict
from orchestrator.specialists import Context
from tests.specialists.contexts import a_context

FAKE = Path(__file__).parents[2] / "examples" / "agents" / "fake_agent.py"


def fake_runtime() -> dict[str, Any]:
    """The description of the fake agent, with the whole path of its program."""
    found = yaml.safe_load(FAKE.with_suffix(".yaml").read_text("utf-8"))
    for name in ("command", "resume"):
        found[name] = [sys.executable, "-S", str(FAKE), *found[name][1:]]
    return dict(found)


def git(folder: Path, *words: str) -> str:
    """What a git command prints."""
    author = ["-c", "user.name=Tester", "-c", "user.email=tester@localhost"]
    done = subprocess.run(["git", *author, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def a_repository(folder: Path) -> Path:
    """A repository with a commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / ".gitignore").write_text(".taskorchestrator/\n")
    (folder / "app.py").write_text("one\ntwo\nthree\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


@dataclass
class Store:
    """Keeps what an attempt reports, as the store does."""

    sessions: list[AgentSession] = field(default_factory=list)
    usages: list[tuple[Usage, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verdict: UsageVerdict = NO_BUDGET
    is_cancelled: bool = False

    def report_usage(self, usages: Any) -> UsageVerdict:
        """Keep a report of usage."""
        self.usages.append(tuple(usages))
        return self.verdict

    def progress(self, percent: float | None = None, note: str = "") -> None:
        """Keep a note of progress."""
        self.notes.append(note)


@dataclass
class Place:
    """A project in which the fake agent works.

    Args:
        folder: A folder for everything.
        agent: Settings of the agent.
        more: Further settings.
    """

    folder: Path
    agent: dict[str, Any] = field(default_factory=dict)
    specialist: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)
    store: Store = field(default_factory=Store)

    def __post_init__(self) -> None:
        self.project = self.folder / "project"
        if not self.project.exists():
            a_repository(self.project)
            (self.project / ".taskorchestrator").mkdir(mode=0o700)
        self.script = self.folder / "script.json"

    @property
    def settings(self) -> Settings:
        """The settings of the project."""
        specialists = {
            "coder": {"agent": {"runtime": "fake", "workspace": "none", **self.agent}, **self.specialist},
            **self.more.get("specialists", {}),
        }
        given = {name: value for name, value in self.more.items() if name != "specialists"}
        runtimes = {"fake": {**fake_runtime(), **self.runtime}}
        settings = Settings(
            specialists=specialists,
            agent_runtimes=runtimes,
            **{"tiers": {"weak": {"fake": "small"}, "strong": {"fake": "large"}}, **given},
        )
        settings._start = self.project
        return settings

    def writes(self, script: dict[str, Any] | list[Any]) -> Place:
        """Give the agent its moves."""
        self.script.write_text(json.dumps(script if isinstance(script, dict) else {"*": script}))
        return self

    def context(self, task: str = "T1", attempt: int = 1, **given: Any) -> Context:
        """A context of an attempt."""
        facts = {
            "specialist": "coder",
            "attempt": attempt,
            "workdir": self.folder / "work" / f"{task}.{attempt}",
            "log_file": self.folder / "logs" / f"{task}.{attempt}.log",
            "report_usage": self.store.report_usage,
            "save_session": self.store.sessions.append,
            "progress": self.store.progress,
            "is_cancelled": lambda: self.store.is_cancelled,
            **given,
        }
        return a_context(self.folder, Task(id=task, title="Write it", description="Make it work."), **facts)
