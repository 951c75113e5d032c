"""An agent: the SDK's own client, joined to the server in this process, and features that run in this process too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("mcp")

from mcp.client import Client as Session
from mcp.types import Implementation

from orchestrator.config.settings import Settings
from orchestrator.mcp import server
from orchestrator.specialists.context import Context
from orchestrator.testing import InProcessClient, in_memory

FAILS_ONCE = frozenset({"T3", "T7"})


def build(context: Context) -> str:
    """Two tasks fail at their first attempt."""
    if context.task.id in FAILS_ONCE and context.attempt == 1:
        raise RuntimeError(f"the compiler does not know {context.task.id}")
    return f"built {context.task.id}"


def settings() -> Settings:
    """One specialist, who builds."""
    return Settings(
        specialists={"builder": {"python": "tests.mcp.conftest:build", "model_tier": "strong"}},
        specialist_routing={"mapping": {"build": "builder"}},
    )


def no_objection(context: Context) -> bool:
    """A gate that everything passes."""
    return True


def with_agents() -> Settings:
    """The builder, and a reviewer whose tasks agents claim, with a gate."""
    gate = {"name": "tests", "python": "tests.mcp.conftest:no_objection"}
    given = settings()
    return Settings(
        specialists={"builder": given.specialists["builder"], "reviewer": {"agent": {"runtime": "pull"}}},
        specialist_routing={"mapping": {"build": "builder"}},
        quality_gates={"enabled": True, "task_gates": {"completion": [gate]}},
    )


@pytest.fixture
def orchestrator_settings(tmp_path: Any) -> Any:
    return in_memory(settings(), logs=tmp_path / "logs")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Agent:
    """Calls tools, and keeps what each answered."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.said: list[str] = []

    async def __call__(self, tool: str, **given: Any) -> str:
        answer = await self.session.call_tool(tool, given)
        text: str = answer.content[0].text  # type: ignore[union-attr]
        self.said.append(text)
        return text

    async def refused(self, tool: str, **given: Any) -> str:
        """The text of a call that has to fail."""
        answer = await self.session.call_tool(tool, given)
        assert answer.is_error
        return answer.content[0].text  # type: ignore[union-attr]


Joins = Callable[..., Any]


@pytest.fixture(params=["auto", "legacy"])
def join(request: pytest.FixtureRequest, orchestrator_client: InProcessClient) -> Joins:
    """Joins an agent to a server, in the protocol of each era."""

    @asynccontextmanager
    async def joined(profile: Any = "core", **options: Any) -> AsyncIterator[Agent]:
        made = server.make(orchestrator_client, profile)
        options.setdefault("client_info", Implementation(name="tester", version="1"))
        async with Session(made, mode=request.param, **options) as session:
            yield Agent(session)

    return joined


def chain(number: int) -> dict[str, Any]:
    """A feature whose tasks form a diamond: one, many, one."""
    last = f"T{number}"
    middle = [{"id": f"T{n}", "tags": ["build"], "depends_on": ["T1"]} for n in range(2, number)]
    return {
        "title": "Login",
        "tasks": [
            {"id": "T1", "tags": ["build"]},
            *middle,
            {"id": last, "tags": ["build"], "depends_on": [task["id"] for task in middle[:3]]},
        ],
    }
