"""Two projects on one database: nothing of the one reaches the other, whatever their features are called."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest
import redis
import yaml

from orchestrator.config import configuration
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.engine import canvas
from orchestrator.engine.app import create
from orchestrator.model import errors
from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.planning import planner
from tests.acceptance.conftest import PATIENCE, Project
from tests.redis_server import client_of
from tests.redis_tcp import free_port, serve_tcp
from tests.waiting import wait_until

pytestmark = pytest.mark.real

USERS = Path(__file__).parents[2] / "deploy" / "users.acl"
PREFIXES = ("shop", "bank")


def project_on(url: str, folder: Path, prefix: str, stack: ExitStack) -> Project:
    """A project whose specialist says whose it is."""
    (folder / FOLDER).mkdir(parents=True)
    settings = {
        "redis": {"url": url, "prefix": prefix},
        "specialists": {"implementation-specialist": {"command": ["echo", prefix]}},
        "recovery": {"lease": "3s", "sweep": "200ms"},
        "trust": {"canvas": True},
    }
    (folder / FOLDER / FILE).write_text(yaml.safe_dump(settings), "utf-8")
    return Project(folder, configuration.load(folder), stack)


@pytest.fixture
def projects(tmp_path: Path) -> Iterator[tuple[list[Project], redis.Redis]]:
    """Two projects with a worker each, on one database, each as a user of its own, and a client that may do all."""
    (line,) = [one for one in USERS.read_text("utf-8").splitlines() if one.startswith("user orchestrator ")]
    own = [
        line.replace("orchestrator", prefix).replace("to:", f"{prefix}:").replace("CHANGE-ME", prefix)
        for prefix in PREFIXES
    ]
    (tmp_path / "users.acl").write_text(
        "\n".join(["user default off", *own, "user admin on >admin ~* &* +@all", ""])
    )
    port = free_port()
    admin = f"redis://admin:admin@127.0.0.1:{port}"
    with ExitStack() as stack:
        lines = (f"port {port}", "appendonly yes", f"aclfile {tmp_path / 'users.acl'}")
        stack.enter_context(serve_tcp(tmp_path / "redis", *lines, ready=admin))
        found = []
        for prefix in PREFIXES:
            url = f"redis://{prefix}:{prefix}@127.0.0.1:{port}/0"
            found.append(project_on(url, tmp_path / prefix, prefix, stack))
            found[-1].start_worker("one", "-E")
        yield found, client_of(admin)


@contextmanager
def channels_used(client: redis.Redis) -> Iterator[set[str]]:
    """The channels on which anybody publishes while the block lasts."""
    used: set[str] = set()
    subscriber: Any = client  # redis-py leaves pubsub() without types
    listener = subscriber.pubsub(ignore_subscribe_messages=True)
    listener.psubscribe("*")
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            if message := listener.get_message(timeout=0.1):
                used.add(message["channel"])

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield used
    finally:
        over.set()
        thread.join()
        listener.close()


def chain(length: int = 6) -> Feature:
    """A feature of the same id in both projects."""
    tasks = [
        {"id": f"t{n}", "tags": ["backend"], "depends_on": [f"t{n - 1}"] if n > 1 else []}
        for n in range(1, length + 1)
    ]
    return Feature.model_validate({"id": "nightly", "title": "Nightly", "tasks": tasks})


def test_two_projects_on_one_database_keep_apart(projects: tuple[list[Project], redis.Redis]) -> None:
    both, client = projects
    shop, bank = both

    with channels_used(client) as channels:
        # When a feature of the same id runs in both, as stored work, and as a canvas
        handles = [project.enqueue(chain()) for project in both]
        assert [handle.wait(PATIENCE).status for handle in handles] == [FeatureStatus.COMPLETED] * 2
        for project in both:
            app = create(project.settings)
            assert (
                canvas.chain_of_groups(planner.plan(chain(3)), app).delay().get(PATIENCE)["summary"]
                == project.settings.redis.prefix
            )

        # Then each was done by its own specialists
        for project, handle in zip(both, handles, strict=True):
            outcomes = project.client().store.tasks.outcomes(handle.id, ["t1", "t6"])
            assert {outcome.summary for outcome in outcomes.values()} == {project.settings.redis.prefix}  # type: ignore[union-attr]
            assert not project.client().store.client.exists(project.client().store.keys.refused)

        # And each worker answers its own project alone, by the names that people use
        for project in both:
            answers: Any = create(project.settings).control.inspect(timeout=PATIENCE, limit=1).active_queues()
            (answer,) = answers.values()
            assert "implementation-specialist" in {queue["name"] for queue in answer}

        # When one project shuts its workers down
        node = f"one@{gethostname()}"
        create(shop.settings).control.broadcast("shutdown", destination=[node])
        wait_until(lambda: shop.workers[0].poll() is not None)

        # Then the other's goes on
        assert (
            bank.enqueue(chain().model_copy(update={"id": "again"})).wait(PATIENCE).status
            is FeatureStatus.COMPLETED
        )
        assert bank.workers[0].poll() is None

    # And the user of neither asked for what is not its own
    refused = [(entry["reason"], entry["object"]) for entry in client.acl_log()]
    assert [one for one in refused if one[0] in ("key", "channel")] == []

    # And there is no key and no channel outside of their prefixes
    prefixes = tuple(f"{prefix}:" for prefix in PREFIXES)
    assert [key for key in client.scan_iter() if not key.startswith(prefixes)] == []
    assert channels
    assert [channel for channel in channels if not channel.startswith(prefixes)] == []


def test_the_user_of_one_project_reaches_nothing_of_another(
    projects: tuple[list[Project], redis.Redis],
) -> None:
    both, client = projects
    client.lpush("bank:celery:implementation-specialist", "theirs")
    mine: Any = both[0].client().store.client

    for command in (
        ("GET", "bank:sweeper"),
        ("RPOP", "bank:celery:implementation-specialist"),
        ("LPUSH", "bank:celery:implementation-specialist", "forged"),
        ("PUBLISH", "bank:celery:/0.celery.pidbox", "{}"),
        ("PUBLISH", "bank:wake", "x"),
        ("EVAL", "return redis.call('GET', KEYS[1])", 1, "bank:sweeper"),
        ("HGETALL", "bank:workers"),
    ):
        with pytest.raises(errors.RedisRefuses, match=r"(?i)no permissions"):
            mine.execute_command(*command)


def test_a_message_that_is_not_stored_here_is_no_success(projects: tuple[list[Project], redis.Redis]) -> None:
    # Given a message of a feature that is not stored in this project
    both, client = projects
    shop = both[0]
    specialist = "implementation-specialist"
    app = create(shop.settings)
    app.send_task(specialist, ("nowhere", "t1", 1), task_id="nowhere:t1:1:0f3a9c5e71d2", queue=specialist)
    store = shop.client().store

    # When a worker meets it
    wait_until(lambda: client.hget(store.keys.refused, "unknown-feature") == "1")
    wait_until(lambda: "t1 not started" in (shop.folder / "one.log").read_text("utf-8"))

    # Then its log says that it was refused, and of no success
    log = (shop.folder / "one.log").read_text("utf-8")
    assert "nowhere:t1:1] succeeded" not in log
    assert "t1 not started: it is not stored here" in log
