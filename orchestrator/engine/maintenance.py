"""The worker's maintenance: in each round it renews leases, announces the worker and, as the leader, sweeps."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import redis
from celery import bootsteps, signals
from celery.worker import state

from orchestrator import __version__
from orchestrator.agents import sessions
from orchestrator.engine import installation, pools, startup_checks, watchdog
from orchestrator.engine.attempt import attempt_id_of
from orchestrator.engine.attempt_runner import runner
from orchestrator.engine.heartbeat import LeaseHeartbeat, running_attempts
from orchestrator.engine.round import Round
from orchestrator.engine.shutdown import GracefulShutdown
from orchestrator.engine.spans import FeatureSpans
from orchestrator.engine.sweeper import Sweeper
from orchestrator.engine.timer import Timer
from orchestrator.engine.watchdog import Watchdog
from orchestrator.metrics.meter import Meter
from orchestrator.notify import sender
from orchestrator.planning import limits
from orchestrator.state import fingerprint, refusals, retention, schema, threads
from orchestrator.state.tails import Tails
from orchestrator.state.threads import Thread
from orchestrator.state.workers import SILENT_SECONDS, Worker

if TYPE_CHECKING:
    from celery.worker import WorkController

    from orchestrator.config.settings import Settings
    from orchestrator.metrics.server import MetricsServer

logger = logging.getLogger("orchestrator")

LAST_NOTIFICATIONS_SECONDS = 3.0
"""A worker that ends spends no longer on its last notifications."""

SCHEMA_ROUNDS, LIMIT_ROUNDS, TIMER_ROUNDS = 3, 5, 5
"""An idle worker is cheap: it checks the schema, repairs limits, and looks at the timer's moments this seldom."""

METER_ROUNDS, TRACE_ROUNDS = 5, 5
"""Metrics are counted, and the spans of features written, this seldom."""

WORKER_CLEANUP_SECONDS = 60.0
"""Between two looks for workers that have been gone for an hour."""

END_CHECK_SECONDS = 0.05
"""A worker that ends its attempts in the main process checks this often whether they have ended."""


class Maintenance(bootsteps.StartStopStep):
    """A Celery worker bootstep with a thread of the main process, which the work of a pool process cannot delay.

    See Celery's documentation, "Extensions and Bootsteps".
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: WorkController, **_: Any) -> None:
        self.parent = parent
        self.worker = str(getattr(parent, "hostname", ""))
        # The name alone would not do: two workers may have the same one, and only one of them may lead.
        self.id = f"{self.worker}/{secrets.token_hex(4)}"
        self.fingerprint = fingerprint.of(installation.of(parent.app).given)
        self.runner = runner(parent.app)
        self.settings = settings = self.runner.settings
        self.store = store = self.runner.store
        self.dispatcher = self.runner.dispatcher
        self.pool: Any = getattr(parent, "pool_cls")  # noqa: B009 (Celery keeps it to itself)
        self.has_processes = pools.has_processes(self.pool)
        self.stopped = threading.Event()
        self.thread = Thread(self._run, "maintenance", self.stopped)
        self.round = Round(self.worker)
        self.shutdown = GracefulShutdown(settings.recovery.grace, self._hand_back, self.has_processes)
        self.heartbeat = LeaseHeartbeat(store, settings.recovery, self.shutdown)
        self.sweeper = Sweeper(settings, store, self.dispatcher, self.heartbeat, self.elect_leader)
        self.timer = Timer(
            store,
            self.dispatcher,
            pause=settings.recovery.sweep,
            look=TIMER_ROUNDS * settings.recovery.sweep,
        )
        self.watchdog = Watchdog(store, self.worker, lambda: pools.processes(parent.pool), watchdog.PATIENCE)
        self.tails = Tails(settings, store)
        self.cleaner = retention.Cleaner(settings, store)
        self.notifiers = sender.open_notifiers(
            store, settings.notifications, self.id, pause=settings.recovery.sweep
        )
        self.meter = Meter(
            store, lambda: self.leads, settings.specialists, pause=METER_ROUNDS * settings.recovery.sweep
        )
        self.metrics = _open_metrics(settings)
        self.feature_spans = FeatureSpans(store, shows_titles=settings.broker.show == "titles")
        self.leads = False
        self.renews_lead_at = 0.0
        self.announced: tuple[Worker, float] | None = None
        """The last announcement of this worker, and until when it is valid."""
        self.knows_limits = False
        self.is_outdated = False

    def start(self, parent: WorkController) -> None:
        """Check what the worker needs, and start its threads.

        Raises:
            SystemExit: Redis may evict keys, and the settings do not allow that; or the pool cannot keep our promises;
                or this worker is too old for the state in Redis.
        """
        startup_checks.check_memory(self.settings)
        startup_checks.check_environment(self.parent.app)
        startup_checks.check_pool(self.pool, getattr(self.parent, "time_limit", None))
        startup_checks.check_redis(self.store, self.settings)
        startup_checks.check_schema(self.store, self.settings)
        self._store_limits()
        self.thread.start()
        self.timer.start()
        self.cleaner.start()
        self.meter.start()
        if self.metrics:
            self.metrics.start()
        for each in self.notifiers:
            each.start()
        signals.worker_shutting_down.connect(self._begin_shutdown)
        signals.worker_shutdown.connect(self._finish_shutdown)

    def stop(self, parent: WorkController) -> None:
        """Begin a warm shutdown. The leases of running attempts are renewed until the pool has ended."""
        self.shutdown.begin()

    def terminate(self, parent: WorkController) -> None:
        """Stop at once. Attempts of the main process are ended first; the pool ends those in its processes."""
        if not self.has_processes:
            self._end_in_process_attempts()
        self._leave()
        self.timer.stop()
        for each in self.notifiers:
            each.stop()

    def _end_in_process_attempts(self) -> None:
        """End the attempts of this process, and wait until each has handed itself back."""
        self.shutdown.begin(at_once=True)
        while running := running_attempts():
            self.shutdown.enforce(running)
            time.sleep(END_CHECK_SECONDS)

    def _begin_shutdown(self, how: str = "", **_: Any) -> None:
        """Called when the worker must end: warm (SIGTERM, Ctrl-C), or cold (SIGQUIT, a second Ctrl-C)."""
        self.shutdown.begin(at_once=how == "Cold" and not self.has_processes)

    def _finish_shutdown(self, **_: Any) -> None:
        """The pool has ended."""
        self._send_last_notifications()
        self._leave()

    def _leave(self) -> None:
        self.stopped.set()
        self.meter.stop()
        if self.metrics:
            self.metrics.stop()
        with contextlib.suppress(redis.RedisError):
            self.store.workers.leave(self.id)

    def _send_last_notifications(self) -> None:
        """Notify of this worker's last events: there may be no other worker that does it soon."""
        try:
            leads = bool(self.notifiers) and self.elect_leader()
        except Exception as error:
            logger.warning(
                "The last notifications are not sent: %s: %s. The next worker sends them",
                type(error).__name__,
                error,
            )
            return
        deadline = time.monotonic() + LAST_NOTIFICATIONS_SECONDS
        for each in self.notifiers if leads else ():
            each.flush(max(0.0, deadline - time.monotonic()))

    def _hand_back(self, request: Any) -> None:
        attempt = attempt_id_of(request)
        if attempt:
            self.runner.recorder.hand_back(*attempt, self.worker)

    def _run(self) -> None:
        self.round.run(self.announce, self.elect_leader)
        while not self.stopped.wait(self.settings.recovery.sweep):
            self.run_round()

    def run_round(self) -> None:
        """Take each step once. The leases come first, of what pool processes took too: nothing may delay them."""
        seconds, every = self.settings.recovery.sweep, self.round.every
        leader_steps = (
            self.sweeper.sweep,
            every(LIMIT_ROUNDS * seconds, self.sweeper.repair_limits),
            self.sweeper.forget_finished_features,
            every(WORKER_CLEANUP_SECONDS, self.sweeper.forget_gone_workers),
            *(
                (every(TRACE_ROUNDS * seconds, self.feature_spans.write_spans),)
                if self.settings.tracing
                else ()
            ),
        )
        self.round.run(
            self.read_reports,
            self.heartbeat.renew_leases,
            self.replace_hung_processes,
            self.announce,
            every(SCHEMA_ROUNDS * seconds, self.check_schema),
            self.store_limits,
            self.keep_lead,
            *map(self._if_leader, leader_steps),
            self.read_logs,
        )

    def read_reports(self) -> None:
        """Learn which attempts pool processes have taken by themselves."""
        if taken := installation.of(self.runner.app).taken_attempts:
            taken.drain()

    def _if_leader(self, step: Callable[[], object]) -> Callable[[], object]:
        @functools.wraps(step)
        def run() -> None:
            if self.leads:
                step()

        return run

    def keep_lead(self) -> None:
        """Ask to be the leader in each round; the leader, who is so for three rounds, asks in every second one."""
        if not self.leads or time.monotonic() >= self.renews_lead_at:
            self.elect_leader()

    def elect_leader(self) -> bool:
        """Ask to be the leader, or to remain it: of all workers one sweeps."""
        self.leads = False  # and so it stays if Redis does not answer
        seconds = self.settings.recovery.sweep
        self.renews_lead_at = time.monotonic() + 1.5 * seconds
        self.leads = self.store.recovery.acquire_leadership(self.id, seconds=3 * seconds)
        self.timer.set_leader(self.leads)
        return self.leads

    def announce(self) -> None:
        """Store what this worker takes now, if that has changed (as Celery's controls do) or was stored a while ago."""
        worker, now = self._describe(), time.monotonic()
        if self.announced is None or self.announced[0] != worker or now >= self.announced[1]:
            self.store.workers.announce(worker)
            self.announced = worker, now + SILENT_SECONDS / 3

    def _describe(self) -> Worker:
        return Worker(
            id=self.id,
            name=self.worker,
            host=sessions.host(),
            pid=os.getpid(),
            pool=type(self.parent.pool).__module__.rpartition(".")[2],
            processes=int(getattr(self.parent.pool, "num_processes", 0) or 0),
            queues=tuple(
                queue.alias or name for name, queue in self.parent.app.amqp.queues.consume_from.items()
            ),
            settings=self.fingerprint,
            version=__version__,
            trouble=threads.troubles(),
            hindered=(*self.round.failures.values(), *self.sweeper.failures()),
        )

    def replace_hung_processes(self) -> None:
        """Replace pool processes that took an attempt and do not start it."""
        if self.has_processes:
            self.watchdog.check(list({*state.active_requests, *state.reserved_requests}))

    def check_schema(self) -> None:
        """End this worker, as SIGTERM does, if Redis asks for newer workers since it started."""
        if self.is_outdated or (minimum := self.store.features.minimum()) <= schema.VERSION:
            return
        self.is_outdated = True
        logger.critical("%s\nThis worker ends.", startup_checks.outdated(self.settings, minimum))
        os.kill(os.getpid(), signal.SIGTERM)

    def store_limits(self) -> None:
        """Store the limits of the settings, if that failed at the start."""
        if not self.knows_limits and not self.is_outdated:
            self._store_limits()

    def _store_limits(self) -> None:
        try:
            self.dispatcher.wake(self.store.limits.configure(limits.configured(self.settings)))
            self.knows_limits = True
        except redis.RedisError as error:
            logger.warning(
                "The Redis at %s does not know the limits yet: %s. Each round tries it again",
                self.store.url,
                refusals.describe(error),
            )

    def read_logs(self) -> None:
        """Keep the last lines of the running attempts' logs in the store."""
        self.tails.look(filter(None, map(attempt_id_of, list(state.active_requests))))


def _open_metrics(settings: Settings) -> MetricsServer | None:
    if not settings.metrics.port:
        return None
    from orchestrator.metrics.server import MetricsServer  # late: it brings prometheus_client

    return MetricsServer(settings)
