"""Wakes features at the moment at which a rate lets them go on, or a retry of theirs is due."""

from __future__ import annotations

import logging
import threading
from typing import Any

import redis

from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.model import errors
from orchestrator.model.lifecycle import Wake
from orchestrator.state import forks, refusals
from orchestrator.state.store import Store
from orchestrator.state.threads import Thread

logger = logging.getLogger("orchestrator")


class Waker:
    """A thread beside the keeper's, which sweeps: a long sweep must not make a token or a retry late.

    It waits for the next of them to be due, or to be told of one that is due sooner. It is told on a channel, not by a
    list, because a wait for a list ends when Redis looks at its clock, every 100 ms, and this one to the millisecond.
    What is told while nobody listens is no loss, for the moment is stored.

    Args:
        store: Where the moments are.
        dispatcher: Publishes what is launched.
        pause: Seconds after which it looks in any case.
    """

    def __init__(self, store: Store, dispatcher: Dispatcher, pause: float) -> None:
        self.store = store
        self.dispatcher = dispatcher
        self.pause = pause
        self.stopped = threading.Event()
        self.leads = threading.Event()
        self.thread = Thread(self._run, "waker", self.stopped)

    def start(self) -> None:
        """Begin; it does nothing until this worker leads."""
        self.thread.start()

    def stop(self) -> None:
        """End within a pause."""
        self.stopped.set()
        self.leads.set()

    def lead(self, leads: bool) -> None:
        """This worker is the one that sweeps, or is so no more."""
        if leads:
            self.leads.set()
        elif not self.stopped.is_set():
            self.leads.clear()

    def _run(self) -> None:
        while not self.stopped.is_set():
            self.leads.wait()
            try:
                self._wake_as_told()
            except (redis.RedisError, OSError) as error:  # it may succeed in a moment, and must be tried
                with forks.held_off():
                    logger.warning(
                        "What waits for a rate or a retry waits longer: %s: %s",
                        type(error).__name__,
                        refusals.said(error),
                    )
                self.stopped.wait(self.pause)

    def _wake_as_told(self) -> None:
        client: Any = self.store.client  # redis-py leaves pubsub() without types
        with client.pubsub(ignore_subscribe_messages=True) as channel:
            with forks.held_off():
                channel.subscribe(self.store.keys.wake)
            while self.leads.is_set() and not self.stopped.is_set():
                with forks.held_off():
                    left = self.wake()
                channel.get_message(timeout=self.pause if left is None else min(left, self.pause))

    def wake(self) -> float | None:
        """Wake whoever a token or a retry is there for; seconds until the next one is due."""
        left, features = self.store.take_due()
        try:
            self.dispatcher.send([Wake(feature) for feature in features])
        except errors.BrokerUnreachable as error:  # the sweep publishes what was launched
            logger.error("%s", error)
        return left
