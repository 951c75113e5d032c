"""Runs the suite in this process: every canvas and task that a test sends becomes a feature.

    python -m tests.celery_suite.adapter ours|celery VERDICTS [pytest's arguments]

Only the tests' own process is patched. In `celery` mode nothing is: the suite starts its own worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import celery
import celery.canvas
import celery.contrib.pytest
import celery.result
import pytest

from tests.celery_suite import source

if TYPE_CHECKING:
    from celery.canvas import Signature

    from orchestrator.client.client import Client
    from orchestrator.client.feature_result import FeatureResult
    from orchestrator.client.handle import Handle

LIMIT = 240
"""Seconds that one test may take. Celery's own limit is 300."""

AGAIN = 10.0
"""Seconds after which a test that is over its limit is ended once more."""

BACKEND_LIMIT = 20.0
"""Seconds that a test waits for Celery's result backend, if it names none: it knows no feature, and never answers."""

PATIENCE = 60.0


class Verdicts:
    """A pytest plugin that writes down how each test ended, and ends one that hangs.

    Args:
        path: The file that gets the verdicts: a JSON object of test and "passed", "failed: …" or "skipped: …".
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, str] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        def give_up(*_: object) -> None:
            pytest.fail(f"it took longer than {LIMIT} s")  # Celery takes a TimeoutError for one of its own

        before = signal.signal(signal.SIGALRM, give_up)
        # It rings again: the first time may only end a subtest, and the next one waits for the same.
        signal.setitimer(signal.ITIMER_REAL, float(os.environ.get("SUITE_LIMIT", LIMIT)), AGAIN)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("::")[2]
        expects = getattr(report, "wasxfail", None)
        if report.failed or (report.skipped and expects is not None):
            if not self.found.get(test, "").startswith("failed"):
                self.found[test] = f"failed: {expects or _crash(report)}"
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self.found.setdefault(test, f"skipped: {reason.removeprefix('Skipped: ')}")
        elif report.when == "call":
            self.found.setdefault(test, "passed")
        self.path.write_text(json.dumps(self.found, indent=1), "utf-8")


def _crash(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return " ".join(str(crash.message if crash else report.longrepr).split())[:200]


class Adapter:
    """Sends canvases, and single tasks, as features.

    Args:
        client: Enqueues.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.sent: list[Handle] = []

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self) -> None:
        """Cancel what a test has left behind: its time was over, or it does not wait for all."""
        while self.sent:
            handle = self.sent.pop()
            if not handle.progress().is_settled:
                handle.cancel()

    def install(self) -> None:
        """Put it in the place of Celery's ways to send."""
        from orchestrator.engine import tracing

        adapter = self
        canvas: Any = celery.canvas
        task_class: Any = celery.Task
        kinds = (canvas.Signature, canvas._chain, canvas.group, canvas.chord, canvas._basemap, canvas.chunks)
        for kind in kinds:
            kind.apply_async = self._method(kind.apply_async)
        sent_by_task = task_class.apply_async

        def apply_async(task: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
            if task.app.conf.task_always_eager or isinstance(task, tracing.EnqueueTask):
                return sent_by_task(task, args, kwargs, **options)
            return adapter.send(task.signature(), args, kwargs, options)

        task_class.apply_async = apply_async
        result_class: Any = celery.result.AsyncResult
        asked_of_backend = result_class.get

        def get(result: Any, timeout: float | None = None, *arguments: Any, **options: Any) -> Any:
            limit = BACKEND_LIMIT if timeout is None else timeout
            return asked_of_backend(result, limit, *arguments, **options)

        result_class.get = get

    def _method(self, sent_by_celery: Any) -> Any:
        def apply_async(canvas: Any, args: Any = None, kwargs: Any = None, *_: Any, **options: Any) -> Any:
            if canvas.app.conf.task_always_eager:
                return sent_by_celery(canvas, args, kwargs, **options)
            return self.send(canvas, args, kwargs, options)

        return apply_async

    def send(
        self, canvas: Signature[Any], args: Any, kwargs: Any, options: Mapping[str, Any]
    ) -> FeatureResult:
        """Enqueue a canvas with what `apply_async` was given."""
        from orchestrator import adopt

        kwargs = dict(kwargs or {})
        canvas = canvas.clone()
        if isinstance(canvas, celery.canvas.chord) and kwargs.get("body"):
            canvas.kwargs["body"] = kwargs.pop("body")  # `chord(header)(body)`
        for name, value in options.items():
            if name not in ("link", "link_error"):
                canvas.options[name] = value
            elif value:
                canvas.options[name] = [*_listed(canvas.options.get(name)), *_listed(value)]
        feature = adopt(canvas, args or (), kwargs, app=self.client.app)
        handle = self.client.enqueue(feature)
        self.sent.append(handle)
        return handle.as_result()


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


@contextlib.contextmanager
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A real worker, as a user would start one; its log lies beside the verdicts."""
    from tests.celery_suite.worker_app import app

    command = ["-A", "tests.celery_suite.worker_app", "worker", "-c", "2", "--loglevel", "info"]
    with Path(os.environ["SUITE_LOG"]).open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "celery", *command], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while not app.control.ping(timeout=0.5):
            assert process.poll() is None, f"the worker ended: see {os.environ['SUITE_LOG']}"
            assert time.monotonic() < deadline, "the worker does not answer"
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture(scope="session")
def celery_session_worker() -> Iterator[subprocess.Popen[bytes]]:
    """In the place of Celery's own fixture, which runs a worker in a thread of the tests' process."""
    with worker() as process:
        yield process


def main(mode: str, verdicts: str, *arguments: str) -> int:
    """Run the suite; returns pytest's exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the worker ends with it
    folder = source.unpack()
    sys.path.append(str(folder))
    plugins: list[object] = [Verdicts(Path(verdicts))]
    if mode == "ours":
        from orchestrator.client.client import Client
        from tests.celery_suite.worker_app import app

        celery.contrib.pytest.celery_session_worker = celery_session_worker  # before the suite imports it
        adapter = Adapter(Client(app=app))
        adapter.install()
        plugins.append(adapter)
    settings = ["-c", str(Path(__file__).with_name("suite.ini")), "--rootdir", str(folder)]
    fixtures = ["-p", "celery.contrib.pytest"]
    without = ["-p", "no:cacheprovider", "-p", "no:django", "-p", "no:xdist"]
    suite = str(folder / "t" / "integration" / "test_canvas.py")
    return int(pytest.main([*settings, *fixtures, *without, suite, *arguments], plugins=plugins))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
