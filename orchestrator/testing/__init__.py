"""For the tests of your own project: features that run in the test's process, without a Redis and without a worker.

The pytest plugin brings the fixtures `orchestrator_client` and `run_specialist` (see `plugin`). The package needs the
extra `testing`.

Example:
    def test_a_release_waits_for_its_tests(orchestrator_client):
        handle = orchestrator_client.run(release)
        assert handle.status() == "completed"
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from celery import Celery, Signature

from orchestrator.client.client import Client
from orchestrator.client.handle import Handle
from orchestrator.client.in_process import InProcessWorker
from orchestrator.config import configuration
from orchestrator.config.schema.limits import Limits
from orchestrator.config.settings import Settings
from orchestrator.engine import guest, installation, tracing
from orchestrator.model.feature import Feature
from orchestrator.model.outcome import Completed, Outcome
from orchestrator.model.task import Task
from orchestrator.specialists.context import Context, FeatureHead
from orchestrator.specialists.python import PythonRunner, outcome_of
from orchestrator.state import folders, memory

__all__ = ["InProcessClient", "in_memory", "run_specialist"]


class InProcessClient(Client):
    """A client whose features run in this process, one attempt after another, while somebody waits for them.

    Nothing sleeps: when all that is left waits for a moment, such as that of a retry, the clock moves on to it.
    """

    def run(self, feature: Feature | Signature[Any], **options: Any) -> Handle:
        """Enqueue a feature, and work until nothing more happens to it unless a person acts.

        Args:
            feature: The feature to run.
            options: As of `Client.enqueue`.

        Raises:
            As `Client.enqueue`.
        """
        handle = self.enqueue(feature, **options)
        handle.wait()
        return handle

    def step(self) -> bool:
        """Do one attempt, or move the clock on to the next moment at which one is due. False: there is neither."""
        return self._in_process.step()

    def move_on(self, seconds: float) -> None:
        """Move the clock on, and launch what is due then. The next wait, or `step`, does the work."""
        self._in_process.move_on(seconds)

    @property
    def _in_process(self) -> InProcessWorker:
        if self.worker is None:
            raise ValueError("redis.url is no memory:// URL; open this client with `in_memory(settings)`")
        return self.worker


def in_memory(settings: Settings | None = None, *, logs: Path | None = None) -> Settings:
    """Settings with a Redis in memory, which is this project's alone, and without a broker.

    Args:
        settings: Those to start from; None: those of the working folder.
        logs: The folder for the logs of attempts; None: as configured.

    Raises:
        InvalidConfiguration: The settings of the working folder cannot be used.
    """
    given = configuration.load() if settings is None else settings
    found = given.in_memory()
    return found if logs is None else found.model_copy(update={"logs": logs})


@contextlib.contextmanager
def open_client(settings: Settings, app: Celery | None = None) -> Iterator[InProcessClient]:
    """A client of a Redis in memory. At the end all is forgotten, and the folders of its features are removed.

    Args:
        settings: From `in_memory`.
        app: The Celery app whose tasks are called; None: the one that `app` in the settings names, else the one in
            which `orchestrator.install` was called last, if there is one.

    Raises:
        NoMemoryRedis: The extra `testing` is not installed.
    """
    with contextlib.ExitStack() as stack:
        app = app or _find_app(settings)
        if app is not None:
            stack.enter_context(installation.lent(app, settings))
            if tracing.ENQUEUE not in app.tasks:
                tracing.register(app)
        client = stack.enter_context(InProcessClient(settings, app))
        try:
            yield client
        finally:
            for feature_id in client.store.features.newest(newest=0):
                found = folders.removable(settings, client.store, feature_id)
                folders.remove(settings, client.store, found)
            if settings.redis.server:
                memory.forget(settings.redis.server.service)


def _find_app(settings: Settings) -> Celery | None:
    if settings.app:
        return guest.find(settings.app, settings).app
    installed = installation.latest()
    return installed.app if installed else None


def run_specialist(
    function: Callable[[Context], Any],
    task: Task,
    dependencies: Mapping[str, Any] | None = None,
    *,
    feature: FeatureHead | None = None,
    attempt: int = 1,
    remarks: tuple[str, ...] = (),
) -> Outcome:
    """Run a specialist's function once, and return the outcome that a worker would make of its answer.

    Args:
        function: Takes a `Context`; it may be an `async def`.
        task: The task to do.
        dependencies: The results of the tasks that it depends on, by id: an outcome, a text (the summary) or a value.
        feature: The head of the feature; None: one with the id `test`.
        attempt: The number of the attempt.
        remarks: Notes of people on earlier attempts.

    Raises:
        Exception: The function's own; a worker would turn it into a failure.

    Example:
        >>> def count(context): return context.dependencies["T1"].result["rows"]
        >>> run_specialist(count, Task(id="T2"), {"T1": {"rows": 3}}).result
        3
    """
    limits = Limits()
    outcomes = {name: _completed(value, limits) for name, value in (dependencies or {}).items()}
    with tempfile.TemporaryDirectory() as folder:
        context = Context(
            task=task,
            feature=feature or FeatureHead(id="test", title="Test"),
            attempt=attempt,
            specialist=task.specialist or "test",
            title=task.specialist or "Test",
            workdir=Path(folder, "work"),
            log_file=Path(folder, "attempt.log"),
            remarks=remarks,
            dependencies=outcomes,
        )
        return PythonRunner(function, limits).perform(context)


def _completed(value: object, limits: Limits) -> Completed:
    outcome = outcome_of(value, limits)
    if not isinstance(outcome, Completed):
        raise ValueError(f"a task whose dependency is {outcome.status} would not start")
    return outcome
