"""The agents of examples/agents build their program, as `make run-agents` lets them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from orchestrator.client.handle import Handle
from orchestrator.model.feature import FeatureStatus
from tests.acceptance.conftest import MakeProject, Project, all_events
from tests.acceptance.test_recovery import ALONE, is_ready
from tests.agents.places import fake_runtime, git
from tests.waiting import wait_until

pytestmark = pytest.mark.real

EXAMPLE = Path(__file__).parents[2] / "examples" / "agents"


def test_agents_build_a_program(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLE / "run.py"), str(tmp_path)], capture_output=True, text=True, timeout=600
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for told in (
        "the gate run_tests did not pass",
        "goes to the tier strong",
        "conflict with the work of others: wordcount.py",
        "the gate review did not pass: the example says 2 words",
        "4/4 tasks",
        "$0.10",
        "4 words; ten comes 2 times",
    ):
        assert told in ran.stdout


@pytest.fixture
def project(make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project of the example, in which the first agent waits in the midst of its work for the file `go`."""
    sections: dict[str, Any] = yaml.safe_load((EXAMPLE / "config.yaml").read_text("utf-8"))
    project = make_project(
        agent_runtimes={"fake": fake_runtime()},
        recovery={"lease": "2s", "sweep": "200ms", "patience": "2s"},
        **sections,
    )
    shutil.copytree(EXAMPLE / "project", project.folder, dirs_exist_ok=True)
    (project.folder / ".gitignore").write_text(".taskorchestrator/\n*.log\n")
    git(project.folder, "init", "--quiet", "--initial-branch=main")
    git(project.folder, "add", "--all")
    git(project.folder, "commit", "--quiet", "-m", "first")
    script = json.loads((EXAMPLE / "script.json").read_text("utf-8"))
    usage, write, *rest = script["counting/small"]
    waits = [{"record": str(tmp_path / "agent")}, {"wait_for": str(tmp_path / "go")}]
    script["counting/small"] = [usage, write, *waits, *rest]
    (tmp_path / "script.json").write_text(json.dumps(script))
    monkeypatch.setenv("FAKE_AGENT_SCRIPT", str(tmp_path / "script.json"))
    monkeypatch.setenv("FAKE_AGENT_HOME", str(tmp_path / "conversations"))
    return project


def enqueue(project: Project) -> Handle:
    """Enqueue the feature of the example."""
    told = project.orchestrator("enqueue", str(EXAMPLE / "feature.yaml"), "--json").stdout
    return project.client().feature(json.loads(told)["feature"])


def test_a_worker_that_is_killed_in_the_midst_of_it_changes_nothing(project: Project, tmp_path: Path) -> None:
    """Its agent ends with it; the next one goes on with the conversation, in the same worktree."""
    handle = enqueue(project)
    worker = project.start_worker("w1", "-c", "2", *ALONE)
    agent = tmp_path / "agent"
    wait_until(agent.exists)
    first = json.loads(agent.read_text())
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    wait_until(lambda: not psutil.pid_exists(first["pid"]))
    agent.unlink()
    (tmp_path / "go").touch()

    project.start_worker("w2", "-c", "2", *ALONE)
    wait_until(lambda: is_ready(project, "w2"))
    assert handle.wait(timeout=240).status is FeatureStatus.COMPLETED
    assert [event.task for event in all_events(handle) if event.event == "worker_lost"] == ["counting"]
    second = json.loads(agent.read_text())
    assert (second["session"], second["folder"]) == (first["session"], first["folder"])
    assert second["is_resumed"]
    git(project.folder, "merge", "--quiet", "--ff-only", f"to/{handle.id}/integration")
    said = subprocess.run(
        [sys.executable, "wordcount.py"],
        cwd=project.folder,
        input="Ten green bottles. Ten!",
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "4 words; ten comes 2 times"
