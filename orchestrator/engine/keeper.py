"""Keeps a worker's promises: renews the leases of what it runs, and takes its turn at the sweep."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import redis
from celery import bootsteps, signals
from celery.worker import state

from orchestrator import __version__
from orchestrator.engine import celery_settings, pools, tasks, watchdog
from orchestrator.engine.shutdown import Shutdown
from orchestrator.engine.tasks import attempt_of
from orchestrator.engine.timer import Waker
from orchestrator.engine.watchdog import Watchdog
from orchestrator.model import durations, errors, lifecycle
from orchestrator.model.finding import Level
from orchestrator.notify import sender
from orchestrator.planning import limits
from orchestrator.state import fingerprint, forks, refusals, retention, schema, threads
from orchestrator.state.durability import look_at_keeping
from orchestrator.state.tails import Tails
from orchestrator.state.threads import Thread
from orchestrator.state.workers import Worker

if TYPE_CHECKING:
    from celery.worker import WorkController

logger = logging.getLogger("orchestrator")

LAST_SECONDS = 3.0
"""A worker that ends takes no longer to tell of the last events."""

MOST_LEFT = 10
"""Features that are named where they are not swept."""

LOOK_SECONDS = 0.05
"""Between two looks whether what runs in this process has ended."""


class Keeper(bootsteps.StartStopStep):
    """A thread of the worker's main process, so that no work of a pool process can starve it.

    A Celery worker bootstep (Celery documentation, "Extensions and Bootsteps").
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: WorkController, **_: Any) -> None:
        self.shell = tasks.shell(parent.app)
        self.worker = str(getattr(parent, "hostname", ""))
        self.parent = parent
        # Two workers may have been given one name. Only one of them leads.
        self.id = f"{self.worker}/{secrets.token_hex(4)}"
        self.settings = fingerprint.of(parent.app.settings)
        self.stopped = threading.Event()
        self.thread = Thread(self._run, "keeper", self.stopped)
        settings = self.shell.settings
        self.tails = Tails(settings, self.shell.store)
        self.pool: Any = getattr(parent, "pool_cls")  # noqa: B009 (Celery keeps it to itself)
        self.has_processes = pools.has_processes(self.pool)
        self.shutdown = Shutdown(settings.recovery.grace, self._hand_back, self.has_processes)
        self.watchdog = Watchdog(
            self.shell.store, self.worker, attempt_of, lambda: pools.processes(parent.pool), watchdog.PATIENCE
        )
        self.cleaner = retention.Cleaner(settings, self.shell.store)
        self.forgets_at = 0.0
        self.waker = Waker(self.shell.store, self.shell.dispatcher, settings.recovery.sweep)
        self.knows_limits = False
        self.keeps_at = 0.0
        self.leads = False
        self.troubles: dict[str, str] = {}
        """Step → why it did not succeed when it was tried last."""
        self.left: dict[str, str] = {}
        """Feature → why it is not swept."""
        self.is_outdated = False
        self.notifiers = sender.open_notifiers(
            self.shell.store, settings.notifications, self.id, pause=settings.recovery.sweep
        )

    def start(self, parent: WorkController) -> None:
        """Begin keeping.

        Raises:
            SystemExit: Redis may throw work away, and the settings do not allow that; or the pool cannot keep promises;
                or this worker is too old for what is stored there.
        """
        self._look_at_environment()
        self._look_at_pool()
        self._look_at_redis()
        self._look_at_versions()
        self._make_limits_known()
        self.thread.start()
        self.waker.start()
        self.cleaner.start()
        for each in self.notifiers:
            each.start()
        signals.worker_shutting_down.connect(self._shut_down)
        signals.worker_shutdown.connect(self._take_leave)

    def _look_at_pool(self) -> None:
        try:
            pools.check(self.pool)
        except errors.PoolRefused as error:
            logger.critical("%s", error)
            raise SystemExit(error.exit_code) from None
        limit = getattr(self.parent, "time_limit", None)
        if limit and not pools.ends_in_time(self.pool):
            logger.warning(
                "The pool %s does not keep the time limit of this worker (--time-limit %g). Give tasks or specialists "
                "a timeout, which each pool keeps; or use the pool prefork.",
                self.pool.__module__.rpartition(".")[2],
                limit,
            )

    def _look_at_environment(self) -> None:
        others = list(celery_settings.passed_over(self.parent.app.conf, os.environ))
        if others:
            logger.warning(
                "This worker does not use %s of its environment: its broker is the one of its configuration (%s). "
                "To use another one, set TASKORCHESTRATOR_BROKER__URL.",
                ", ".join(others),
                self.parent.app.connection_for_read().as_uri(),
            )

    def _look_at_redis(self) -> None:
        store = self.shell.store
        try:
            findings = look_at_keeping(store.client, self.shell.settings)
        except redis.RedisError as error:
            logger.warning(
                "Could not check whether the Redis at %s keeps what it is given: %s",
                store.url,
                refusals.said(error),
            )
            return
        for finding in findings:
            if finding.name == "eviction" and finding.level is Level.PROBLEM:
                logger.critical("%s", errors.RedisForgets(cause=finding.text, remedy=finding.remedy))
                raise SystemExit(errors.RedisForgets.exit_code)
            if finding.level is not Level.OK:
                logger.warning(
                    "The Redis at %s: %s: %s. %s", store.url, finding.name, finding.text, finding.remedy
                )

    def _look_at_versions(self) -> None:
        store = self.shell.store
        try:
            minimum = store.raise_minimum(schema.OLDEST_BESIDE)
        except redis.RedisError as error:
            logger.warning(
                "Could not check whether the Redis at %s needs newer workers: %s", store.url, error
            )
            return
        if minimum > schema.VERSION:
            logger.critical("%s", self._outdated(minimum))
            raise SystemExit(errors.Outdated.exit_code)

    def _outdated(self, minimum: int) -> errors.Outdated:
        return errors.Outdated(prefix=self.shell.settings.redis.prefix, minimum=minimum, known=schema.VERSION)

    def _end_if_outdated(self) -> None:
        """A newer version asks for newer workers since this one began: end it as SIGTERM does."""
        if self.is_outdated or (minimum := self.shell.store.minimum()) <= schema.VERSION:
            return
        self.is_outdated = True
        logger.critical("%s\nThis worker ends.", self._outdated(minimum))
        os.kill(os.getpid(), signal.SIGTERM)

    def stop(self, parent: WorkController) -> None:
        """A warm stop, whoever asked for it. The leases of what still runs are renewed until the pool has ended."""
        self.shutdown.begin()

    def terminate(self, parent: WorkController) -> None:
        """Stop at once. What runs in this process is ended first; the pool ends what runs in its own."""
        if not self.has_processes:
            self._end_residents()
        self.stopped.set()
        with contextlib.suppress(redis.RedisError):
            self.shell.store.workers.leave(self.id)
        self.waker.stop()
        for each in self.notifiers:
            each.stop()

    def _end_residents(self) -> None:
        """End what runs in this process, and wait for it: when it has ended it has handed itself back."""
        self.shutdown.begin(at_once=True)
        while running := self._running():
            self.shutdown.end(running)
            time.sleep(LOOK_SECONDS)

    def _running(self) -> list[Any]:
        return [request for request in list(state.active_requests) if attempt_of(request)]

    def _shut_down(self, how: str = "", **_: Any) -> None:
        """The worker was told to end: warm (SIGTERM, Ctrl-C), or cold (SIGQUIT, a second Ctrl-C)."""
        self.shutdown.begin(at_once=how == "Cold" and not self.has_processes)

    def _hand_back(self, request: Any) -> None:
        attempt = attempt_of(request)
        if attempt:
            self.shell.hand_back(*attempt, self.worker)

    def _take_leave(self, **_: Any) -> None:
        """The pool has ended."""
        self._tell_the_rest()
        self.stopped.set()
        with contextlib.suppress(redis.RedisError):
            self.shell.store.workers.leave(self.id)

    def _tell_the_rest(self) -> None:
        """Tell what it did, for there may be no other worker to tell it soon."""
        try:
            leads = bool(self.notifiers) and self._leads()
        except Exception as error:  # Redis is gone; the next worker tells it
            logger.warning("The last events are not told yet: %s: %s", type(error).__name__, error)
            return
        deadline = time.monotonic() + LAST_SECONDS
        for each in self.notifiers if leads else ():
            each.flush(max(0.0, deadline - time.monotonic()))

    def _make_limits_known(self) -> None:
        store = self.shell.store
        try:
            self._wake(store.configure(limits.configured(self.shell.settings)))
            self.knows_limits = True
        except redis.RedisError as error:
            logger.warning(
                "The Redis at %s does not know the limits yet: %s", store.url, refusals.said(error)
            )

    def _announce(self) -> None:
        """Say what this worker takes now: Celery can change its queues and processes while it runs."""
        self.shell.store.workers.announce(
            Worker(
                id=self.id,
                name=self.worker,
                pid=os.getpid(),
                pool=type(self.parent.pool).__module__.rpartition(".")[2],
                processes=int(getattr(self.parent.pool, "num_processes", 0) or 0),
                queues=tuple(
                    queue.alias or name for name, queue in self.parent.app.amqp.queues.consume_from.items()
                ),
                settings=self.settings,
                version=__version__,
                trouble=threads.troubles(),
                hindered=self._hindrances(),
            )
        )

    def _hindrances(self) -> tuple[str, ...]:
        """What this worker tries again in each round, and has not succeeded with."""
        left = [f"{feature_id} is not swept: {cause}" for feature_id, cause in self.left.items()]
        more = [f"{len(left) - MOST_LEFT} more are not swept"] if len(left) > MOST_LEFT else []
        return (*self.troubles.values(), *left[:MOST_LEFT], *more)

    def _run(self) -> None:
        recovery = self.shell.settings.recovery
        self._try(self._announce, self._lead)
        while not self.stopped.wait(recovery.sweep):
            self._look()

    def _look(self) -> None:
        """One round."""
        self._try(
            self._keep,
            self._watch,
            self._announce,
            self._end_if_outdated,
            self._make_limits_known_again,
            self._lead,
            *map(self._as_leader, (self._sweep, self._reconcile, self._forget, self._forget_gone)),
            self._look_at_tails,
        )

    def _try(self, *steps: Callable[[], object]) -> None:
        """Take the steps of a round.

        A key that somebody has overwritten costs the steps that need it. Where Redis is away, or it is anything else,
        the others wait for the next round too.
        """
        with forks.held_off():
            for step in steps:
                try:
                    step()
                except Exception as error:  # whatever it is, the next round may succeed, and must come
                    self._say(step.__name__, error)
                    if not (isinstance(error, redis.ResponseError) and refusals.code(error) == "WRONGTYPE"):
                        return
                else:
                    self.troubles.pop(step.__name__, None)

    def _say(self, step: str, error: Exception) -> None:
        before, trouble = self.troubles.get(step), f"{type(error).__name__}: {refusals.said(error)}"
        self.troubles[step] = trouble
        if trouble != before:  # an outage is told once, not in every round
            logger.warning("The keeper of %s tries again until it succeeds: %s", self.worker, trouble)

    def _as_leader(self, step: Callable[[], object]) -> Callable[[], object]:
        @functools.wraps(step)
        def take() -> None:
            if self.leads:
                step()

        return take

    def _watch(self) -> None:
        if self.has_processes:
            self.watchdog.look(list({*state.active_requests, *state.reserved_requests}))

    def _make_limits_known_again(self) -> None:
        if not self.knows_limits and not self.is_outdated:
            self._make_limits_known()

    def _lead(self) -> None:
        self.leads = False  # unless it is told so
        self.leads = self._leads()

    def _reconcile(self) -> None:
        self._wake(self.shell.store.repair_limits())

    def _forget_gone(self) -> None:
        self.shell.store.workers.forget_gone()

    def _look_at_tails(self) -> None:
        self.tails.look(filter(None, map(attempt_of, list(state.active_requests))))

    def _keep(self) -> None:
        """What nothing else may hold up: the end of what has had its grace, and the leases of what runs."""
        recovery = self.shell.settings.recovery
        self.keeps_at = time.monotonic() + recovery.sweep
        self.shutdown.end(self._running())
        self._renew(recovery.lease)

    def _leads(self) -> bool:
        leads = self.shell.store.acquire_leadership(self.id, seconds=self.shell.settings.recovery.sweep * 3)
        self.waker.lead(leads)
        return leads

    def _renew(self, lease: float) -> None:
        self.shell.store.renew(
            [attempt for attempt in map(attempt_of, self._running()) if attempt], lease=lease
        )

    def _sweep(self) -> None:
        settings = self.shell.settings
        queued = self.shell.store.queued({settings.queue(name) for name in settings.specialists})
        active = list(self.shell.store.active())
        self.left = {feature_id: cause for feature_id, cause in self.left.items() if feature_id in active}
        for feature_id in active:
            forks.let_one_through()
            if time.monotonic() >= self.keeps_at:  # many features take longer than a lease
                self._keep()
                self._lead()
                if not self.leads:
                    return
            try:
                self._recover(feature_id, queued)
            except errors.NoSuchFeature:
                self.left.pop(feature_id, None)
            except errors.UnreadableFeature as error:
                self._leave(feature_id, str(error))
            except redis.ResponseError as error:  # what is wrong with one feature must not hold up the others
                self._leave(feature_id, refusals.said(error))
            else:
                self.left.pop(feature_id, None)

    def _leave(self, feature_id: str, cause: str) -> None:
        if self.left.get(feature_id) != cause:  # told once, not in every round
            self.left[feature_id] = cause
            logger.warning("[%s] is not swept: %s", feature_id, cause)

    def _forget(self) -> None:
        """Forget a portion of what has been over for long; where there was more of it, again in the next round."""
        age, now = self.shell.settings.retention.finished, time.monotonic()
        if age is None or now < self.forgets_at:
            return
        forgotten = retention.forget_old(self.shell.store, age)
        for feature_id in forgotten:
            logger.info("[%s] was over for %s, and is forgotten", feature_id, durations.write(age))
        if len(forgotten) < retention.PORTION:
            self.forgets_at = now + min(retention.LONGEST_PAUSE, age / 2)

    def _wake(self, features: list[str]) -> None:
        self.shell.dispatcher.send([lifecycle.Wake(feature) for feature in features])

    def _recover(self, feature_id: str, queued: Collection[str]) -> None:
        recovery = self.shell.settings.recovery
        facts, unpublished = self.shell.store.recover(
            feature_id,
            losses=recovery.worker_lost_retries,
            patience=recovery.patience,
            lease=recovery.lease,
            # A worker that is well renews in every sweep, and asks an absent Redis about as often.
            regain=max(recovery.lease / 2, 3 * recovery.sweep),
            overdue=self.shell.settings.error_handling.overdue_factor,
            queued=queued,
            overdue_least=self.shell.settings.error_handling.overdue_least,
        )
        self.shell.dispatcher.send(lifecycle.follow_up(facts))
        if unpublished:
            self.shell.dispatcher.publish(feature_id, unpublished)
