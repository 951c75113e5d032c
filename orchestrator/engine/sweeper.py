"""Recovers lost attempts and unpublished messages, and forgets finished features. Only the leader sweeps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

import redis

from orchestrator.config.settings import Settings
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.engine.heartbeat import LeaseHeartbeat
from orchestrator.model import commands, durations, errors
from orchestrator.state import forks, refusals, retention
from orchestrator.state.store import Store

logger = logging.getLogger("orchestrator")

MOST_NAMED = 10
"""How many features that could not be swept the doctor names; it counts the others."""


class Sweeper:
    """The steps of a round that the leader alone takes.

    Args:
        settings: The settings.
        store: The state of all features.
        dispatcher: Publishes the messages that a sweep finds missing.
        heartbeat: Renews this worker's leases while a sweep takes long.
        elect: Asks whether this worker is still the leader.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        dispatcher: Dispatcher,
        heartbeat: LeaseHeartbeat,
        elect: Callable[[], bool],
    ) -> None:
        self.settings = settings
        self.store = store
        self.dispatcher = dispatcher
        self.heartbeat = heartbeat
        self.elect = elect
        self.unswept: dict[str, str] = {}
        """The features that the last sweep could not recover, each with the reason."""
        self._forgets_at = 0.0
        self._looks_at = 0.0

    def sweep(self) -> None:
        """Recover each active feature. One that cannot be recovered does not hold up the others.

        While there is none it looks less often: a message of a feature that is enqueued meanwhile counts as lost, and
        a worker as well, only after `patience` and `lease`.
        """
        now = time.monotonic()
        if now < self._looks_at:
            return
        active = list(self.store.features.active())
        if not active:
            self._looks_at = now + min(self.settings.recovery.patience, self.settings.recovery.lease) / 2
        queued = self.store.recovery.queued() if active else ()
        self.unswept = {feature: cause for feature, cause in self.unswept.items() if feature in active}
        for feature_id in active:
            forks.let_one_through()
            if self.heartbeat.is_due:  # many features take longer than a lease
                self.heartbeat.renew_leases()
                if not self.elect():
                    return
            try:
                self._recover(feature_id, queued)
            except errors.NoSuchFeature:
                self.unswept.pop(feature_id, None)
            except errors.UnreadableFeature as error:
                self._warn_once(feature_id, str(error))
            except redis.ResponseError as error:  # the data of this feature alone is wrong
                self._warn_once(feature_id, refusals.describe(error))
            else:
                self.unswept.pop(feature_id, None)

    def _recover(self, feature_id: str, queued: Collection[str]) -> None:
        recovery = self.settings.recovery
        scheduled, unpublished = self.store.recovery.recover(
            feature_id,
            losses=recovery.worker_lost_retries,
            patience=recovery.patience,
            lease=recovery.lease,
            # A healthy worker renews in every round, and retries as often when Redis is away.
            regain=max(recovery.lease / 2, 3 * recovery.sweep),
            overdue=self.settings.error_handling.overdue_factor,
            queued=queued,
            overdue_least=self.settings.error_handling.overdue_least,
        )
        self.dispatcher.send(commands.follow_up(scheduled))
        if unpublished:
            self.dispatcher.publish(feature_id, unpublished)

    def _warn_once(self, feature_id: str, cause: str) -> None:
        if self.unswept.get(feature_id) != cause:
            self.unswept[feature_id] = cause
            logger.warning("[%s] is not swept: %s. Each sweep tries it again", feature_id, cause)

    def failures(self) -> list[str]:
        """The features that the last sweep could not recover, a line each, for the doctor."""
        lines = [f"{feature_id} is not swept: {cause}" for feature_id, cause in self.unswept.items()]
        more = [f"{len(lines) - MOST_NAMED} more are not swept"] if len(lines) > MOST_NAMED else []
        return [*lines[:MOST_NAMED], *more]

    def repair_limits(self) -> None:
        """Take back what gone tasks hold of limits, and launch the tasks that waited for it."""
        self.dispatcher.wake(self.store.limits.repair())

    def forget_finished_features(self) -> None:
        """Forget a portion of the features that ended long ago; the next rounds forget the rest."""
        age, now = self.settings.retention.finished, time.monotonic()
        if age is None or now < self._forgets_at:
            return
        forgotten = retention.forget_old(self.store, age)
        for feature_id in forgotten:
            logger.info("[%s] ended %s ago, and is forgotten", feature_id, durations.write(age))
        if len(forgotten) < retention.PORTION:
            self._forgets_at = now + min(retention.LONGEST_PAUSE, age / 2)

    def forget_gone_workers(self) -> None:
        """Forget workers that announce themselves no more."""
        self.store.workers.forget_gone()
