"""The rig: one Redis, one worker of ours and one of plain Celery, two processes each. It ends what it started."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from redis import Redis

from benchmarks import plain
from benchmarks.graphs import layered
from orchestrator.client.client import Client
from orchestrator.client.handle import Handle
from orchestrator.config import configuration, urls
from orchestrator.config.folder import FILE, FOLDER
from orchestrator.config.settings import Settings
from orchestrator.engine import broker
from orchestrator.local import processes
from orchestrator.model.feature import Feature, FeatureStatus
from orchestrator.state import embedded

PROCESSES = 2
PATIENCE = 1_800.0
"""Seconds after which a measurement is given up."""

REPOSITORY = Path(__file__).resolve().parent.parent


class Unfinished(Exception):
    """A feature that should complete did not; the figures would mean nothing."""


@dataclass(frozen=True)
class Rig:
    """The processes that the measurements run on.

    Args:
        settings: The orchestrator's settings, on the rig's own Redis.
        client: A client with these settings.
        redis: A raw connection to the database that holds our state and our queues.
        celery_redis: A raw connection to the database of plain Celery, on the same server.
        url: The URL of that server.
        workers: Name → the worker, while the rig runs: "noop" is ours, "plain" is Celery's.
    """

    settings: Settings
    client: Client
    redis: Redis
    celery_redis: Redis
    url: str
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """A folder of the rig's own, gone when it ends."""
        return self.settings.folder.parent

    def run(self, feature: Feature) -> Handle:
        """Enqueue a feature and wait until it is completed.

        Raises:
            Unfinished: It is settled, and not completed.
        """
        handle = self.client.enqueue(feature)
        progress = handle.wait(PATIENCE)
        if progress.status is not FeatureStatus.COMPLETED:
            raise Unfinished(
                f"{feature.title}: {progress.status}, {progress.completed} of {progress.total} done"
            )
        return handle

    @contextlib.contextmanager
    def worker(
        self, queue: str, concurrency: int = PROCESSES, *options: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of ours for one queue, with options of `celery worker`."""
        command = ["-A", "orchestrator", "worker", "-n", f"{queue}@%h", "-Q", queue]
        command += ["-c", str(concurrency), *options]
        with processes.celery(self.settings, command, self.folder / f"{queue}.log") as process:
            yield process

    @contextlib.contextmanager
    def celery_worker(
        self, queue: str = "celery", concurrency: int = PROCESSES
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of plain Celery for one queue."""
        command = ["-A", "benchmarks.plain", "worker", "-n", f"plain-{queue}@%h", "-Q", queue]
        command += ["-c", str(concurrency)]
        with processes.celery(self.settings, command, self.folder / f"plain-{queue}.log") as process:
            yield process

    def settle(self) -> None:
        """Wait until the worker of plain Celery has nothing more to do: it may repeat tasks after all are done."""
        deadline = time.monotonic() + PATIENCE
        while self.celery_redis.exists("celery", "unacked"):
            if time.monotonic() > deadline:
                raise Unfinished("The worker of plain Celery does not come to an end.")
            time.sleep(0.01)

    def stop_celery(self) -> None:
        """End the worker of plain Celery before the rig ends, with all that waits for it."""
        processes.stop(self.workers["plain"])
        self.celery_redis.flushdb()


@contextlib.contextmanager
def rig() -> Iterator[Rig]:
    """Start the Redis and both workers, warm them up, and end them when the `with` does."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        server = stack.enter_context(embedded.Server(folder / "server"))
        settings = settings_on(folder, server.url)
        celery_url = broker.address(urls.read(f"{server.url}?db=1")).url
        stack.enter_context(environment(**{plain.URL: celery_url}))
        plain.app.conf.update(broker_url=celery_url, result_backend=celery_url)
        client = stack.enter_context(Client(settings))
        made = Rig(
            settings,
            client,
            Redis.from_url(server.url),
            Redis.from_url(server.url, db=1),
            server.url,
        )
        made.workers["noop"] = stack.enter_context(made.worker("noop"))
        made.workers["plain"] = stack.enter_context(made.celery_worker())
        made.run(layered(2, 20))
        plain.run_group(40)
        stack.callback(plain.app.close)
        stack.callback(
            gc.collect
        )  # Celery's results unsubscribe when they are collected, which needs the Redis
        yield made


def settings_on(folder: Path, url: str) -> Settings:
    """The settings of a project in this folder, on this Redis: every specialist that is measured."""
    place = folder / "project" / FOLDER
    place.mkdir(parents=True)
    given = {
        "redis": {"url": url},
        "specialists": {
            "noop": {"python": "benchmarks.noop:noop"},
            "ahead": {"python": "benchmarks.noop:noop"},
            # No worker takes from this queue, so that what was published can be looked at.
            "idle": {"python": "benchmarks.noop:noop"},
            "sleep": {"python": "benchmarks.noop:sleep"},
            "curve": {"python": "benchmarks.noop:noop"},
            "clock": {"python": "benchmarks.noop:clock"},
            "fibo": {"python": "benchmarks.noop:fibo"},
        },
    }
    (place / FILE).write_text(yaml.safe_dump(given), "utf-8")
    return configuration.load(place.parent)


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Variables that the processes get which are started inside; each finds this package too."""
    before = dict(os.environ)
    path = os.pathsep.join(filter(None, (str(REPOSITORY), before.get("PYTHONPATH"))))
    os.environ.update(variables, PYTHONPATH=path)
    try:
        yield
    finally:
        for name in (*variables, "PYTHONPATH"):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]
