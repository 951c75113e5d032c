"""Who works on a feature that is watched: a worker of our own on the private Redis, else those there are."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from orchestrator import embedded, errors, report, supervisor

if TYPE_CHECKING:
    from orchestrator.celery import App
    from orchestrator.client import Client

ANSWER_SECONDS = 1.0
"""A worker that does not answer by then is taken for absent."""

LOOK_SECONDS = 2.0
CALM_SECONDS = 15.0
"""Time between two questions, while a queue has no worker, and while each has one."""

LAST_LINES = 15


def listeners(app: App, *, limit: int | None = None) -> Mapping[str, Sequence[str]]:
    """Each queue with the workers that take from it; `limit` ends the asking after so many answers.

    Example:
        {"senior-engineer": ["worker@host"]}
    """
    found: dict[str, list[str]] = {}
    answers = app.control.inspect(timeout=ANSWER_SECONDS, limit=limit).active_queues() or {}
    for worker, queues in sorted(answers.items()):
        for queue in queues:
            found.setdefault(str(queue["name"]), []).append(worker)
    return found


class Workforce:
    """What `watch` asks about the workers."""

    notice = ""
    """What whoever watches should know; "" where all is well."""

    def check(self) -> None:
        """Raise where nothing will go on.

        Raises:
            WorkerEnded: The worker that was brought ended by itself.
        """


class OwnWorker(Workforce):
    """A worker that lives as long as the watching."""

    def __init__(self, process: subprocess.Popen[bytes], feature_id: str, log: Path) -> None:
        self.process = process
        self.feature_id = feature_id
        self.log = log

    def check(self) -> None:
        """Raise when the worker has ended."""
        code = self.process.poll()
        if code is not None:
            tail = last_lines(self.log)
            raise errors.WorkerEnded(feature=self.feature_id, code=code, tail=tail, log=self.log)


class OthersWorkers(Workforce):
    """Asks in the background, again and again, whether the queues that a feature needs have workers."""

    def __init__(self, app: App, queues: Sequence[str], remedy: str) -> None:
        self.app = app
        self.queues = queues
        self.remedy = remedy
        self.over = threading.Event()
        threading.Thread(target=self._ask, name="listeners", daemon=True).start()

    def _ask(self) -> None:
        pause = 0.0
        while not self.over.wait(pause):
            pause = LOOK_SECONDS
            try:
                served = listeners(self.app)
            except Exception:  # an unreachable broker is told by whoever needs it; here is only a hint
                continue
            missing = [queue for queue in self.queues if queue not in served]
            if missing:
                self.notice = (
                    f"No worker takes from {report.some(missing)}: tasks sent there wait. {self.remedy}"
                )
            else:
                self.notice, pause = "", CALM_SECONDS


def last_lines(log: Path) -> str:
    """The end of a worker's log, indented."""
    try:
        text = log.read_text("utf-8", "replace")
    except OSError:
        text = ""
    lines = [line for line in text[-10_000:].splitlines() if line.strip()]
    return "\n".join(f"  | {line}" for line in lines[-LAST_LINES:]) or "  (nothing)"


def is_alone(client: Client, *, had_server: bool) -> bool:
    """Redis is the private one and no worker answers, so nobody would do the work.

    Args:
        client: Whose settings and app are asked.
        had_server: The private server ran before this process came. Where it did not, there is nobody to ask.
    """
    if not client.settings.is_embedded:
        return False
    return not had_server or not listeners(client.app, limit=1)


@contextlib.contextmanager
def gather(client: Client, feature_id: str, *, had_server: bool) -> Iterator[Workforce]:
    """Have somebody work on a feature as long as the `with` lasts, or know who does."""
    if is_alone(client, had_server=had_server):
        log = client.settings.log_folder / "worker.log"
        log.unlink(missing_ok=True)
        with supervisor.worker(client.settings, name="run", log=log) as process, hurried(process):
            yield OwnWorker(process, feature_id, log)
        return
    others = OthersWorkers(client.app, needed_queues(client, feature_id), remedy_for(client))
    try:
        yield others
    finally:
        others.over.set()


def needed_queues(client: Client, feature_id: str) -> list[str]:
    """The queues that the tasks of a feature's open batch are sent to."""
    batch = max(1, client.store.progress(feature_id).batch)
    specialists = {state.specialist for state in client.store.states(feature_id, [batch])}
    known = client.settings.specialists
    return sorted({client.settings.queue(name) if name in known else name for name in specialists})


def remedy_for(client: Client) -> str:
    """How to get a worker."""
    command = "orchestrator up" if client.settings.is_embedded else "celery -A orchestrator worker"
    return f"Start one: {command}"


@contextlib.contextmanager
def hurried(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process when the `with` ends: warm, and at once at a second Ctrl-C."""
    try:
        yield
    finally:
        try:
            supervisor.stop(process)
        except KeyboardInterrupt:
            process.kill()
            supervisor.stop(process)


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


def had_server(client_settings: object) -> bool:
    """The private server runs already. To be asked before a client is made, which starts one."""
    from orchestrator.config import Settings

    assert isinstance(client_settings, Settings)
    return client_settings.is_embedded and embedded.running(client_settings) is not None
