"""An agent at a real `orchestrator mcp`, over stdio and over HTTP, whose features real workers do."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

pytest.importorskip("mcp")

from mcp import Client as Session
from mcp import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.acceptance.conftest import BIN, PATIENCE, MakeProject, Project
from tests.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.anyio]

FAILS_ONCE = """
import os, sys
first = os.environ["ORCHESTRATOR_ATTEMPT"] == "1" and os.environ["ORCHESTRATOR_TASK_ID"] in ("T3", "T7")
print("no compiler" if first else "built")
sys.exit(first)
"""

TASKS = [
    {"id": "T1", "tags": ["build"]},
    *({"id": f"T{number}", "tags": ["build"], "depends_on": ["T1"]} for number in range(2, 10)),
    {"id": "T10", "tags": ["build"], "depends_on": ["T3", "T7"]},
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return make_project(
        specialists={"builder": {"command": [sys.executable, "-c", FAILS_ONCE]}},
        specialist_routing={"mapping": {"build": "builder"}},
    )


@contextlib.contextmanager
def http_server(project: Project) -> Iterator[tuple[str, str]]:
    """`orchestrator mcp --http` at a free port: its address and its token."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = subprocess.Popen(
        [BIN / "orchestrator", "mcp", "--http", f"127.0.0.1:{port}"],
        cwd=project.folder,
        env=project.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        told = re.search(r"(http://\S+), with Authorization: Bearer (\S+)", process.stderr.readline())
        assert told
        _wait_for(port)
        yield told[1], told[2]
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def _wait_for(port: int) -> None:
    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    wait_until(answers)


@contextlib.asynccontextmanager
async def over_stdio(project: Project, mode: Any) -> AsyncIterator[Session]:
    server = StdioServerParameters(
        command=str(BIN / "orchestrator"), args=["mcp"], cwd=project.folder, env=project.environment
    )
    async with Session(server, mode=mode) as session:
        yield session


@contextlib.asynccontextmanager
async def over_http(project: Project, mode: Any) -> AsyncIterator[Session]:
    with http_server(project) as (address, token):
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=PATIENCE) as client,
            Session(streamable_http_client(address, http_client=client), mode=mode) as session,
        ):
            yield session


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("over", [over_stdio, over_http])
async def test_an_agent_runs_ten_tasks_of_which_two_fail_once(project: Project, over: Any, mode: str) -> None:
    project.start_worker("one", "-c", "2")
    async with over(project, mode) as session:

        async def call(tool: str, **given: Any) -> str:
            answer = await session.call_tool(tool, given)
            text: str = answer.content[0].text
            assert not answer.is_error, text
            return text

        plan = await call("plan", feature={"title": "Build", "tasks": TASKS})
        feature = await call("run", plan=plan.split()[1].rstrip(":"))
        told, mended = "", set[str]()
        while ": completed, " not in told:
            cursor = told.rpartition("cursor ")[2]
            told = await call("wait", feature=feature, since=cursor)
            for task in re.findall(r"^(T\d+) failed", told, re.M):
                if task not in mended:
                    assert "no compiler" in await call("task", feature=feature, task=task, part="log")
                    assert (
                        await call("decide", feature=feature, task=task, action="retry")
                        == f"{task} runs again."
                    )
                    mended.add(task)
        assert mended == {"T3", "T7"}
        assert "10/10 tasks complete" in told
    ended = project.orchestrator("status", feature)  # the feature outlives the server
    assert "10/10" in ended.stdout


async def test_http_is_for_who_has_the_token(project: Project) -> None:
    """It asks for a token of each request. Another `Host` or a foreign `Origin` is refused."""
    with http_server(project) as (address, token):
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        accepts = {"accept": "application/json, text/event-stream"}

        def status(**headers: str) -> int:
            return httpx2.post(
                address, json=message, headers={**accepts, **headers}, timeout=PATIENCE
            ).status_code

        assert status() == 401
        assert status(authorization="Bearer wrong") == 401
        assert status(authorization=f"Bearer {token}", host="evil.example") == 421
        assert status(authorization=f"Bearer {token}", origin="http://evil.example") == 403


def test_http_is_served_at_this_machine_alone(project: Project) -> None:
    """The server listens at addresses of this machine alone."""
    ended = project.orchestrator("mcp", "--http", "0.0.0.0:8765")
    assert ended.returncode == 2
    assert "no address of this machine alone" in re.sub(r"[\s│]+", " ", ended.stderr)
