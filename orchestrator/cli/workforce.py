"""The workers for a watched feature: one of our own on the private Redis, else those that run already."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from orchestrator.cli import output
from orchestrator.client.listeners import is_running, listeners
from orchestrator.model import errors, words
from orchestrator.model.calls import called_by
from orchestrator.state import embedded, fingerprint

if TYPE_CHECKING:
    from orchestrator.client.client import Client
    from orchestrator.client.in_process import InProcessWorker
    from orchestrator.config.settings import Settings


LOOK_SECONDS = 2.0
CALM_SECONDS = 15.0
"""Seconds between two checks: while a queue has no worker, and while each has one."""

MOST_PROCESSES = 64
"""A worker that is brought has no more processes than this, or than is configured: each takes some 50 MB."""

LAST_LINES = 15


def tell_outdated(client: Client) -> None:
    """Say which workers were started with another configuration than the folder has now."""
    present = client.store.workers.present()
    if client.settings.is_embedded:
        present = [worker for worker in present if is_running(worker.pid)]
    for text in fingerprint.outdated(client.settings, present).values():
        output.tell(f"{text}. {fingerprint.REMEDY}", style="yellow")


class Workforce:
    """The workers that serve a feature while it is watched.

    On the private Redis nobody but this machine's user can start one, so where none answers (any more) this brings
    a worker of its own, which ends with it. With a configured Redis it only says that one is missing.

    Args:
        client: Brings the settings and the app.
        feature_id: The feature.
        stack: Ends the worker, if one is brought.
    """

    def __init__(self, client: Client, feature_id: str, stack: contextlib.ExitStack) -> None:
        self.client = client
        self.feature_id = feature_id
        self.stack = stack
        self.own: subprocess.Popen[bytes] | None = None
        self.log = client.settings.folder / "logs" / "worker.log"  # never in a folder that others share
        self.log_start = 0
        self.missing: list[str] = []
        self.over = threading.Event()
        stack.callback(self.over.set)

    @property
    def notice(self) -> str:
        """A warning for people who watch; "" if all is well."""
        if self.own or not self.missing:
            return ""
        queues, app = words.some(self.missing), self.client.settings.app
        command = (
            f"celery -A {app} worker -Q {','.join(self.missing)}" if app else "celery -A orchestrator worker"
        )
        return f"No worker takes from {queues}: tasks sent there wait. Start one: {command}"

    def check(self) -> None:
        """See to it that somebody works.

        Raises:
            WorkerEnded: The worker that was brought ended by itself.
        """
        if self.own is None:
            if self.missing and self.client.settings.is_embedded:
                self.bring()
            return
        code = self.own.poll()
        if code is not None:
            tail = last_lines(self.log, self.log_start)
            raise errors.WorkerEnded(feature=self.feature_id, code=code, tail=tail, log=self.log)

    def bring(self) -> None:
        """Start a worker of our own."""
        self.over.set()
        self.log_start = self.log.stat().st_size if self.log.exists() else 0
        from orchestrator.local import processes

        worker = processes.worker(
            self.client.settings,
            name=f"run-{os.getpid()}",
            log=self.log,
            processes=self._processes(),
        )
        self.own = self.stack.enter_context(worker)
        self.stack.enter_context(hurried(self.own))

    def work_here(self, worker: InProcessWorker) -> None:
        """Work in a thread of this process: the Redis lies in its memory, so no other one could."""
        handle = self.client.feature(self.feature_id)
        work = functools.partial(worker.run_until, lambda: self.over.is_set() or handle.progress().is_settled)
        threading.Thread(target=work, name="worker", daemon=True).start()

    def _processes(self) -> int:
        """As many as the feature may use: its cap may be higher than the one that is configured."""
        progress = self.client.store.features.summary(self.feature_id)
        configured = self.client.settings.parallelism.max_parallel_tasks
        return max(configured, min(progress.cap, progress.total, MOST_PROCESSES))

    def look_out(self) -> None:
        """Ask in the background, again and again, whether the queues that the feature needs have workers."""
        queues = needed_queues(self.client, self.feature_id)
        threading.Thread(target=self._ask, args=(queues,), name="listeners", daemon=True).start()

    def _ask(self, queues: Sequence[str]) -> None:
        pause = 0.0
        while not self.over.wait(pause):
            pause = LOOK_SECONDS
            try:
                served = listeners(self.client, queues)
            except Exception:  # nosec B112  # an unreachable broker is told by who needs it; this is only a hint
                continue
            self.missing = [queue for queue in queues if queue not in served]
            pause = LOOK_SECONDS if self.missing else CALM_SECONDS


@contextlib.contextmanager
def gather(client: Client, feature_id: str, *, had_server: bool) -> Iterator[Workforce]:
    """Have somebody work on a feature as long as the `with` lasts, or know that nobody does.

    Args:
        client: Brings the settings and the app.
        feature_id: The feature.
        had_server: See `has_server`.
    """
    with ended_by_signals(), contextlib.ExitStack() as stack:
        workforce = Workforce(client, feature_id, stack)
        if client.worker:
            workforce.work_here(client.worker)
        elif client.settings.is_embedded and (not had_server or not listeners(client)):
            workforce.bring()
        else:
            workforce.look_out()
        yield workforce


def has_server(settings: Settings) -> bool:
    """The private server runs, so that workers may be there. Asked before a client is made, which starts one."""
    return settings.is_embedded and embedded.running(settings) is not None


def last_lines(log: Path, start: int) -> str:
    """The end of what a worker wrote into its log from byte `start` on, indented."""
    try:
        text = log.read_bytes()[start:].decode("utf-8", "replace")
    except OSError:
        text = ""
    lines = [line for line in text[-10_000:].splitlines() if line.strip()]
    return "\n".join(f"  | {line}" for line in lines[-LAST_LINES:]) or "  (nothing)"


def needed_queues(client: Client, feature_id: str) -> list[str]:
    """The queues that the tasks of a feature's open batch are sent to, as far as they are known here."""
    batch = max(1, client.store.features.summary(feature_id).batch)
    specialists = {state.specialist for state in client.store.tasks.states(feature_id, [batch])}
    calls = set(filter(called_by, specialists))
    settings = client.settings
    if calls and settings.app:
        from orchestrator.engine import installation  # late: it brings all of Celery

        settings = installation.of(client.app).settings
    if not settings.quality_gates.enabled:
        specialists -= set(settings.pulled)  # agents claim their tasks, and there is nothing else to do
    known = {*settings.specialists, *calls}
    return sorted({settings.queue(name) if name in known else name for name in specialists} - {""})


@contextlib.contextmanager
def hurried(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process when the `with` ends: warm, and at once at a second Ctrl-C."""
    from orchestrator.local import processes

    is_second = False
    try:
        yield
    except KeyboardInterrupt:  # the first one ends the watching, and does not come this far
        is_second = True
        raise
    finally:
        try:
            processes.stop(process, at_once=is_second)
        except KeyboardInterrupt:
            processes.stop(process, at_once=True)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process the way Ctrl-C does, so that what it started ends with it."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
