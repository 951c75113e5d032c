"""The tokens that the server costs its callers, counted as language models count (o200k)."""

from __future__ import annotations

import json

import pytest

from orchestrator.testing import InProcessClient
from tests.mcp.conftest import Joins, chain
from tests.tokens import tokens

pytestmark = pytest.mark.anyio

DEFINITIONS = 1_600
WHOLE_RUN = 1_400


async def test_the_definitions_of_all_tools(join: Joins) -> None:
    async with join() as agent:
        tools = (await agent.session.list_tools()).tools
        sent = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
        assert tokens(json.dumps(sent, separators=(",", ":"))) <= DEFINITIONS


@pytest.mark.parametrize("size", [10, 100, 1_000])
async def test_each_answer(join: Joins, orchestrator_client: InProcessClient, size: int) -> None:
    async with join() as agent:
        plan = await agent("plan", feature=chain(size))
        assert tokens(plan) <= 15 * size
        assert tokens(feature := await agent("run", plan=plan.split()[1].rstrip(":"))) <= 20
        assert tokens(await agent("wait", feature=feature, seconds=0)) <= 60
        for _ in range(min(size, 12)):
            orchestrator_client.step()
        assert tokens(await agent("status", feature=feature, only="all")) <= 25 * min(size, 20) + 30
        assert tokens(await agent("explain", feature=feature, task=f"T{size}")) <= 120
        assert tokens(await agent("task", feature=feature, task="T3", part="log")) <= 600
        assert tokens(await agent("decide", feature=feature, task="T3", action="retry")) <= 40
        assert tokens(await agent("steer", feature=feature, action="pause")) <= 40
        assert tokens(await agent("grow", feature=feature, tasks=[{"id": "X", "tags": ["build"]}])) <= 40


async def test_a_whole_run_with_two_failures(join: Joins, orchestrator_client: InProcessClient) -> None:
    """Ten tasks of which two fail once, from the plan to the end: what is written and what is read."""
    async with join() as agent:
        written: list[str] = []

        async def call(tool: str, **given: object) -> str:
            written.append(json.dumps({"name": tool, "arguments": given}, separators=(",", ":")))
            answer: str = await agent(tool, **given)
            return answer

        plan = await call("plan", feature=chain(10))
        feature = await call("run", plan=plan.split()[1].rstrip(":"))
        orchestrator_client.feature(feature).wait()
        await call("wait", feature=feature)
        await call("decide", feature=feature, task="T3", action="retry")
        await call("decide", feature=feature, task="T7", action="retry")
        orchestrator_client.feature(feature).wait()
        assert "10/10" in await call("wait", feature=feature)
        assert sum(map(tokens, [*written, *agent.said])) <= WHOLE_RUN
