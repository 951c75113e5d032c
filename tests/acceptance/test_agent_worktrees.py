"""Real workers let the fake agent work in worktrees, which are gated and integrated; conflicts are resolved."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.client.handle import Handle
from orchestrator.model.feature import Feature
from orchestrator.model.task import Task
from tests.acceptance.conftest import MakeProject, Project
from tests.agents.places import fake_runtime, git
from tests.waiting import wait_until

pytestmark = pytest.mark.real

MakeAgents = Callable[..., Project]


@pytest.fixture
def agents(make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeAgents:
    """A project with a repository, in which the fake agent does what its script says."""

    def make(script: dict[str, Any], **sections: Any) -> Project:
        monkeypatch.setenv("FAKE_AGENT_SCRIPT", str(tmp_path / "script.json"))
        monkeypatch.setenv("FAKE_AGENT_HOME", str(tmp_path / "home"))
        (tmp_path / "script.json").write_text(json.dumps(script))
        project = make_project(
            agent_runtimes={"fake": fake_runtime()},
            tiers={"weak": {"fake": "small"}, "strong": {"fake": "large"}},
            specialists={
                "implementation-specialist": {
                    "agent": {"runtime": "fake", "ladder": ["weak", "strong"], "protect": ["judge/**"]}
                },
            },
            **sections,
        )
        git(project.folder, "init", "--quiet", "--initial-branch=main")
        (project.folder / ".gitignore").write_text(".taskorchestrator/\n*.log\n")
        (project.folder / "app.py").write_text("one\ntwo\nthree\n")
        git(project.folder, "add", "--all")
        git(project.folder, "commit", "--quiet", "-m", "first")
        return project

    return make


def a_feature(*tasks: str, **given: Any) -> Feature:
    return Feature(
        id="auth", title="Login", tasks=[Task(id=task, title=f"Do {task}") for task in tasks], **given
    )


def status(handle: Handle, task: str) -> str:
    return next(str(found.status) for found in handle.states() if found.id == task)


def changed(text: str) -> list[Any]:
    return [{"write": {"app.py": f"one\n{text}\nthree\n"}}]


def test_a_conflict_is_resolved_by_its_owner_after_its_gates(agents: MakeAgents, tmp_path: Path) -> None:
    """Both begin from the same commit and change the same line; gates run on both, before and after the conflict."""
    there, second = tmp_path / "there", tmp_path / "second"
    script = {
        "T1": [{"wait_for": str(there)}, *changed("T1"), {"complete": "T1"}],
        "T2#1": [{"record": str(there)}, *changed("T2"), {"wait_for": str(second)}, {"complete": "T2"}],
        "T2": [{"expect_file": {"app.py": "<<<<<<<"}}, *changed("T1 and T2"), {"complete": "both"}],
    }
    check = "import pathlib, sys; sys.exit('<<<<' in pathlib.Path('app.py').read_text())"
    gates = {
        "enabled": True,
        "task_gates": {"testing": [{"hook": "run_tests", "command": [sys.executable, "-c", check]}]},
        "feature_gates": {
            "testing": [{"name": "whole", "command": ["grep", "T1 and T2", "app.py"]}],
        },
    }
    project = agents(script, quality_gates=gates)
    project.start_worker("one", "-c", "2")
    handle = project.enqueue(a_feature("T1", "T2"))
    wait_until(lambda: status(handle, "T1") == "completed")
    second.touch()
    assert handle.wait(timeout=100).status == "completed"
    assert git(project.folder, "show", "to/auth/integration:app.py") == "one\nT1 and T2\nthree"
    assert (project.folder / "app.py").read_text() == "one\ntwo\nthree\n"


def test_work_goes_up_the_ladder_until_its_gate_passes(agents: MakeAgents) -> None:
    script = {
        "T1/small": [{"write": {"b.py": "weak\n"}}, {"complete": "b"}],
        "T1/large": [{"expect": "b.py is weak"}, {"write": {"b.py": "better\n"}}, {"complete": "b"}],
    }
    gates = {
        "enabled": True,
        "task_gates": {"completion": [{"name": "strength", "command": [sys.executable, "-c", JUDGE]}]},
    }
    project = agents(script, quality_gates=gates)
    project.start_worker("one", "-c", "1")
    handle = project.enqueue(a_feature("T1"))
    assert handle.wait(timeout=100).status == "completed"
    assert git(project.folder, "show", "to/auth/integration:b.py") == "better"


JUDGE = """
import pathlib, sys
if pathlib.Path("b.py").read_text() == "weak\\n":
    print("b.py is weak")
    sys.exit(1)
"""


def test_a_killed_worker_process_leaves_no_agent_and_its_conversation_goes_on(
    agents: MakeAgents, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    script = {
        "T1#1": [{"write": {"b.py": "half\n"}}, {"record": str(told)}, "hang"],
        "T1+": [{"expect_file": {"b.py": "half"}}, {"append": {"b.py": "whole\n"}}, {"complete": "went on"}],
        "T1": [{"fail": "it began anew"}],
    }
    project = agents(script)
    first = project.start_worker("one", "-c", "1")
    handle = project.enqueue(a_feature("T1"))
    wait_until(told.exists)
    pid = json.loads(told.read_text())["pid"]
    for process in [*psutil.Process(first.pid).children(), psutil.Process(first.pid)]:
        process.kill()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    project.start_worker("two", "-c", "1")
    assert handle.wait(timeout=100).status == "completed"
    assert git(project.folder, "show", "to/auth/integration:b.py") == "half\nwhole"


def test_a_protected_file_stops_at_a_person(agents: MakeAgents) -> None:
    project = agents({"T1": [{"write": {"judge/test_all.py": "pass\n"}}, {"complete": "x"}]})
    project.start_worker("one", "-c", "1")
    handle = project.enqueue(a_feature("T1"))
    wait_until(lambda: status(handle, "T1") == "blocked")
    assert "judge/test_all.py" in str(project.orchestrator("explain", "auth", "T1").stdout)


def test_agents_start_from_the_base_as_it_was_at_the_enqueue(agents: MakeAgents) -> None:
    project = agents({"T1": [{"write": {"login.py": "1\n"}}, {"complete": "done"}]})
    handle = project.enqueue(a_feature("T1"))
    (project.folder / "later.py").write_text("of somebody else\n")
    git(project.folder, "add", "--all")
    git(project.folder, "commit", "--quiet", "-m", "after the enqueue")
    project.start_worker("w1", "-c", "1")
    assert handle.wait(timeout=120).completed == 1
    files = git(project.folder, "ls-tree", "-r", "--name-only", "to/auth/integration").split()
    assert "login.py" in files
    assert "later.py" not in files
    assert "+++ b/login.py" in project.orchestrator("task", "auth", "T1", "--part", "diff").stdout
