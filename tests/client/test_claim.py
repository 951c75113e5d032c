"""An agent elsewhere claims a task, reports on it and ends it; what it reports too late changes nothing."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.client.claim import Claim
from orchestrator.client.handle import Handle
from orchestrator.config.settings import Settings
from orchestrator.model import errors
from orchestrator.model.feature import Feature
from orchestrator.model.task import Task
from orchestrator.specialists.context import Context
from orchestrator.testing import InProcessClient, in_memory, open_client

JUDGED: list[str] = []
"""What the gate below has seen."""

AGENT: dict[str, Any] = {"reviewer": {"agent": {"runtime": "pull"}}}
GATES: dict[str, Any] = {
    "enabled": True,
    "task_gates": {"completion": [{"name": "check", "python": "tests.client.test_claim:check"}]},
}


def check(context: Context) -> bool:
    """A gate: the task T2 does not pass it at its first attempt."""
    JUDGED.append(context.task.id)
    return context.task.id != "T2" or context.attempt > 2


def build(context: Context) -> str:
    return f"built {context.task.id}"


def settings(tmp_path: Path, **given: Any) -> Settings:
    specialists = {**AGENT, "builder": {"python": "tests.client.test_claim:build"}}
    return in_memory(Settings(**{"specialists": specialists, **given}), logs=tmp_path / "logs")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[InProcessClient]:
    with open_client(settings(tmp_path)) as opened:
        yield opened


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[InProcessClient]:
    JUDGED.clear()
    with open_client(settings(tmp_path, quality_gates=GATES)) as opened:
        yield opened


def enqueue(client: InProcessClient, *tasks: Task, **given: Any) -> Handle:
    return client.enqueue(Feature(title="Login", tasks=tasks or (review("T1"),), **given))


def review(name: str, *depends_on: str, **given: Any) -> Task:
    return Task(id=name, specialist="reviewer", depends_on=depends_on, **given)


def claim(client: InProcessClient, **given: Any) -> Claim:
    found = client.claim(**given)
    assert found is not None
    return found


def test_an_agent_does_a_task(client: InProcessClient) -> None:
    handle = enqueue(client, review("T1", title="Look"))
    mine = claim(client, worker="tester")
    assert (mine.task.id, mine.attempt, mine.specialist) == ("T1", 1, "reviewer")
    mine.progress(40, "half way")
    state = handle.states()[0]
    assert (state.worker, state.percent, state.note) == ("tester", 40, "half way")
    assert mine.complete("no objections", result={"files": 3}, handoff="see api.py") == "completed"
    outcome: Any = handle.outcome("T1")
    assert (outcome.summary, outcome.result, outcome.handoff) == (
        "no objections",
        {"files": 3},
        "see api.py",
    )
    assert handle.status() == "completed"
    assert client.claim() is None


def test_a_claim_is_a_text_that_any_process_goes_on_with(client: InProcessClient) -> None:
    handle = enqueue(client)
    token = claim(client).token
    assert re.fullmatch(rf"{handle.id}:T1:1:[0-9a-f]{{12}}", token)
    assert client.claimed(token).complete("done") == "completed"


@pytest.mark.parametrize(
    "token", ["", "x", "a:b:1", "auth:T1:1:0f3a9c5e71d", "nobody:T1:1:0f3a9c5e71dz", "~:T1:1:0f3a9c5e71d2"]
)
def test_another_text_is_refused(client: InProcessClient, token: str) -> None:
    with pytest.raises(errors.NoSuchClaim):
        client.claimed(token)


def test_a_claim_with_another_end_is_refused_and_changes_nothing(client: InProcessClient) -> None:
    """An agent reports on what it has claimed: a claim ends in twelve random signs; with another end it is refused, and
    nothing is changed."""
    handle = enqueue(client)
    token = claim(client).token
    forged = token[:-1] + ("0" if token[-1] != "0" else "1")
    with pytest.raises(errors.ClaimEnded):
        client.claimed(forged)
    assert handle.states()[0].status == "in-progress"


def lose(client: InProcessClient, handle: Handle) -> None:
    """The lease of the agent ends."""
    slots, redis = client.store.keys.feature(handle.id).slots, cast("Any", client.store.client)
    redis.zadd(slots, dict.fromkeys(redis.zrange(slots, 0, -1), 1))
    client.store.recovery.recover(handle.id, losses=2, patience=60)


def test_a_late_report_says_who_has_the_task_and_changes_nothing(client: InProcessClient) -> None:
    handle = enqueue(client)
    late = claim(client, worker="first")
    lose(client, handle)
    with pytest.raises(errors.ClaimEnded, match="its lease ran out"):
        late.progress(90)
    other = claim(client, worker="second")
    assert other.attempt == 2
    with pytest.raises(errors.ClaimEnded, match=r"second has the task since \d\d:\d\d \(attempt 2\)"):
        late.complete("mine")
    assert handle.states()[0].worker == "second"
    assert other.complete("ours") == "completed"
    with pytest.raises(errors.ClaimEnded, match="attempt 2 is completed"):
        late.complete("mine")
    with pytest.raises(errors.ClaimEnded, match="it is over, and the task is completed"):
        other.complete("again")


def test_a_released_task_goes_to_the_next_agent_first(client: InProcessClient) -> None:
    enqueue(client, review("T1"), review("T2"))
    claim(client).release()
    assert [claim(client).token.split(":")[1:3] for _ in "12"] == [["T1", "2"], ["T2", "1"]]


def test_a_failure_is_tried_again_by_an_agent(client: InProcessClient) -> None:
    handle = enqueue(client, review("T1", retries={"max": 1}))
    assert claim(client).fail("the network is away") == "pending"
    client.move_on(3600)
    again = claim(client)
    assert "## The attempt before this one (failed)" in again.brief
    assert "the network is away" in again.brief
    assert again.fail("still away") == "failed"
    assert handle.status() == "blocked"


def test_a_blocked_task_waits_for_a_person_whose_note_the_next_agent_reads(client: InProcessClient) -> None:
    handle = enqueue(client)
    assert claim(client).block("no URL", "missing-information") == "blocked"
    handle.unblock("T1", "it is example.org")
    assert "- it is example.org" in claim(client).brief


@pytest.mark.parametrize("whole", [True, False])
def test_an_agent_hears_of_a_cancel_and_its_outcome_does_not_count(
    client: InProcessClient, whole: bool
) -> None:
    handle = enqueue(client, review("T1"), review("T2"))
    mine = claim(client)
    if whole:
        handle.cancel()
    else:
        handle.cancel_task("T1")
    with pytest.raises(errors.ClaimEnded, match="the task is cancelled"):
        mine.progress(50)
    # And the slot is free at once
    assert handle.progress().in_flight == (0 if whole else 1)
    with pytest.raises(errors.ClaimEnded, match="the task is cancelled"):
        mine.complete("done")
    assert handle.states()[0].status == "cancelled"


def test_an_agent_is_ended_at_the_time_limit_as_a_worker_is(client: InProcessClient) -> None:
    handle = enqueue(client, review("T1", timeout="20m"))
    mine = claim(client)
    client.move_on(600)
    mine.progress(50)
    client.move_on(601)
    with pytest.raises(errors.ClaimEnded, match="its time limit of 20m is over"):
        mine.complete("done")
    outcome: Any = handle.outcome("T1")
    assert (handle.states()[0].status, outcome.cause) == ("failed", "timeout")


def test_a_forgotten_feature(client: InProcessClient) -> None:
    handle = enqueue(client)
    mine = claim(client)
    handle.cancel()
    with pytest.raises(errors.ClaimEnded):
        mine.progress()
    client.forget(handle.id)
    with pytest.raises(errors.ClaimEnded, match="its feature is forgotten"):
        mine.complete("done")
    assert client.claim() is None


def test_nothing_of_a_paused_feature_is_given(client: InProcessClient) -> None:
    handle = enqueue(client)
    handle.pause()
    assert client.claim() is None
    handle.resume()
    assert claim(client).task.id == "T1"


def test_a_feature_of_agents_and_workers(client: InProcessClient) -> None:
    handle = enqueue(
        client,
        Task(id="T1", specialist="builder"),
        review("T2", "T1"),
        Task(id="T3", specialist="builder", depends_on=["T2"]),
    )
    assert client.claim() is None
    client.step()
    mine = claim(client)
    assert "## Done before it\n```\n- T1: built T1\n```" in mine.brief
    mine.complete("fine")
    handle.wait()
    assert handle.status() == "completed"


def test_tasks_are_added_and_assigned_while_it_runs(client: InProcessClient) -> None:
    handle = enqueue(client)
    handle.add_task(review("T2", "T1"))
    claim(client).complete()
    assert claim(client).task.id == "T2"


def test_of_one_specialist_or_of_one_feature(tmp_path: Path) -> None:
    specialists = {**AGENT, "artist": {"agent": {"runtime": "pull"}}, "builder": {"command": ["true"]}}
    with open_client(in_memory(Settings(specialists=specialists), logs=tmp_path)) as client:
        one = enqueue(client, review("T1"))
        two = client.enqueue(Feature(title="Art", tasks=[Task(id="A1", specialist="artist")]))
        assert client.claim("artist", feature=one.id) is None
        assert claim(client, feature=two.id).task.id == "A1"
        assert claim(client, specialist="Reviewer").task.id == "T1"
        with pytest.raises(errors.NotClaimed, match="workers do them"):
            client.claim("builder")
        with pytest.raises(errors.NotClaimed, match="did you mean reviewer"):
            client.claim("reviewr")
        with pytest.raises(errors.NoSuchFeature):
            client.claim(feature="none")


def test_a_prompt_that_cannot_be_read_is_told_before_a_task_is_claimed(tmp_path: Path) -> None:
    agent = {"runtime": "pull", "prompt": "none.md"}
    with open_client(
        in_memory(Settings(specialists={"reviewer": {"agent": agent}}), logs=tmp_path)
    ) as client:
        handle = enqueue(client)
        with pytest.raises(errors.BadPrompt):
            client.claim()
        assert handle.states()[0].phase == "launched"


def test_without_such_a_specialist(tmp_path: Path) -> None:
    with (
        open_client(in_memory(Settings(), logs=tmp_path)) as client,
        pytest.raises(errors.NotClaimed, match="none has the runtime pull"),
    ):
        client.claim()


def test_an_outcome_that_cannot_be_stored_changes_nothing(client: InProcessClient) -> None:
    handle = enqueue(client)
    mine = claim(client)
    with pytest.raises(errors.BadOutcome, match=r"limits\.result"):
        mine.complete("x", result="x" * 2_000_000)
    assert handle.states()[0].status == "in-progress"
    assert mine.complete("short") == "completed"


def test_a_worker_runs_the_gates(gated: InProcessClient) -> None:
    """What an agent says of its work is believed; gates judge it, and a worker runs them, not the agent."""
    handle = enqueue(gated, review("T1"))
    mine = claim(gated)
    assert "## It is accepted when these pass\n- check: " in mine.brief
    assert mine.complete("done", handoff="see api.py") == "testing"
    assert (JUDGED, gated.claim()) == ([], None)
    handle.wait()
    outcome: Any = handle.outcome("T1")
    assert (JUDGED, handle.status()) == (["T1"], "completed")
    assert (outcome.summary, outcome.handoff, outcome.gates[0].passed) == ("done", "see api.py", True)


def test_work_that_fails_its_gates_goes_back_to_agents(gated: InProcessClient) -> None:
    handle = enqueue(gated, review("T2", retries={"max": 1, "on": ["gate"]}))
    assert claim(gated).complete("done") == "testing"
    gated.step()
    gated.move_on(3600)
    again = claim(gated)
    assert "the gate check did not pass" in again.brief
    assert again.complete("better") == "testing"
    handle.wait()
    assert handle.status() == "completed"


def test_gates_that_nobody_could_run_are_refused(gated: InProcessClient) -> None:
    with pytest.raises(errors.GatesCannotRun, match="the flow hotfix has no such status"):
        enqueue(gated, review("T1", tags=["hotfix"]))
    assert gated.features() == []


def test_a_waiting_agent_gets_the_next_task(client: InProcessClient) -> None:
    got: list[Claim | None] = []
    agent = threading.Thread(target=lambda: got.append(client.claim(wait=30)))
    agent.start()
    enqueue(client)
    agent.join()
    assert [found and found.task.id for found in got] == ["T1"]


def test_many_agents_on_many_features(client: InProcessClient) -> None:
    """Twenty agents, ten features in chains: each task is done once, in the order of its dependencies."""
    handles = [
        enqueue(client, *(review(f"T{n}", *([f"T{n - 1}"] if n else [])) for n in range(5)))
        for _ in range(10)
    ]
    done: list[str] = []

    def work() -> None:
        while not all(handle.status() == "completed" for handle in handles):
            if mine := client.claim():
                done.append(f"{mine.feature}/{mine.task.id}")
                mine.complete(mine.task.id)

    agents = [threading.Thread(target=work) for _ in range(20)]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.join()
    assert len(done) == len(set(done)) == 50
