"""Workers and Redis fail: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redis

from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.model.task import Task
from tests.acceptance.conftest import MakeProject, Project, all_events
from tests.redis_server import KilledRedis, killable
from tests.waiting import wait_until

pytestmark = pytest.mark.real

ALONE = ("--without-mingle", "--without-gossip", "--pool", "prefork")


def noting(file: Path, name: str, seconds: float, **fields: object) -> Task:
    """A task that takes a while, and appends its id to FILE.begun at its start, and to FILE at its end."""
    command = ("sh", "-c", f"echo {name} >> {file}.begun; sleep {seconds}; echo {name} >> {file}")
    return Task.model_validate({"id": name, "run": command, **fields})


def ran(file: Path) -> Counter[str]:
    return Counter(file.read_text("utf-8").split()) if file.exists() else Counter()


def has_run(file: Path, number: int) -> bool:
    return len(ran(file)) >= number


def is_ready(project: Project, name: str) -> bool:
    """The worker takes messages, and ends in order on SIGTERM."""
    return " ready." in (project.folder / f"{name}.log").read_text("utf-8")


def test_a_rolling_restart_under_load_loses_and_repeats_nothing(make_project: MakeProject) -> None:
    # Given three workers that work on forty short tasks
    project = make_project(recovery={"lease": "60s", "sweep": "200ms"})
    file = project.folder / "ran"
    names = [f"T{number}" for number in range(40)]
    workers = {name: project.start_worker(name, "-c", "2", *ALONE) for name in ("w1", "w2", "w3")}
    for name in workers:
        wait_until(partial(is_ready, project, name))
    handle = project.enqueue(
        Feature(
            title="Rolling",
            strategy="parallel",
            max_parallel_tasks=6,
            tasks=[noting(file, n, 0.5) for n in names],
        )
    )

    # When each is restarted in turn, in the midst of it
    for place, (name, worker) in enumerate(list(workers.items())):
        wait_until(partial(has_run, file, 5 * place + 1))
        worker.terminate()
        assert worker.wait(60) == 0
        project.start_worker(f"{name}-again", "-c", "2", *ALONE)

    # Then every task ran once, was committed once, and no attempt was lost or handed back
    assert handle.wait(timeout=120).status is FeatureStatus.COMPLETED
    assert ran(file) == Counter(names)
    events = all_events(handle)
    assert Counter(e.task for e in events if e.target == "completed" and e.task) == Counter(names)
    assert not [e for e in events if e.event in ("worker_lost", "work_handed_back")]


def test_what_cannot_finish_in_its_time_is_handed_back_and_goes_on_elsewhere(
    make_project: MakeProject,
) -> None:
    # Given a worker with a short task, a long one, and one that is not to run twice
    project = make_project(recovery={"lease": "600s", "sweep": "200ms", "grace": "100ms"})
    file, go = project.folder / "ran", project.folder / "go"
    wait = f"echo $0 >> {file}; while [ ! -e {go} ]; do sleep 0.05; done"
    first = project.start_worker("first", "-c", "2", *ALONE)
    handle = project.enqueue(
        Feature(
            title="Long",
            tasks=[
                Task(id="long", run=("sh", "-c", wait, "long")),
                Task(id="once", run=("sh", "-c", wait, "once"), idempotent=False),
            ],
        )
    )
    wait_until(lambda: ran(file) == {"long": 1, "once": 1})

    # When it is told to end, and another one begins
    first.terminate()
    assert first.wait(60) == 0
    project.start_worker("second", "-c", "2", *ALONE)
    wait_until(lambda: ran(file)["long"] == 2)
    go.touch()

    # Then the one goes on there at once, without a lost attempt, and a person is asked about the other
    wait_until(lambda: handle.progress().is_settled)
    states = {state.id: state for state in handle.states()}
    assert (states["long"].status, states["long"].attempt, states["long"].lost) == ("completed", 2, 0)
    assert states["once"].status == "blocked"
    assert ran(file)["once"] == 1
    explained = project.orchestrator("explain", handle.id, "once")
    assert "Was it done?" in explained.stdout
    assert f"orchestrator unblock {handle.id} once" in explained.stdout


@pytest.fixture
def killed_redis() -> Iterator[KilledRedis]:
    with killable() as server:
        yield server


def test_a_redis_that_is_away_for_a_while_costs_nothing_but_time(
    make_project: MakeProject, killed_redis: KilledRedis
) -> None:
    # Given a worker in the midst of tasks that take longer than their lease
    project = make_project(
        redis={"url": killed_redis.url}, recovery={"lease": "1500ms", "sweep": "200ms", "patience": "1s"}
    )
    file = project.folder / "ran"
    names = [f"T{number}" for number in range(8)]
    project.start_worker("w1", "-c", "4", *ALONE)
    handle = project.enqueue(
        Feature(
            title="Outage",
            strategy="parallel",
            max_parallel_tasks=4,
            tasks=[noting(file, name, 2) for name in names],
        )
    )
    wait_until(partial(has_run, project.folder / "ran.begun", 4))

    # When Redis is killed, and all that runs ends meanwhile
    killed_redis.kill()
    refused = project.orchestrator(
        "enqueue", project.write("more.yaml", {"title": "M", "tasks": [{"id": "T1", "run": "true"}]})
    )
    wait_until(partial(has_run, file, 4))
    time.sleep(2)  # and longer than any lease
    killed_redis.start()

    # Then every outcome is committed, and every task has run once
    assert handle.wait(timeout=120).status is FeatureStatus.COMPLETED
    assert ran(file) == Counter(names)
    assert {state.attempt for state in handle.states()} == {1}
    log = (project.folder / "w1.log").read_text("utf-8")
    assert "Redis is away" in log
    assert "(completed) has reached it" in log

    # And an enqueue meanwhile reported that nothing was stored
    assert refused.returncode == 3
    assert "Cannot reach Redis" in refused.stderr


def test_a_worker_refuses_a_redis_that_may_throw_its_work_away(make_project: MakeProject) -> None:
    project = make_project()
    with redis.Redis.from_url(
        str(project.settings.redis.url and project.settings.redis.url.get_secret_value())
    ) as it:
        it.config_set("maxmemory", "1gb")
        it.config_set("maxmemory-policy", "allkeys-lru")
        it.config_set("appendonly", "no")
        worker = project.start_worker("w1", *ALONE)
        assert worker.wait(60) == 1
        log = (project.folder / "w1.log").read_text("utf-8")
        assert (
            "The worker does not start, because its work could be lost: maxmemory-policy is allkeys-lru"
            in log
        )
        assert "Traceback" not in log

        # The log names it, since it is no reason to refuse
        it.config_set("maxmemory-policy", "noeviction")
        project.start_worker("w2", *ALONE)
        wait_until(partial(is_ready, project, "w2"))
    assert "Redis keeps everything in memory only" in (project.folder / "w2.log").read_text("utf-8")


def test_what_is_over_is_forgotten_with_its_logs_and_folders(make_project: MakeProject) -> None:
    # Given a worker that keeps what is over for two seconds
    project = make_project(retention={"finished": "2s"}, recovery={"sweep": "200ms", "lease": "3s"})
    project.start_worker("w1", "-c", "2", *ALONE)
    handle = project.enqueue(Feature(title="Short", tasks=[Task(id="T1", run=("echo", "done"))]))
    folders = [project.folder / ".taskorchestrator" / kind / handle.id for kind in ("logs", "work")]
    with project.client() as client:
        wait_until(lambda: all(folder.exists() for folder in folders))

        # Then it goes, and its folders with it
        wait_until(lambda: not client.store.features.exists(handle.id))
        wait_until(lambda: not any(folder.exists() for folder in folders))
        left = [str(key) for key in client.store.client.scan_iter("*")]
        # How long its tasks took is kept for the next feature of its title, for a time.
        learned = {key for key in left if key.endswith(":durations")}
        assert all(client.store.client.pttl(key) > 0 for key in learned)
    assert not [key for key in left if handle.id in key]
    # And what is left does not grow with the features
    assert {key for key in left if not key.startswith("to:celery:")} - learned <= {
        "to:sweeper",
        "to:sweeper:schema",
        "to:swept",
        "to:last-started",
        "to:configured",
        "to:workers",
        "to:identity",
        "to:minimum",
    }
