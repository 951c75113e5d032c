"""A feature goes from a file to finished through real workers."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from typing import Any

import pytest

from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.model.task import TaskStatus
from tests.acceptance.conftest import PATIENCE, MakeProject, all_events, moments, most_in_flight
from tests.waiting import wait_until

pytestmark = pytest.mark.real


def mixed_feature(**fields: Any) -> dict[str, Any]:
    """60 tasks of mixed commands in layers, each on up to three tasks of the layer before."""
    chance = random.Random(60)
    commands = [
        [sys.executable, "-c", "print(sum(range(200_000)))"],
        ["/bin/echo", "done"],
        [
            sys.executable,
            "-c",
            "import json, os; json.dump({'n': 1}, open(os.environ['ORCHESTRATOR_OUTCOME_FILE'], 'w'))",
        ],
        ["/bin/sh", "-c", "for i in 1 2 3; do echo line $i; done"],
    ]
    tasks: list[dict[str, Any]] = []
    layers = [12, 20, 16, 12]
    before: list[str] = []
    for layer, width in enumerate(layers):
        ids = [f"L{layer}-{place}" for place in range(width)]
        tasks += [
            {
                "id": task,
                "tags": [chance.choice(["backend", "bug", "planning", "testing"])],
                "depends_on": chance.sample(before, min(len(before), chance.randint(1, 3))),
                "run": chance.choice(commands),
            }
            for task in ids
        ]
        before = ids
    return {"title": "Mixed work", "max_parallel_tasks": 5, "tasks": tasks, **fields}


@pytest.mark.bounds
def test_two_workers_keep_the_cap_and_the_order_of_a_60_task_feature(make_project: MakeProject) -> None:
    # Given two workers on one Redis
    project = make_project()
    project.start_worker("one", "-c", "4")
    project.start_worker("two", "-c", "4")

    # When a feature of 60 tasks runs with a cap of 5
    feature = Feature.model_validate(mixed_feature())
    handle = project.enqueue(feature)
    progress = handle.wait(PATIENCE)

    # Then everything is done, never more than 5 at once, and no task before its dependencies
    events = all_events(handle)
    assert progress.status is FeatureStatus.COMPLETED
    assert progress.completed == 60
    assert most_in_flight(events) == 5
    started, ended = moments(events, "work_started"), moments(events, "implementation_complete")
    assert len(ended) == 60
    for task in feature.tasks:
        assert all(ended[dependency] < started[task.id] for dependency in task.depends_on)
    # and both workers took part
    assert len({event.worker for event in events if event.event == "work_started"}) == 2


def test_a_failing_task_in_batch_2_keeps_batch_3_from_starting(make_project: MakeProject) -> None:
    # Given a feature whose second batch has a task that fails
    project = make_project()
    project.start_worker("one", "-c", "4")
    feature = mixed_feature(id="mixed")
    broken = next(task for task in feature["tasks"] if task["id"] == "L1-7")
    broken["run"] = [sys.executable, "-c", "import sys; sys.exit('the schema is missing')"]

    # When it is run from the command line
    ran = project.orchestrator("run", project.write("mixed.yaml", feature))

    # Then it exits non-zero with the reason, the siblings are done, and batch 3 never starts
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "L1-7" in ran.stdout + ran.stderr
    assert "the schema is missing" in ran.stdout + ran.stderr
    assert "orchestrator retry mixed L1-7" in ran.stdout + ran.stderr
    handle = project.client().feature("mixed")
    states = {state.id: state for state in handle.states()}
    assert states["L1-7"].status is TaskStatus.FAILED
    assert all(
        state.status is TaskStatus.COMPLETED
        for state in states.values()
        if state.batch <= 2 and state.id != "L1-7"
    )
    assert all(state.attempt == 0 for state in states.values() if state.batch >= 3)
    assert most_in_flight(all_events(handle)) <= 5


@pytest.mark.bounds
def test_run_exits_zero_when_everything_is_completed(make_project: MakeProject) -> None:
    project = make_project()
    project.start_worker("one", "-c", "2")
    feature = {
        "title": "Two steps",
        "tasks": [
            {"id": "T1", "run": "/bin/echo one"},
            {"id": "T2", "run": "/bin/echo two", "depends_on": ["T1"]},
        ],
    }

    ran = project.orchestrator("run", project.write("two.yaml", feature))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Batch 1: 1/1 tasks complete (100%)" in ran.stdout


def test_the_authentication_feature_is_planned_in_three_batches(make_project: MakeProject) -> None:
    project = make_project()
    tasks = [
        {"id": "T1", "title": "Create the schema", "tags": ["database"]},
        {"id": "T2", "title": "Implement the API", "tags": ["backend"], "depends_on": ["T1"]},
        {"id": "T3", "title": "Build the form", "tags": ["frontend"]},
        {"id": "T4", "title": "Test it", "tags": ["testing"], "depends_on": ["T2"]},
        {"id": "T5", "title": "Document it", "tags": ["documentation"], "depends_on": ["T2"]},
    ]

    planned = project.orchestrator(
        "plan", project.write("auth.yaml", {"title": "Auth", "tasks": tasks}), "--json"
    )

    assert planned.returncode == 0, planned.stderr
    batches = json.loads(planned.stdout)["batches"]
    assert [sorted(batch["tasks"]) for batch in batches] == [["T1", "T3"], ["T2"], ["T4", "T5"]]


def test_a_queue_is_served_by_the_worker_that_names_it(make_project: MakeProject) -> None:
    # Given one worker for the Senior Engineer's queue, and one for the others
    project = make_project()
    project.start_worker("senior", "-Q", "senior-engineer", "-c", "1")
    project.start_worker("others", "-Q", "implementation-specialist", "--pool", "threads", "-c", "2")

    # When a feature has work for both
    tasks = [
        {"id": "T1", "tags": ["bug"], "run": "/bin/echo fixed"},
        {"id": "T2", "tags": ["backend"], "run": "/bin/echo built"},
    ]
    handle = project.enqueue(Feature.model_validate({"title": "Both", "tasks": tasks}))

    # Then each did its own
    assert handle.wait(PATIENCE).status is FeatureStatus.COMPLETED
    workers = {state.id: state.worker.split("@")[0] for state in handle.states()}
    assert workers == {"T1": "senior", "T2": "others"}


def test_cancel_ends_a_running_command(make_project: MakeProject) -> None:
    # Given a command that would run for an hour
    project = make_project()
    project.start_worker("one", "-c", "1")
    pid_file = project.folder / "pid"
    program = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(3600)"
    tasks = [
        {"id": "T1", "run": [sys.executable, "-c", program, str(pid_file)]},
        {"id": "T2", "depends_on": ["T1"], "run": "/bin/echo never"},
    ]
    handle = project.enqueue(Feature.model_validate({"title": "Long", "tasks": tasks}))
    for event in handle.follow():
        if event.event == "work_started":
            break

    # When the feature is cancelled
    cancelled = project.orchestrator("cancel", handle.id)

    # Then the command ends, and the task behind it never starts
    assert cancelled.returncode == 0, cancelled.stderr
    assert handle.wait(PATIENCE).status is FeatureStatus.CANCELLED
    assert [state.status for state in handle.states()] == [TaskStatus.CANCELLED, TaskStatus.CANCELLED]
    if pid_file.exists():
        assert not is_alive(int(pid_file.read_text()))


def is_alive(pid: int) -> bool:
    """Whether a process of this id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.bounds
def test_a_killed_worker_loses_nothing(make_project: MakeProject) -> None:
    # Given a worker that runs a command which hangs at the first attempt, and succeeds at the second
    project = make_project()
    marker = project.folder / "marker"
    program = (
        "import os, pathlib, sys, time; marker = pathlib.Path(sys.argv[1]); again = marker.exists();"
        " again or marker.with_suffix('.new').write_text(str(os.getpid()));"
        " again or marker.with_suffix('.new').rename(marker); again or time.sleep(3600)"
    )
    doomed = project.start_worker("doomed", "-c", "1")
    task = {"id": "T1", "run": [sys.executable, "-c", program, str(marker)]}
    handle = project.enqueue(Feature.model_validate({"title": "Hard", "tasks": [task]}))
    wait_until(marker.exists)

    # When that worker is killed with all its processes (its guard ends the command), and another one runs
    os.killpg(doomed.pid, signal.SIGKILL)
    project.start_worker("heir", "-c", "1")

    # Then the task is run again there
    assert handle.wait(PATIENCE).status is FeatureStatus.COMPLETED
    (state,) = handle.states()
    assert (state.attempt, state.lost, state.worker.split("@")[0]) == (2, 1, "heir")
