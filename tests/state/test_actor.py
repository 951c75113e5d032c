"""An event names the person or program that decided."""

from __future__ import annotations

from orchestrator import Feature, Task
from orchestrator.config.schema.operation import Trust
from orchestrator.config.settings import Settings
from orchestrator.state import actor
from orchestrator.testing import InProcessClient, in_memory

TWO = Feature(
    title="Login", tasks=(Task(id="T1", run=("true",)), Task(id="T2", run=("true",), depends_on=("T1",)))
)


def test_an_event_says_who_decided() -> None:
    with InProcessClient(in_memory(Settings(trust=Trust(inline_commands=True)))) as client:
        check(client)


def check(client: InProcessClient) -> None:
    handle = client.enqueue(TWO, auto_launch=False, stops=[1])
    with actor.acting("ops"):
        handle.hold("T1", "not now")
        handle.assign("T2", "senior-engineer")
        handle.pause()
        handle.add_task(Task(id="T3", run=("true",)))
    handle.resume()
    told = {event.event: event.by for event in handle.events()}
    assert told["task_held"] == told["specialist_assigned"] == told["feature_paused"] == "ops"
    assert told["tasks_added"] == "ops"
    assert told["feature_resumed"] == told["feature_enqueued"] == ""


def test_a_name_is_one_short_line() -> None:
    with actor.acting("ops\n" + "x" * 300):
        assert "\n" not in actor.current()
        assert len(actor.current()) == actor.LONGEST
    assert actor.current() == ""
