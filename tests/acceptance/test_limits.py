"""Limits hold over workers and features, and what is freed goes on at once: nobody here waits for a sweep."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from orchestrator.client.handle import Handle
from orchestrator.model.event import Event
from orchestrator.model.feature import Feature
from orchestrator.model.task import Task
from tests.acceptance.conftest import PATIENCE, MakeProject, all_events
from tests.waiting import wait_until

pytestmark = pytest.mark.real

NO_SWEEP = {"sweep": "600s", "lease": "1800s"}
"""So that whatever happens in these tests happens without it."""


def feature(name: str, number: int, run: str = "true", **fields: Any) -> Feature:
    tasks = [
        {"id": f"T{place}", "specialist": "writer", "run": ["/bin/sh", "-c", run], **fields}
        for place in range(1, number + 1)
    ]
    return Feature.model_validate({"id": name, "title": name, "tasks": tasks})


def most_in_flight_of(handles: list[Handle]) -> int:
    """The largest number that was in flight at one moment, over several event streams of one Redis."""

    def moment(event: Event) -> tuple[int, bool]:
        # If a slot was freed and taken in the same millisecond, it was freed first.
        return int(event.id.split("-")[0]), event.event == "task_launched"

    streams = [(handle.id, event) for handle in handles for event in all_events(handle)]
    in_flight: set[tuple[str, str]] = set()
    most = 0
    for name, event in sorted(streams, key=lambda one: moment(one[1])):
        if event.event == "task_launched":
            in_flight.add((name, event.task))
        elif event.source == "in-progress" and event.task:
            in_flight.discard((name, event.task))
        most = max(most, len(in_flight))
    return most


def test_two_features_on_two_workers_share_one_unit_without_a_sweep(make_project: MakeProject) -> None:
    # Given two workers, and a specialist of which one task may run at a time
    project = make_project(specialists={"writer": {"concurrency": 1}}, recovery=NO_SWEEP)
    project.start_worker("one", "-c", "2")
    project.start_worker("two", "-c", "2")

    # When two features want it at once
    handles = [project.enqueue(feature(name, 12)) for name in ("left", "right")]

    # Then both come to their end, and never did two tasks run
    for handle in handles:
        assert handle.wait(PATIENCE).completed == 12
    assert most_in_flight_of(handles) == 1


def test_a_rate_holds_over_two_workers_and_goes_on_without_a_sweep(make_project: MakeProject) -> None:
    # Given two workers, and a specialist that is to be called ten times a second
    project = make_project(specialists={"writer": {"rate": "10/s"}}, recovery=NO_SWEEP)
    project.start_worker("one", "-c", "4")
    project.start_worker("two", "-c", "4")

    # When two features want it
    handles = [project.enqueue(feature(name, 8)) for name in ("left", "right")]
    for handle in handles:
        assert handle.wait(PATIENCE).completed == 8

    # Then each launch, and each begin, is a tenth of a second after the one before
    launches = [
        int(event.id.split("-")[0])
        for handle in handles
        for event in all_events(handle)
        if event.event == "task_launched"
    ]
    states = [json.loads(text) for handle in handles for text in _states(handle)]
    begins = [max(state["started"], state["begins"]) for state in states]
    for moments in (sorted(launches), sorted(begins)):
        assert len(moments) == 16
        gaps = [after - before for before, after in itertools.pairwise(moments)]
        assert min(gaps) >= 99, gaps


def _states(handle: Handle) -> list[str]:
    store: Any = handle.store
    return list(store.client.hvals(store.keys.feature(handle.id).states))


def test_an_operator_sees_who_holds_a_limit_and_changes_it(make_project: MakeProject) -> None:
    # Given tasks that wait for the one GPU there is, and one that holds it
    project = make_project(resources={"gpu": 1}, specialists={"writer": {}}, recovery=NO_SWEEP)
    project.start_worker("one", "-c", "3")
    handle = project.enqueue(
        feature("training", 3, "until [ -e go ]; do sleep 0.05; done", resources=["gpu"])
    )
    wait_until(lambda: handle.progress().in_flight == 1)

    # When somebody asks why the others wait
    told = project.orchestrator("explain", "training", "T2").stdout
    shown = json.loads(project.orchestrator("limits", "--json").stdout)["limits"]

    # Then it says for what, and who has it
    assert "T2 waits for resource gpu: 1 of 1 in use." in told
    assert "Held by T1 of training" in told
    assert [(limit["limit"], limit["in_use"], limit["waiting"]) for limit in shown] == [
        ("resource:gpu", 1, 2)
    ]

    # and two more of them let the others go on at once
    changed = project.orchestrator("limits", "set", "gpu", "3")
    assert changed.returncode == 0, changed.stderr
    assert handle.progress().in_flight == 3
    (project.folder / "go").touch()
    assert handle.wait(PATIENCE).completed == 3

    # and a task that needs more than the configuration has is refused
    project.write(
        "large.yaml", feature("large", 1, resources={"gpu": 2}).model_dump(mode="json", exclude_unset=True)
    )
    refused = project.orchestrator("enqueue", "large.yaml")
    assert refused.returncode != 0
    assert "T1 needs 2 of the resource gpu, and there is no more than 1" in refused.stderr


def test_tasks_that_touch_the_same_files_take_turns(make_project: MakeProject) -> None:
    # Given three tasks of which the first two change the same folder, and workers for all of them
    project = make_project(specialists={"writer": {}}, recovery=NO_SWEEP)
    project.start_worker("one", "-c", "3")
    until_told = ["sh", "-c", "echo $ORCHESTRATOR_TASK_ID >> began; until [ -e go ]; do sleep 0.05; done"]
    touched = {"T1": ["src/api/**"], "T2": ["src/api/login.py"], "T3": ["docs/**"]}
    tasks = [
        Task(id=name, specialist="writer", run=until_told, touches=globs) for name, globs in touched.items()
    ]
    handle = project.enqueue(Feature(title="Apart", tasks=tasks, id="apart"))

    # When two of them run
    began = project.folder / "began"
    wait_until(lambda: began.exists() and len(began.read_text().split()) == 2)

    # Then the second waits for the first, and says so
    assert sorted(began.read_text().split()) == ["T1", "T3"]
    assert handle.progress().in_flight == 2
    told = project.orchestrator("explain", "apart", "T2").stdout
    assert "T2 waits until T1 has ended: both touch the same files." in told
    (project.folder / "go").touch()
    assert handle.wait(PATIENCE).completed == 3
