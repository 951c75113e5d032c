"""An agent elsewhere does tasks through the profile `worker`, in both eras of the protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("mcp")

from orchestrator.client.handle import Handle
from orchestrator.config.settings import Settings
from orchestrator.model.feature import Feature
from orchestrator.model.task import Task
from orchestrator.testing import InProcessClient, in_memory
from tests.mcp.conftest import Joins
from tests.tokens import tokens

pytestmark = pytest.mark.anyio

DEFINITIONS = 450
CLAIMED = 1_500


@pytest.fixture
def orchestrator_settings(tmp_path: Any) -> Any:
    specialists = {
        "reviewer": {"agent": {"runtime": "pull"}},
        "builder": {"python": "tests.mcp.conftest:build"},
    }
    return in_memory(Settings(specialists=specialists), logs=tmp_path / "logs")


def enqueue(client: InProcessClient, **given: Any) -> Handle:
    """Two reviews, one after the other."""
    first = Task(id="T1", specialist="reviewer", title="Review the form", **given)
    return client.enqueue(
        Feature(title="Login", tasks=[first, Task(id="T2", specialist="reviewer", depends_on=["T1"])])
    )


def claim_of(answer: str) -> str:
    return answer.split()[1].rstrip(",")


def data(refused: str) -> Any:
    return json.loads(refused.partition(": ")[2])


async def test_the_profile_has_two_small_tools(join: Joins) -> None:
    """An agent that does tasks has two tools alone, `claim` and `report`."""
    async with join("worker") as agent:
        tools = (await agent.session.list_tools()).tools
        assert [tool.name for tool in tools] == ["claim", "report"]
        sent = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
        assert tokens(json.dumps(sent, separators=(",", ":"))) <= DEFINITIONS


async def test_an_agent_does_two_tasks(join: Joins, orchestrator_client: InProcessClient) -> None:
    handle = enqueue(orchestrator_client, description="Look for missing checks.", params={"path": "form.py"})
    async with join("worker") as agent:
        told = await agent("claim", wait=0)
        claim = claim_of(told)
        assert told.splitlines()[:2] == [
            f"claim {claim}, attempt 1, lease 10m",
            "# Task T1: Review the form",
        ]
        assert "Look for missing checks." in told
        assert '{"path": "form.py"}' in told
        assert "ORCHESTRATOR_OUTCOME_FILE" not in told
        assert await agent("report", claim=claim, progress="reading", percent=50) == "yours for 10m"
        state = handle.states()[0]
        assert (state.worker.rpartition("/")[0], state.note) == ("mcp:tester", "reading")
        done = {"status": "completed", "summary": "no objections", "handoff": "see form.py"}
        assert await agent("report", claim=claim, outcome=done) == "T1 is completed"

        told = await agent("claim", specialist="reviewer", feature=handle.id)
        assert "- T1: no objections\n  see form.py" in told
        await agent("report", claim=claim_of(told), outcome={"status": "completed"})
        assert await agent("claim", wait=0) == "no task"
    assert handle.status() == "completed"
    started = [event for event in handle.events() if event.event == "work_started"]
    assert [event.worker.partition("/")[0] for event in started] == ["mcp:tester", "mcp:tester"]


async def test_what_an_agent_cannot_do_goes_to_a_person_or_to_another(
    join: Joins, orchestrator_client: InProcessClient
) -> None:
    handle = enqueue(orchestrator_client)
    async with join("worker") as agent:
        claim = claim_of(await agent("claim", wait=0))
        assert await agent("report", claim=claim, outcome={"status": "released"}) == "released"
        claim = claim_of(await agent("claim", wait=0))
        refused = data(await agent.refused("report", claim=claim, outcome={"status": "blocked"}))
        assert refused["error"] == "bad-outcome"
        assert "needs a reason" in refused["message"]
        blocked = {"status": "blocked", "reason": "no URL", "kind": "missing-information"}
        assert await agent("report", claim=claim, outcome=blocked) == "T1 is blocked"
    outcome: Any = handle.outcome("T1")
    assert (outcome.reason, outcome.kind, handle.states()[0].attempt) == ("no URL", "missing-information", 2)


async def test_an_agent_reports_what_it_uses(join: Joins, orchestrator_client: InProcessClient) -> None:
    """Sums since the claim: a report twice counts once. A budget that is used up is told, and a person raises it."""
    handle = enqueue(orchestrator_client)
    handle.set_budget(1)
    async with join("worker") as agent:
        claim = claim_of(await agent("claim", wait=0))
        used = {"model": "m1", "input": 900, "output": 100, "requests": 2, "cost": 0.25}
        for _ in range(2):
            assert await agent("report", claim=claim, usage=used) == "yours for 10m, $0.75 left"
        assert orchestrator_client.usage(handle.id).total.price == "$0.25"
        told = await agent("report", claim=claim, usage={**used, "cost": 1.1})
        assert told == "the budget is used up: end with blocked, kind budget"
        over = {"status": "blocked", "reason": "half of it is read", "kind": "budget"}
        assert await agent("report", claim=claim, outcome=over) == "T1 is blocked"
        assert await agent("claim", wait=0) == "no task"
        handle.set_budget("+1")
        again = claim_of(await agent("claim", wait=0))
        assert await agent("report", claim=again, usage={**used, "cost": 0.1}) == "yours for 10m, $0.80 left"


async def test_a_task_that_cannot_be_paid_is_given_to_nobody(
    join: Joins, orchestrator_client: InProcessClient
) -> None:
    handle = enqueue(orchestrator_client)
    handle.set_budget(0.5)
    async with join("worker") as agent:
        claim = claim_of(await agent("claim", wait=0))
        await agent(
            "report", claim=claim, usage={"model": "m1", "cost": 0.5}, outcome={"status": "completed"}
        )
        assert await agent("claim", wait=0) == "no task"
    outcome: Any = handle.outcome("T2")
    assert (outcome.status, outcome.kind, outcome.budget) == ("blocked", "budget", "feature")
    assert handle.states()[0].cost == 0.5


async def test_a_claim_that_has_ended_says_so_and_what_to_do(
    join: Joins, orchestrator_client: InProcessClient
) -> None:
    handle = enqueue(orchestrator_client)
    async with join("worker") as agent:
        claim = claim_of(await agent("claim", wait=0))
        handle.cancel_task("T1")
        refused = data(await agent.refused("report", claim=claim, progress="on it"))
        assert (refused["error"], refused["calls"]) == ("claim-ended", ["claim()"])
        assert "the task is cancelled" in refused["message"]
        assert data(await agent.refused("report", claim="x"))["error"] == "no-such-claim"
        assert data(await agent.refused("claim", specialist="builder"))["error"] == "not-claimed"
        assert data(await agent.refused("claim", feature="none"))["error"] == "no-such-feature"


async def test_a_large_task_costs_little(join: Joins, orchestrator_client: InProcessClient) -> None:
    enqueue(orchestrator_client, description="Look at this line, and then at the next. " * 400)
    async with join("worker") as agent:
        assert tokens(await agent("claim", wait=0)) <= CLAIMED


async def test_explain_says_what_such_a_task_waits_for(
    join: Joins, orchestrator_client: InProcessClient
) -> None:
    handle = enqueue(orchestrator_client)
    async with join() as agent:
        told = await agent("explain", feature=handle.id, task="T1")
        assert "waits for an agent that claims it (orchestrator mcp --tools worker)" in told


async def test_usage_that_is_nonsense_is_refused_and_changes_nothing(
    join: Joins, orchestrator_client: InProcessClient
) -> None:
    handle = enqueue(orchestrator_client)
    async with join("worker") as agent:
        claim = claim_of(await agent("claim", wait=0))
        for name, number in (("input", 10**18), ("input", -9), ("cost", 1e300)):
            refused = data(await agent.refused("report", claim=claim, usage={"model": "m", name: number}))
            assert refused["error"] == "wrong-usage"
            assert refused["message"].startswith(f"{name}: should be ")
    assert orchestrator_client.usage(handle.id).total.input == 0
