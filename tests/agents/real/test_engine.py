"""Real workers do a feature by a real program. One is killed in the midst, and the agent's conversation goes on."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest

from orchestrator.model.feature import Feature
from tests.acceptance.conftest import open_project
from tests.agents.places import git
from tests.agents.real.answers import Answer, Tokens
from tests.agents.real.cases import SILENT, WRITES
from tests.agents.real.lab import keeps
from tests.agents.real.needs import real_programs
from tests.agents.real.programs import CLAUDE
from tests.agents.real.stub import Stub
from tests.agents.real.test_specialists import OUTCOME
from tests.waiting import wait_until

pytestmark = [*real_programs, pytest.mark.real]

TELLS = Answer(result=OUTCOME, usage=Tokens(50, 1_700, 0, 40))
READS = Answer(run="cat greet.py", usage=Tokens(100, 1_600, 0, 20))

FEATURE = {
    "title": "Greeting",
    "tasks": [
        {"id": "T1", "title": "Write greet.py", "tags": ["code"]},
        {"id": "T2", "title": "Read it", "tags": ["code"], "depends_on": ["T1"]},
    ],
}


def test_a_feature_outlives_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is killed while the model thinks. Another one goes on where it stood; T2 has the work of T1."""
    script = [WRITES, SILENT, TELLS, READS, TELLS]
    with tempfile.TemporaryDirectory(prefix="a-") as name, Stub(script) as stub:
        folder = Path(name)
        home = folder / "home"
        home.mkdir()
        for variable, value in CLAUDE.settle(home, stub.url).items():
            monkeypatch.setenv(variable, value)
        agent = {"runtime": "claude", "tools": {"allow": ["Edit", "Bash(echo *)"]}}
        with open_project(
            folder,
            specialists={"coder": {"agent": agent, "model_tier": "one", "budget": {"cost": 1}}},
            specialist_routing={"mapping": {"code": "coder"}},
            tiers={"one": {"claude": CLAUDE.model}},
        ) as project:
            git(project.folder, "init", "--quiet", "--initial-branch=main")
            (project.folder / ".gitignore").write_text(".taskorchestrator/\n*.log\n")
            git(project.folder, "add", "--all")
            git(project.folder, "commit", "--quiet", "-m", "first")
            first = project.start_worker("one", "-c", "1")
            handle = project.enqueue(Feature.model_validate(FEATURE))
            wait_until(lambda: len(stub.asked) == 2)
            wait_until(lambda: keeps(home, "print('hello')"))
            os.killpg(first.pid, signal.SIGKILL)
            project.start_worker("two", "-c", "1")
            summary = handle.wait(120)
            assert summary.status == "completed", project.orchestrator("status", handle.id).stdout
            assert stub.asked[2].says("You were interrupted")
            assert stub.asked[2].says("print('hello')"), "the conversation has what it wrote"
            assert stub.asked[4].says("print('hello')"), "T2 has the work of T1"
            shown = git(project.folder, "show", f"to/{handle.id}/integration:greet.py")
            assert "hello" in shown
