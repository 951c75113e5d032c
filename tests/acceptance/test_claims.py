"""Agents elsewhere claim tasks of a real Redis: over MCP, in many processes, and as a shell script."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.model.feature import Feature
from orchestrator.model.task import Task
from tests.acceptance.conftest import BIN, MakeProject, Project
from tests.waiting import wait_until

pytestmark = pytest.mark.real

AGENTS = """
import sys, threading
from orchestrator import Client

def work(who):
    with Client() as client:
        while claim := client.claim("reviewer", worker=f"agent-{sys.argv[1]}-{who}"):
            sys.stdout.write(f"{claim.task.id}\\n")
            claim.progress(50)
            claim.complete(claim.task.id)

agents = [threading.Thread(target=work, args=(who,)) for who in range(5)]
for agent in agents: agent.start()
for agent in agents: agent.join()
"""

SHELL = """
while claim=$(orchestrator claim --worker shell); do
  token=$(printf '%s' "$claim" | head -n 1)
  orchestrator report "$token" --note reading --percent 50 --usage '{"model": "m1", "input": 90, "cost": 0.25}'
  orchestrator report "$token" --completed "read by a script" --result '{"files": 3}'
done
"""


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return make_project(
        specialists={
            "reviewer": {"agent": {"runtime": "pull"}},
            "builder": {"command": ["echo", "built"]},
        },
        quality_gates={
            "enabled": True,
            "task_gates": {"completion": [{"name": "check", "command": ["true"], "tags": ["gated"]}]},
        },
    )


def review(name: str, *depends_on: str, **given: Any) -> Task:
    return Task(id=name, specialist="reviewer", depends_on=depends_on, **given)


def test_twenty_agents_in_four_processes_get_each_task_once(project: Project) -> None:
    client = project.client()
    tasks = [review(f"T{number}") for number in range(200)]
    handle = client.enqueue(Feature(title="Reviews", tasks=tasks, max_parallel_tasks=200))
    agents = [
        subprocess.Popen(
            [sys.executable, "-c", AGENTS, str(who)],
            cwd=project.folder,
            env=project.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in range(4)
    ]
    done = [name for agent in agents for name in agent.communicate(timeout=120)[0].split()]
    assert dict(Counter(done)) == {task.id: 1 for task in tasks}
    assert handle.status() == "completed"


def test_a_shell_script_is_an_agent_and_a_worker_runs_the_gates(project: Project) -> None:
    client = project.client()
    handle = client.enqueue(
        Feature(
            title="Login",
            tasks=[
                Task(id="T1", specialist="builder"),
                review("T2", "T1", tags=["gated"]),
                Task(id="T3", specialist="builder", depends_on=["T2"]),
            ],
        )
    )
    project.start_worker("one", "-c", "2")
    wait_until(lambda: handle.states()[1].phase == "launched")
    environment = {**project.environment, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(
        ["sh", "-ec", SHELL],
        cwd=project.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.stdout.split() == ["T2", "is", "in-progress.", "T2", "is", "testing."], ran.stderr
    assert handle.wait(timeout=60).status == "completed"
    assert [(row.name, row.price) for row in client.usage(handle.id).rows] == [("T2", "$0.25")]
    outcome: Any = handle.outcome("T2")
    assert (outcome.summary, outcome.result) == ("read by a script", {"files": 3})
    assert [gate.name for gate in outcome.gates] == ["check"]
    events = [event for event in handle.events() if event.task == "T2"]
    assert [event.event for event in events if event.source] == [
        "work_started",
        "implementation_complete",
        "gates_started",
        "tests_passed",
    ]
    assert events[1].worker == "shell"


def test_json_for_programs(project: Project) -> None:
    handle = project.client().enqueue(Feature(title="Login", tasks=[review("T1", title="Look")]))
    claimed = json.loads(project.orchestrator("claim", "--wait", "5s", "--json").stdout)
    assert (claimed["feature"], claimed["task"], claimed["lease"]) == (handle.id, "T1", 600)
    told = project.orchestrator("report", claimed["claim"], "--failed", "no use", "--json")
    assert json.loads(told.stdout)["status"] == "failed"
    assert json.loads(project.orchestrator("claim", "--json").stdout or "{}") == {}
    late = project.orchestrator("report", claimed["claim"], "--completed", "x", "--json")
    assert (late.returncode, json.loads(late.stdout)["code"]) == (2, "claim-ended")
    both = project.orchestrator("report", claimed["claim"], "--completed", "x", "--released")
    assert both.returncode == 2


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextlib.asynccontextmanager
async def agent(project: Project) -> AsyncIterator[Any]:
    """A client of `orchestrator mcp --tools worker` over stdio."""
    mcp = pytest.importorskip("mcp")
    server = mcp.StdioServerParameters(
        command=str(BIN / "orchestrator"),
        args=["mcp", "--tools", "worker"],
        cwd=project.folder,
        env=project.environment,
    )
    async with mcp.Client(server) as session:
        yield session


@pytest.mark.anyio
async def test_over_stdio_while_another_agent_waits(project: Project) -> None:
    client = project.client()
    handle = client.enqueue(Feature(title="Login", tasks=[review("T1"), review("T2")]))

    async def call(session: Any, tool: str, **given: Any) -> str:
        answer = await session.call_tool(tool, given)
        assert not answer.is_error, answer.content[0].text
        return str(answer.content[0].text)

    async with agent(project) as one, agent(project) as two:
        claims = [(await call(who, "claim", wait=10)).split()[1].rstrip(",") for who in (one, two)]
        assert [claim.split(":")[1] for claim in claims] == ["T1", "T2"]
        names = {state.worker for state in handle.states()}
        assert len(names) == 2
        for who, claim in zip((one, two), claims, strict=True):
            await call(who, "report", claim=claim, outcome={"status": "completed", "summary": "fine"})
        assert await call(one, "claim", wait=0) == "no task"
    assert handle.status() == "completed"
