"""The cost of a task in messages, bytes, commands and round trips. Counts are exact on any machine; times are not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from orchestrator.client.client import Client
from orchestrator.model.feature import Feature, Strategy
from orchestrator.state.keys import Keys
from tests.acceptance.conftest import PATIENCE, MakeProject, Project
from tests.redis_server import client_of

pytestmark = pytest.mark.real

BYTES = 600
"""The most bytes of a message."""
COMMANDS = {Strategy.BATCHED: 34, Strategy.DATAFLOW: 41}
"""The most commands that Redis carries out for a task, the commands inside scripts included."""
ROUND_TRIPS = 1
"""The most commands that a worker sends to Redis for a task."""

LOOKS = 4 / 40
"""After a short task a run looks up to three times for another one (see `Run.look_again`). Whether the last task of a
feature was short depends on the machine, so that two features may differ by so many looks for each of their tasks."""
A_LOOK = 14
"""The commands of one look."""

QUEUE = "senior-engineer"
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "warning")
WAITING = {"brpop", "ping", "xread", "subscribe", "unsubscribe", "psubscribe"}
"""Commands whose number depends on how long something took."""
LOOKING = {
    "hlen",
    "info",
    "config|resetstat",
    "monitor",
    "hello",
    "client|setinfo",
    "client|setname",
    "select",
}
"""Commands of the test itself, and of connections as they open."""


def layered(layers: int, width: int, strategy: Strategy = Strategy.BATCHED) -> Feature:
    """Layers of tasks that do nothing; each task depends on one of the layer before."""
    return Feature.model_validate(
        {
            "title": f"{layers} x {width}",
            "strategy": strategy,
            "max_parallel_tasks": width,
            "tasks": [
                {
                    "id": f"L{layer}-{place}",
                    "specialist": QUEUE,
                    "depends_on": [f"L{layer - 1}-{place}"] if layer else [],
                }
                for layer in range(layers)
                for place in range(width)
            ],
        }
    )


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """A project whose specialist does nothing, and whose maintenance does not get in between."""
    project = make_project(
        specialists={QUEUE: {"python": "idle:noop"}},
        recovery={"lease": "3h", "sweep": "1h", "patience": "1h"},
    )
    (project.folder / "idle.py").write_text("def noop(context): pass\n", "utf-8")
    return project


@pytest.fixture
def server(project: Project) -> redis.Redis:
    """A connection to the project's Redis."""
    url = project.settings.redis.url
    assert url
    return client_of(url.get_secret_value())


def messages(server: redis.Redis) -> list[str]:
    """The messages in the specialist's queue."""
    found: Any = server.lrange(Keys().queue(QUEUE), 0, -1)
    return list(found)


@pytest.mark.parametrize(("layers", "width"), [(1, 1), (3, 40), (40, 3), (1, 300)])
def test_a_batch_is_a_message_for_each_task_and_none_is_large(
    project: Project, server: redis.Redis, layers: int, width: int
) -> None:
    # Given no worker, so that what is published can be seen
    client = project.client()

    # When a feature is enqueued
    client.enqueue(layered(layers, width))

    # Then its first batch is published, a message for each task, none of them large
    found = messages(server)
    largest = max(len(message.encode()) for message in found)
    print(f"{layers} x {width}: {largest} bytes a message")
    assert len(found) == width
    assert largest <= BYTES


def test_a_message_does_not_grow_with_the_graph(project: Project, server: redis.Redis) -> None:
    # Given a small and a larger graph of the same width
    client = project.client()
    sizes = []
    for name, layers in (("small", 2), ("large", 40)):
        # When each is enqueued
        client.enqueue(layered(layers, 3).model_copy(update={"id": name}))
        sizes.append(max(map(len, messages(server))))
        server.delete(Keys().queue(QUEUE))

    # Then their messages have the same size to the byte
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("strategy", COMMANDS)
def test_what_a_task_costs_redis(project: Project, server: redis.Redis, strategy: Strategy) -> None:
    # Given a worker that works on one task at a time
    project.start_worker("one", "-Q", QUEUE, "--pool", "solo", *QUIET)
    client = project.client()
    for _ in range(2):  # the scripts are loaded, and the queues declared
        run(client, server, layered(2, 2))

    # When a feature of 20 tasks runs twice, and one of 60
    small, again = (commands_of(client, server, layered(5, 4, strategy)) for _ in range(2))
    large = commands_of(client, server, layered(15, 4, strategy))

    # Then each task is published once and costs so many commands. (kombu looks after its own from time to time, so
    # that other counts of two runs may differ by one or two.)
    assert (small["lpush"], again["lpush"], large["lpush"]) == (20, 20, 60)
    each = {name: (large.get(name, 0) - small.get(name, 0)) / 40 for name in large}
    print({name: round(calls, 2) for name, calls in sorted(each.items(), key=lambda item: -item[1]) if calls})
    print(f"{sum(each.values()):.2f} commands a task")
    assert sum(each.values()) <= COMMANDS[strategy] + A_LOOK * LOOKS


def test_how_often_a_task_goes_to_redis_and_back(project: Project, server: redis.Redis) -> None:
    # Given a worker that works on one task at a time, so that what it sends comes one after the other
    project.start_worker("one", "-Q", QUEUE, "--pool", "solo", *QUIET)
    client = project.client()
    run(client, server, layered(2, 2))

    # When a feature of 20 tasks runs, and one of 60
    trips = []
    for feature in (layered(5, 4), layered(15, 4)):
        with watched(server) as seen:
            run(client, server, feature)
        trips.append(count_trips(seen))

    # Then each task adds so many round trips
    each = (trips[1] - trips[0]) / 40
    print(f"{each:.2f} round trips a task")
    assert 0 < each <= ROUND_TRIPS + LOOKS


def run(client: Client, server: redis.Redis, feature: Feature) -> None:
    """Run a feature to its end, and wait without asking for its progress, which would be counted."""
    handle, after = client.enqueue(feature), "-"
    is_over, deadline = False, time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        events = handle.events(after, block=1.0)
        after = events[-1].id if events else after
        is_over = is_over or any(event.target == "completed" and not event.task for event in events)
        if is_over and not server.hlen("to:celery:unacked"):
            return
    raise AssertionError(f"{feature.title} did not come to its end")


def commands_of(client: Client, server: redis.Redis, feature: Feature) -> dict[str, int]:
    """The commands that Redis carried out for a feature, by name."""
    server.config_resetstat()
    run(client, server, feature)
    stats: Any = server.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}
    return {name: count for name, count in calls.items() if name not in WAITING | LOOKING}


@contextmanager
def watched(server: redis.Redis) -> Iterator[list[str]]:
    """The names of the commands that are sent to Redis meanwhile, without those that scripts call."""
    seen: list[str] = []
    monitor: Any = server.monitor()  # type: ignore[no-untyped-call]
    with monitor:
        yield seen
        server.echo("the end")
        for entry in monitor.listen():
            name, _, rest = entry["command"].partition(" ")
            if name.lower() == "echo" and rest == "the end":
                return
            if entry["client_type"] != "lua":
                seen.append(name.lower())


def count_trips(names: list[str]) -> int:
    """How many round trips commands took: each one, but for a transaction, which is sent as a whole."""
    trips, in_transaction = 0, False
    for name in names:
        if name in WAITING | LOOKING:
            continue
        trips += not in_transaction
        in_transaction = name == "multi" or (in_transaction and name != "exec")
    return trips
