"""Launches tasks at the moment when their rate or their retry is due."""

from __future__ import annotations

import logging
import threading
from typing import Any

import redis

from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.model import errors
from orchestrator.state import forks, refusals
from orchestrator.state.store import Store
from orchestrator.state.threads import Thread

logger = logging.getLogger("orchestrator")


class Timer:
    """A thread of the leader that sleeps until the next rate or retry is due.

    It is apart from the thread that sweeps, because a long sweep must not delay it. A message on a channel of Redis
    tells it of a moment that is sooner. A channel, not a list: Redis ends a blocking read of a list at a tick of its
    clock, every 100 or 200 ms, and publishes on a channel at once. A message that nobody receives is no loss, because
    the moment is stored.

    Args:
        store: Where the moments are kept.
        dispatcher: Publishes the tasks that are launched.
        pause: Seconds between two tries while Redis is away.
        look: The longest time in seconds between two looks into the store.
    """

    def __init__(self, store: Store, dispatcher: Dispatcher, *, pause: float, look: float) -> None:
        self.store = store
        self.dispatcher = dispatcher
        self.pause = pause
        self.look = look
        self.stopped = threading.Event()
        self.leads = threading.Event()
        self.thread = Thread(self._run, "timer", self.stopped)

    def start(self) -> None:
        """Start the thread. It waits until this worker is the leader."""
        self.thread.start()

    def stop(self) -> None:
        """End the thread within one look."""
        self.stopped.set()
        self.leads.set()

    def set_leader(self, leads: bool) -> None:
        """Work if this worker is the leader, and wait if it is not."""
        if leads:
            self.leads.set()
        elif not self.stopped.is_set():
            self.leads.clear()

    def _run(self) -> None:
        while not self.stopped.is_set():
            self.leads.wait()
            try:
                self._launch_while_leader()
            except (redis.RedisError, OSError) as error:
                with forks.held_off():
                    logger.warning(
                        "Tasks that wait for a rate or a retry start late: %s: %s. The timer tries again in %g s",
                        type(error).__name__,
                        refusals.describe(error),
                        self.pause,
                    )
                self.stopped.wait(self.pause)

    def _launch_while_leader(self) -> None:
        client: Any = self.store.client  # redis-py leaves pubsub() without types
        with client.pubsub(ignore_subscribe_messages=True) as channel:
            with forks.held_off():
                channel.subscribe(self.store.keys.wake)
            while self.leads.is_set() and not self.stopped.is_set():
                with forks.held_off():
                    left = self.launch_due()
                channel.get_message(timeout=self.look if left is None else min(left, self.look))

    def launch_due(self) -> float | None:
        """Launch every task that is due; return the seconds until the next one is, or None."""
        left, features = self.store.limits.take_due()
        try:
            self.dispatcher.wake(features)
        except errors.BrokerUnreachable as error:  # the sweep publishes the launched tasks
            logger.error("%s", error)
        return left
