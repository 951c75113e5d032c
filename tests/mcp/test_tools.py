"""An agent works through the server, in both eras of the protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp.types import ElicitResult

from orchestrator.testing import InProcessClient
from tests.mcp.conftest import Joins, chain

pytestmark = pytest.mark.anyio


async def test_an_agent_runs_a_feature_and_mends_it(
    join: Joins, orchestrator_client: InProcessClient
) -> None:
    async with join() as agent:
        planned = await agent("plan", feature=chain(10))
        assert planned.splitlines()[1:] == [
            "1: T1", "2: T2 T3 T4 T5 T6 T7 T8 T9", "3: T10", "routes builder: 10 (tag build)"
        ]  # fmt: skip
        feature = await agent("run", plan=planned.split()[1].rstrip(":"))
        orchestrator_client.feature(feature).wait()

        told = await agent("wait", feature=feature, seconds=0)
        assert "T3 failed (code-error): RuntimeError: the compiler does not know T3, 1 behind it → " in told
        assert (
            "decide(action=retry, task=T3) | task(task=T3, part=log) | decide(action=skip, task=T3, note=…)"
            in told
        )
        assert (
            await agent("decide", feature=feature, task="T3", action="retry", attempt=1) == "T3 runs again."
        )
        assert await agent("decide", feature=feature, task="T7", action="retry") == "T7 runs again."
        orchestrator_client.feature(feature).wait()

        assert "completed, batch 3 of 3, 10/10 tasks complete (100%)" in await agent("wait", feature=feature)
        decided = [
            event
            for event in orchestrator_client.feature(feature).events()
            if event.event == "retry_requested"
        ]
        assert [event.by for event in decided] == ["mcp tester 1", "mcp tester 1"]


async def test_a_plan_runs_once(join: Joins) -> None:
    async with join() as agent:
        plan = (await agent("plan", feature=chain(4))).split()[1].rstrip(":")
        first = await agent("run", plan=plan)
        assert await agent("run", plan=plan) == f"{first} (started before)"
        assert await agent("run", plan=plan, key="again") != first
        assert json.loads((await agent.refused("run", plan="none")).partition(": ")[2]) == {
            "error": "no-such-draft",
            "message": "There is no plan none: it is kept for a day.\nPlan the feature again.",
        }


async def test_wait_returns_when_a_batch_ends(join: Joins, orchestrator_client: InProcessClient) -> None:
    async with join() as agent:
        feature = await agent("run", plan=(await agent("plan", feature=chain(4))).split()[1].rstrip(":"))
        cursor = (await agent("wait", feature=feature, seconds=0)).split()[-1]
        while orchestrator_client.feature(feature).progress().batch < 2:
            orchestrator_client.step()
        told = await agent("wait", feature=feature, since=cursor)
        assert "batch 2 of 3, 1/4 tasks complete (25%)" in told
        assert told.split()[-1] != cursor


async def test_status_and_its_parts(join: Joins, orchestrator_client: InProcessClient) -> None:
    async with join() as agent:
        assert await agent("status") == "no features"
        feature = await agent("run", plan=(await agent("plan", feature=chain(10))).split()[1].rstrip(":"))
        orchestrator_client.feature(feature).wait()
        assert feature in await agent("status")
        stopped = (await agent("status", feature=feature, only="stopped")).splitlines()[1:]
        assert [line.split()[:3] for line in stopped] == [
            ["T3", "failed", "Builder"],
            ["T7", "failed", "Builder"],
        ]
        assert (await agent("status", feature=feature, only="all", limit=3)).splitlines()[
            -1
        ] == "and 7 more tasks"
        assert "T10 is in batch 3" in await agent("explain", feature=feature, task="T10")
        assert "the compiler does not know T7" in await agent(
            "task", feature=feature, task="T7", part="outcome"
        )
        assert "characters before" in await agent("task", feature=feature, task="T7", part="log", chars=10)
        assert json.loads(await agent("task", feature=feature, task="T1", part="brief"))["tags"] == ["build"]
        assert "started (attempt 1)" in await agent("task", feature=feature, task="T1", part="events")
        assert await agent("recommend_agent", tags=["build"]) == "builder strong (tag build)"
        assert await agent("recommend_agent", feature=feature, task="T1") == "builder strong (tag build)"


async def test_a_feature_is_steered_and_grows(join: Joins, orchestrator_client: InProcessClient) -> None:
    async with join() as agent:
        feature = await agent("run", plan=(await agent("plan", feature=chain(4))).split()[1].rstrip(":"))
        assert await agent("steer", feature=feature, action="pause") == f"{feature} is paused."
        assert await agent("steer", feature=feature, action="resume") == f"{feature} goes on."
        capped = await agent("steer", feature=feature, action="cap", value="2")
        assert capped == f"At most 2 tasks of {feature} at once."
        added = await agent(
            "grow", feature=feature, tasks=[{"id": "X", "tags": ["build"]}], depend={"T4": ["X"]}
        )
        assert added == "added X"
        assert "T4 waiting" in await agent("status", feature=feature)
        assert orchestrator_client.store.tasks.find(feature, "T4").depends_on == ("T2", "T3", "X")


async def test_errors_are_data_with_the_calls_that_help(join: Joins) -> None:
    async with join() as agent:
        assert json.loads((await agent.refused("status", feature="nope")).partition(": ")[2]) == {
            "error": "no-such-feature",
            "message": "No feature has the id nope. `orchestrator status` lists all features.",
            "calls": ["status()"],
        }
        cyclic = {"title": "x", "tasks": [{"id": "a", "depends_on": ["b"]}, {"id": "b", "depends_on": ["a"]}]}
        found = json.loads((await agent.refused("plan", feature=cyclic)).partition(": ")[2])
        assert found["error"] == "circular-dependency"
        assert "a → b → a" in found["message"]
        assert "remove" in found["message"]


async def test_arguments_that_a_tool_does_not_take_are_named_in_few_words(join: Joins) -> None:
    async with join() as agent:
        bad = {"titel": "x", "tasks": [{"id": "a", "tags": 1}]}
        assert json.loads((await agent.refused("plan", feature=bad)).partition(": ")[2]) == {
            "error": "wrong-usage",
            "message": "feature.title is missing; feature.tasks.0.tags: should be a valid list; "
            "feature.titel is not known here",
        }
        many = {"title": "x", "tasks": [{"no": 1}] * 100}
        assert (await agent.refused("plan", feature=many)).endswith('; and 195 more"}')


async def test_a_number_is_taken_for_a_text(join: Joins) -> None:
    async with join() as agent:
        feature = await agent("run", plan=(await agent("plan", feature=chain(4))).split()[1].rstrip(":"))
        capped = await agent("steer", feature=feature, action="cap", value=2)
        assert capped == f"At most 2 tasks of {feature} at once."


@pytest.mark.parametrize(("agreed", "status"), [(True, "T2 is skipped."), (False, "A person said no")])
async def test_a_person_is_asked(join: Joins, agreed: bool, status: str) -> None:
    asked: list[str] = []

    async def answer(_: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"agreed": agreed})

    async with join(elicitation_callback=answer) as agent:
        feature = await agent("run", plan=(await agent("plan", feature=chain(4))).split()[1].rstrip(":"))
        assert status in await agent("decide", feature=feature, task="T2", action="skip", note="not needed")
        assert asked == [f"An agent wants to skip task T2 of feature {feature}. Agree?"]


async def test_an_agent_cannot_agree_in_a_persons_place(join: Joins) -> None:
    """The agent's own arguments cannot answer. Where its client asks nobody, a person types the command."""
    async with join() as agent:
        feature = await agent("run", plan=(await agent("plan", feature=chain(4))).split()[1].rstrip(":"))
        told = await agent.refused("decide", feature=feature, task="T2", action="skip", note="not needed")
        assert f"A person has to do this: orchestrator skip {feature} T2" in told
        spoofed = await agent.refused(
            "decide", feature=feature, task="T2", action="skip", note="x", approval={"agreed": True}
        )
        assert "skipped" not in spoofed


async def test_a_decision_about_an_older_attempt_is_refused(
    join: Joins, orchestrator_client: InProcessClient
) -> None:
    async with join() as agent:
        feature = await agent("run", plan=(await agent("plan", feature=chain(10))).split()[1].rstrip(":"))
        orchestrator_client.feature(feature).wait()
        orchestrator_client.feature(feature).retry("T3")
        orchestrator_client.feature(feature).wait()
        told = await agent.refused("decide", feature=feature, task="T3", action="retry", attempt=1)
        assert "T3 is at attempt 2, and the decision was about attempt 1." in told


async def test_the_profile_read_changes_nothing(join: Joins) -> None:
    """`--tools read` takes from it all that changes something."""
    async with join("read") as agent:
        tools = (await agent.session.list_tools()).tools
        names = ["status", "task", "explain", "recommend_agent", "usage", "wait"]
        assert [tool.name for tool in tools] == names
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
