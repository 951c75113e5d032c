"""The server beside its tools: a feature as JSON, news of it, progress, prompts, the names of the guide."""

from __future__ import annotations

import json
import warnings
from typing import Any

import anyio
import pytest

from orchestrator.testing import InProcessClient
from tests.mcp.conftest import Agent, Joins, chain
from tests.tokens import tokens

pytestmark = pytest.mark.anyio


async def started(agent: Agent, size: int = 4) -> str:
    plan = await agent("plan", feature=chain(size))
    return await agent("run", plan=plan.split()[1].rstrip(":"))


async def test_a_feature_as_json(join: Joins, orchestrator_client: InProcessClient) -> None:
    async with join() as agent:
        feature = await started(agent)
        orchestrator_client.feature(feature).wait()
        (content,) = (await agent.session.read_resource(f"feature://{feature}")).contents
        found = json.loads(content.text)
        assert found["feature"] == feature
        assert {task["task"]: task["status"] for task in found["tasks"]}["T3"] == "failed"
        (template,) = (await agent.session.list_resource_templates()).resource_templates
        assert template.uri_template == "feature://{id}"
        with pytest.raises(Exception, match="no-such-feature"):
            await agent.session.read_resource("feature://nope")


async def test_who_follows_a_feature_hears_of_a_change(join: Joins) -> None:
    heard = anyio.Event()
    addresses: list[str] = []

    async def listen(message: Any) -> None:
        if getattr(message, "method", "") == "notifications/resources/updated":
            addresses.append(str(message.params.uri))
            heard.set()

    async with join(message_handler=listen) as agent:
        feature = await started(agent)
        address = f"feature://{feature}"
        with anyio.fail_after(30):
            if agent.session.protocol_version >= "2026":
                async with agent.session.listen(resource_subscriptions=[address]) as followed:
                    await agent("steer", feature=feature, action="pause")
                    async for event in followed:
                        addresses.append(event.uri)
                        break
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    await agent.session.subscribe_resource(address)
                await agent("steer", feature=feature, action="pause")
                await heard.wait()
        assert set(addresses) == {address}


async def test_wait_says_how_long_it_has_waited(join: Joins) -> None:
    said: list[str | None] = []

    async def progress(_: float, __: float | None, message: str | None) -> None:
        said.append(message)

    async with join() as agent:
        feature = await started(agent)
        await agent.session.call_tool("wait", {"feature": feature, "seconds": 3}, progress_callback=progress)
        assert said
        assert all(message and message.startswith(f"{feature}: ") for message in said)


async def test_the_prompts(join: Joins, orchestrator_client: InProcessClient) -> None:
    async with join() as agent:
        feature = await started(agent)
        orchestrator_client.feature(feature).wait()
        prompts = (await agent.session.list_prompts()).prompts
        assert [prompt.name for prompt in prompts] == ["plan_feature", "unblock"]

        async def text(name: str, **given: str) -> str:
            answer = await agent.session.get_prompt(name, given)
            found: str = answer.messages[0].content.text
            return found

        assert "build → builder" in await text("plan_feature", goal="a login page")
        unblock = await text("unblock", feature=feature)
        assert "T3 failed (code-error)" in unblock
        assert "decide(action=retry, task=T3)" in unblock
        assert "no-such-feature" in await text("unblock", feature="nope")


async def test_the_guides_names(join: Joins, orchestrator_client: InProcessClient) -> None:
    async with join("guide") as agent:
        feature = await started(agent, 10)
        orchestrator_client.feature(feature).wait()

        overview = await agent("query_container", operation="overview", containerType="feature", id=feature)
        assert overview == await agent("status", feature=feature, only="all")
        assert tokens(overview) <= 280
        failed = await agent(
            "query_container", operation="search", containerType="task", featureId=feature, status="failed"
        )
        assert [line.split()[0] for line in failed.splitlines()[1:]] == ["T3", "T7"]
        brief = await agent(
            "query_container", operation="get", containerType="task", id="T2", featureId=feature
        )
        assert json.loads(brief)["depends_on"] == ["T1"]
        assert "Give featureId" in await agent.refused(
            "query_container", operation="get", containerType="task", id="T2"
        )
        found = await agent("query_dependencies", featureId=feature, taskId="T2", includeTaskInfo=True)
        assert found.splitlines()[:2] == ["incoming: T1", "outgoing: T10"]
        assert [line.split()[:2] for line in found.splitlines()[2:]] == [
            ["T1", "completed"],
            ["T10", "waiting"],
        ]


async def test_an_agent_cannot_cancel_a_feature_by_itself(join: Joins) -> None:
    async with join() as agent:
        feature = await started(agent)
        told = await agent.refused("steer", feature=feature, action="cancel")
        assert f"A person has to do this: orchestrator cancel {feature}" in told
